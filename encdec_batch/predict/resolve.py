"""What `auto` becomes on this machine: device, precision, batch and core. Torch is imported only to measure."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from encdec_batch.errors import SpecError
from encdec_batch.grid import round_up
from encdec_batch.models.package import Package
from encdec_batch.plan.recipe import Order, Recipe, Resolved
from encdec_batch.predict.device import choose_device
from encdec_batch.spec.job import JobSpec


def resolve(spec: JobSpec, package: Package) -> Resolved:
    """What a worker on this machine would do; measures for some seconds where `core: auto` is asked for.

    Raises:
        SpecError: the device asked for is not there.
        ModelError: the network cannot be built.
    """
    compute, asked = spec.compute, spec.tiling.core
    device = choose_device(compute.device, compute.precision, compute.batch)
    rates: dict[int, float] = {}
    if asked == "auto":
        from encdec_batch.predict.measure import measure_cores

        rates = measure_cores(package, device, halo=spec.tiling.halo)
        wanted = sorted(rates, key=lambda side: rates[side], reverse=True)
    else:
        wanted = [round_up(asked, package.card.geometry.stride)]
    found = [
        Resolved(
            device_kind=device.kind,
            torch_device=device.torch_name,
            precision=device.precision,
            batch=device.batch,
            engine=eager_name(),
            core=core,
            rates=tuple(sorted(rates.items())),
        )
        for core in wanted
    ]
    order = Order(spec=spec, card=package.card, package_digest=package.digest)
    return next((one for one in found if _fits(Recipe(order=order, resolved=one))), found[-1])


def _fits(recipe: Recipe) -> bool:
    """Whether some block fits the budget, for the largest pixels that the card takes."""
    try:
        recipe.block_side(max(np.dtype(name).itemsize for name in recipe.card.dtypes))
    except SpecError:
        return False
    return True


def eager_name() -> str:
    """Engine and version, the part after the last hyphen; what a build is for, the kind of device says."""
    return f"eager-folded-torch-{version('torch').split('+')[0]}"
