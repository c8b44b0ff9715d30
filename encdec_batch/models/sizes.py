"""Which image sides a network takes and what comes out, found by trying; axes are taken to be alike here.

The first thing that is measured of a network (models/reach.py goes on from it).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from encdec_batch.errors import ModelError

_BASES = range(48, 257, 16)
"""48 is a multiple of the strides 1, 2, 3, 4, 6, 8, 12, 16, 24 and 48; the others find theirs further on."""
_MAX_SCALE = 8
_MAX_STEP = 64
_MAX_PADDED_STEP = 256
"""Of Pix2Pix, which halves an image eight times. Sides beyond it are tried only for networks that take no others."""
_MAX_SMALLEST = 640
"""The U-Net of 2015 begins at 188 px; a network that takes nothing up to here is not tiled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Sides a network takes: `offset` modulo `step`."""

    scale: int
    step: int
    offset: int
    margin: int
    """Input pixels taken off on each side."""
    smallest: int
    """A small side that is valid."""
    padded: bool

    @property
    def period(self) -> int:
        """A multiple of the strides that are likely."""
        return self.smallest if self.padded else self.step


def find_sizes(network: nn.Module, num_bands: int) -> Sizes:
    """The sides that the network (float64, eval) takes.

    Raises:
        ModelError: no side is found.
    """
    found = _find_padded(network, num_bands)
    if found is None:
        found = _find_unpadded(network, num_bands)
    return found


def output_side(network: nn.Module, num_bands: int, side: int, across: int) -> int | None:
    """The height that comes out for an image of `side` rows and `across` columns; None where it does not pass."""
    image = torch.zeros(1, num_bands, side, across, dtype=torch.float64)
    try:
        with torch.no_grad():
            out = network(image)
    except (RuntimeError, ValueError):
        # How a network says that a size does not fit differs from network to network.
        return None
    if not isinstance(out, torch.Tensor) or out.ndim != 4 or out.shape[0] != 1:
        raise ModelError(
            "the network gives no tensor of (batch, channels, height, width)",
            hint="wrap it in a module that returns the one output that is wanted",
        )
    return int(out.shape[2])


def _find_padded(network: nn.Module, num_bands: int) -> Sizes | None:
    for base in _BASES:
        once, twice = (output_side(network, num_bands, n, base) for n in (base, 2 * base))
        if not once or once % base or twice != 2 * once or once // base > _MAX_SCALE:
            continue
        scale = once // base
        for step in range(1, _MAX_PADDED_STEP + 1):
            first = -(-base // step) * step
            tried = (first, first + step, first + 2 * step)
            if all(output_side(network, num_bands, n, base) == scale * n for n in tried):
                return Sizes(scale=scale, step=step, offset=0, margin=0, smallest=base, padded=True)
    return None


def _find_unpadded(network: nn.Module, num_bands: int) -> Sizes:
    smallest = next((n for n in range(1, _MAX_SMALLEST + 1) if output_side(network, num_bands, n, n)), None)
    if smallest is None:
        _explain(network, num_bands)
    else:
        last = smallest + 3 * _MAX_STEP
        outputs = {n: output_side(network, num_bands, n, smallest) for n in range(smallest, last + 1)}
        for step in range(1, _MAX_STEP + 1):
            fits = min(_progressions(outputs, smallest, step), key=lambda sizes: sizes.margin, default=None)
            if fits is not None:
                return fits
    raise ModelError(
        "the sides of what comes out do not follow the sides of what goes in",
        hint="a network must give 1 to 8 output pixels per input pixel, less the same margin on both sides",
    )


def _progressions(outputs: Mapping[int, int | None], smallest: int, step: int) -> Iterator[Sizes]:
    """Sizes `step` apart whose outputs grow by a whole multiple of it, less an even margin."""
    for first in range(smallest, smallest + step):
        sides = [outputs[first + i * step] for i in range(3)]
        a, b, c = (side or 0 for side in sides)
        growth = b - a
        if a < 1 or growth < step or growth % step or c - b != growth or growth // step > _MAX_SCALE:
            continue
        scale = growth // step
        if a % scale == 0 and first >= a // scale and (first - a // scale) % 2 == 0:
            margin = (first - a // scale) // 2
            yield Sizes(scale=scale, step=step, offset=first % step, margin=margin, smallest=first, padded=False)


def _explain(network: nn.Module, num_bands: int) -> None:
    """Say with the network's own words why not even a large image passes."""
    side = _MAX_SMALLEST
    try:
        with torch.no_grad():
            network(torch.zeros(1, num_bands, side, side, dtype=torch.float64))
    except (RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        raise ModelError(
            f"no image of {num_bands} bands up to {side} px passes the network: {said}",
            hint="check the number of bands",
        ) from error
