"""Pixels that show nobody: a golden sample is in the package, for everybody to see."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.train.dataset.normalization import Units

_COARSEST = 64
"""Pixels that one drawn value spreads over, at most."""


def synthetic(units: Units, dtype: str, side: int, *, labels: bool = False) -> NDArray[np.generic]:
    """(bands, side, side) of noise at several scales, with about the mean and deviation of the images; always the same.

    Args:
        units: of the normalised images.
        dtype: of their files.
        side: pixels, a multiple of 64.
        labels: what is seen are classes: each pixel is of one band, or of a colour.
    """
    rng = np.random.default_rng(0)
    num_bands = len(units.centre)
    if labels:
        of_class = np.kron(rng.integers(0, num_bands, (side // 16, side // 16)), np.ones((16, 16), np.int64))
        seen: NDArray[Any] = of_class[None] == np.arange(num_bands)[:, None, None]
        return (seen * units.spread.reshape(-1, 1, 1)).astype(np.float32)
    steps = [step for step in (1, 4, 16, _COARSEST) if side % step == 0]
    drawn_CHW = sum(
        (rng.normal(size=(num_bands, side // step, side // step)).repeat(step, 1).repeat(step, 2) for step in steps),
        start=np.zeros((num_bands, side, side)),
    ) / np.sqrt(len(steps))
    values = units.centre.reshape(-1, 1, 1) + units.spread.reshape(-1, 1, 1) * drawn_CHW
    if np.dtype(dtype).kind == "f":
        return np.asarray(values, dtype)
    ends = np.iinfo(dtype)
    return np.asarray(np.clip(np.rint(values), ends.min, ends.max), dtype)
