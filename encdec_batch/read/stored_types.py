"""Types of stored values that are no pixels of ours, in the smallest type of pixels that holds each of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.gdal.describe import DTYPES

_AS = {
    "bool": "uint8",
    "int8": "int16",
    "uint32": "float64",
    "int32": "float64",
    "uint64": "float64",
    "int64": "float64",
    "float16": "float32",
}
_EXACT = 1 << 53
"""Above it, not every integer is a float64."""


def pixel_type(stored: DTypeLike) -> str:
    """The type of pixels, one of `DTYPES`, of integers, floats and truth values of up to 64 bits."""
    name = np.dtype(stored).name
    return name if name in DTYPES else _AS[name]


def as_pixels(stored: NDArray[np.generic], *, uri: str, copy: bool = True) -> NDArray[np.generic]:
    """Stored values, each unchanged, in the type that `pixel_type` says, axes in C order.

    Args:
        stored: the values.
        uri: for messages.
        copy: what comes back is the caller's; else it may be `stored` itself.

    Raises:
        UnsupportedScene: integers of 64 bits among them are beyond 2^53.
    """
    if stored.dtype.kind in "iu" and stored.dtype.itemsize == 8 and stored.size:
        low, high = int(stored.min()), int(stored.max())
        if low < -_EXACT or high > _EXACT:
            raise UnsupportedScene(
                f"{uri}: values from {low} to {high}, of which float64 does not hold all exactly",
                hint="convert it to int16, uint16 or float32",
                uri=uri,
            )
    return stored.astype(pixel_type(stored.dtype), order="C", copy=copy)
