"""What `auto` becomes on this machine: device, precision, batch and core. Torch is imported only to measure."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import numpy as np

from encdec_batch.errors import ModelError, SpecError
from encdec_batch.grid import round_up
from encdec_batch.models.architectures import EXTRA_PACKAGES, EXTRAS, missing_extra
from encdec_batch.models.card import ONNX, Card, ImageOutput
from encdec_batch.models.package import Package
from encdec_batch.plan.recipe import Order, Recipe, Resolved
from encdec_batch.predict.device import Device, choose_device
from encdec_batch.spec.job import JobSpec


def resolve(spec: JobSpec, package: Package) -> Resolved:
    """What a worker on this machine would do; measures for some seconds where `core: auto` is asked for.

    Raises:
        SpecError: the device asked for is not there.
        ModelError: the network cannot be built.
    """
    compute, asked = spec.compute, spec.tiling.core
    device = device_for(package.card, compute.device, compute.precision, compute.batch)
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
            engine=engine_name(package.card),
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


def device_for(card: Card, wanted: str, precision: str, batch: int | Literal["auto"]) -> Device:
    """The device of this machine for a network, with `auto` resolved.

    Raises:
        SpecError: what is asked for is not there, or this network cannot be run so.
    """
    if card.architecture != ONNX:
        found = choose_device(wanted, precision, batch)
        # In a precision that the card leaves out on every device, the network is another one.
        known = {kind.partition("/")[2] for kind in card.tolerance}
        left_out = bool(known) and found.precision not in known
        if precision == "auto" and (left_out or _keeps_values(card)):
            return choose_device(wanted, "float32", batch)
        return found
    for name, value in (("device", wanted), ("precision", precision)):
        if value not in ("auto", "cpu", "float32"):
            raise SpecError(
                f"compute.{name} is {value}, and {card.name} is an ONNX network, which runs on the CPU in float32",
                hint=f"say {name}: auto",
            )
    return choose_device("cpu", "float32", batch)


def _keeps_values(card: Card) -> bool:
    """Whether results hold values that lower precision would change: 8 bits of significand are a step of 4 Hounsfield
    units at 1000. Classes hardly change, nor what is cut into 254 steps anyway.
    """
    return isinstance(card.output, ImageOutput) and card.output.dtype != "uint8"


def engine_name(card: Card) -> str:
    """Engine and version by which this network is run; of an extra, the versions of its packages before those of torch.

    Raises:
        ModelError: what runs it is not installed.
    """
    if card.architecture == ONNX:
        return onnx_name()
    return eager_name(extra_name(card.architecture)) if card.architecture in EXTRAS else eager_name()


def extra_name(architecture: str) -> str:
    """The packages of an extra with their versions.

    Raises:
        ModelError: one is not installed.
    """
    try:
        return "-".join(f"{name}-{version(name)}" for name in EXTRA_PACKAGES[architecture])
    except PackageNotFoundError as error:
        raise missing_extra(architecture, str(error.name)) from error


def onnx_name() -> str:
    """As `eager_name`.

    Raises:
        ModelError: onnxruntime is not installed.
    """
    try:
        return f"onnxruntime-{version('onnxruntime').split('+')[0]}"
    except PackageNotFoundError as error:
        raise ModelError(
            "the package is an ONNX network, and onnxruntime is not installed",
            hint="pip install 'encdec-batch[onnx]', on every machine that runs it",
        ) from error


def eager_name(beside: str = "") -> str:
    """Engine and version, the part after the last hyphen; what a build is for, the kind of device says.

    Args:
        beside: whose code the network is, where it is not ours.
    """
    return f"eager-folded-{beside}{'-' if beside else ''}torch-{version('torch').split('+')[0]}"
