"""How far a network's results differ between tile shapes, where in exact arithmetic they would not.

Kernels are chosen by shape and add in another order; the difference is what a certificate must forgive.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from math import isfinite

import torch
from torch import Tensor, nn
from torch.nn import functional

from encdec_batch.errors import ModelError
from encdec_batch.grid import round_up
from encdec_batch.models.card import GeometryCard, ToleranceCard
from encdec_batch.models.forward import DTYPES, Precision, forward, prepare

log = logging.getLogger(__name__)

_SAFETY = 4
_WHOLE, _CORES = 256, (32, 96, 160)
"""Pixels answered for, besides the context, by the large image and by the tiles cut from it."""


def measure_tolerances(network: nn.Module, num_bands: int, geometry: GeometryCard) -> Mapping[str, ToleranceCard]:
    """By `<device kind>/<precision>`, on every kind of device that is here.

    A precision that the network cannot be run in is left out, and the log says why: the device lacks an operation in
    it, or values overflow.
    """
    found: dict[str, ToleranceCard] = {}
    for kind in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        for precision in DTYPES:
            try:
                found[f"{kind}/{precision}"] = measure_tolerance(network, num_bands, geometry, precision, kind)
            except (ModelError, RuntimeError) as error:
                # What float32 cannot do, the network cannot do.
                if precision == "float32":
                    raise
                said = {"device": kind, "precision": precision, "reason": " ".join(str(error).split())[:200]}
                log.warning("publish.precision_left_out", extra=said)
    return found


def measure_tolerance(
    network: nn.Module,
    num_bands: int,
    geometry: GeometryCard,
    precision: Precision = "float32",
    device: str = "cpu",
) -> ToleranceCard:
    """Four times the largest difference seen, and at least one unit in the last place of the largest output.

    Labels can flip where two channels are closer than twice a difference: each may be off by one.
    For a global network, whose tiles differ anyway, the least value is given.

    Raises:
        ModelError: the output is not finite.
        RuntimeError: torch has not every operation of the network in this precision.
    """
    prepared = prepare(network, device=device, precision=precision)
    worst, largest = 0.0, 0.0
    # A CPU without float16 of its own takes six times as long in it: white noise alone, whose values are larger.
    for seed in range(1 if (device, precision) == ("cpu", "float16") else 2):
        whole, differences = _compare(prepared, num_bands, geometry, seed)
        if not all(map(isfinite, (whole, *differences))):
            raise ModelError(f"the network's output for noise is not finite in {precision}", hint="check its weights")
        largest = max(largest, whole)
        worst = max(worst, *differences, 0.0)
    value = max(_SAFETY * worst, torch.finfo(DTYPES[precision]).eps * largest)
    return ToleranceCard(value=value, margin=2 * value)


def _compare(network: nn.Module, num_bands: int, geometry: GeometryCard, seed: int) -> tuple[float, list[float]]:
    """The largest value of one plain pass, and the largest difference of each tile from it."""
    s, k, offset = geometry.stride, geometry.scale, geometry.size_offset
    halo = 0 if geometry.margin else round_up(geometry.reach, s)
    context = 2 * (halo + geometry.margin)

    def valid(side: int) -> int:
        return round_up(side + context - offset, s) + offset

    # Tiles of the largest strides must have room to be elsewhere.
    image = _noise(num_bands, valid(max(_WHOLE, 2 * s)), seed)
    whole = forward(network, image)
    largest = float(whole.abs().max())
    if geometry.exactness == "global":
        return largest, []
    differences: list[float] = []
    for tile in dict.fromkeys(map(valid, _CORES)):
        for row, col in _origins(image.shape[2] - tile, s):
            part = forward(network, image[:, :, row : row + tile, col : col + tile])
            answered = tile - 2 * geometry.margin - 2 * halo
            core = part[:, :, k * halo : k * (halo + answered), k * halo : k * (halo + answered)]
            top, left = k * (row + halo), k * (col + halo)
            there = whole[:, :, top : top + core.shape[2], left : left + core.shape[3]]
            differences.append(float((core - there).abs().max()))
    return largest, differences


def _origins(free: int, stride: int) -> Iterator[tuple[int, int]]:
    last, middle = free // stride * stride, free // 2 // stride * stride
    yield from {(0, 0), (middle, last), (last, middle)}


def _noise(num_bands: int, side: int, seed: int) -> Tensor:
    """White noise for even seeds, smooth noise for odd ones: networks answer to them differently."""
    generator = torch.Generator().manual_seed(seed)
    if seed % 2 == 0:
        return torch.randn(1, num_bands, side, side, generator=generator)
    coarse = torch.randn(1, num_bands, -(-side // 8), -(-side // 8), generator=generator)
    smooth = functional.interpolate(coarse, scale_factor=8, mode="bilinear", align_corners=False)
    return smooth[:, :, :side, :side]
