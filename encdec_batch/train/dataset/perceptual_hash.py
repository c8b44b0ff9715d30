"""A short number for a picture, equal for the same picture in another file: of other compression, size or format.

Source: Zauner 2010 (Implementation and benchmarking of perceptual image hash functions), section 3.2.1: the signs of
the lowest frequencies of the cosine transform of a small grey image, against their median.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encdec_batch.window import Window

SIDE = 32
"""Of the small image."""
_LOW = 8
MOST_BITS = 4
"""Of 64: pictures that differ in no more are taken for one. Lossy compression turns bits whose frequencies are just at
the median: 4 at most in all but a few of 360 photographs, micrographs and satellite images; any two other pictures of
these differed in 12 or more, save frames of one film."""
_LEAST_CONTRAST = 1e-3
"""Standard deviation over mean magnitude of the small image: below, there is no picture to be compared."""


class SmallImage:
    """Means over SIDE x SIDE parts of an image, gathered from windows that cover it once."""

    def __init__(self, height: int, width: int) -> None:
        self._rows = np.arange(height) * SIDE // height
        self._cols = np.arange(width) * SIDE // width
        self._sums = np.zeros((SIDE, SIDE))
        self._counts = np.zeros((SIDE, SIDE), np.int64)

    def add(self, pixels_CHW: NDArray[np.generic], valid_HW: NDArray[np.bool_], window: Window) -> None:
        """The pixels of a window; bands are averaged."""
        grey_HW = np.where(valid_HW, np.nan_to_num(pixels_CHW.astype(np.float64)).mean(axis=0), 0.0)
        part_HW = self._rows[window.rows][:, None] * SIDE + self._cols[window.cols]
        self._sums += np.bincount(part_HW.ravel(), grey_HW.ravel(), SIDE * SIDE).reshape(SIDE, SIDE)
        self._counts += np.bincount(part_HW.ravel(), valid_HW.ravel(), SIDE * SIDE).reshape(SIDE, SIDE).astype(int)

    def likeness(self) -> int | None:
        """The picture's number; None: too small, mostly invalid, or of one colour."""
        if self._counts.astype(bool).mean() < 0.5:
            return None
        known = self._counts > 0
        mean = self._sums.sum() / self._counts.sum()
        grey = np.where(known, self._sums / np.maximum(self._counts, 1), mean)
        if grey.std() <= _LEAST_CONTRAST * np.abs(grey).mean():
            return None
        return _hash(grey)


def _hash(grey: NDArray[np.float64]) -> int:
    low = (_COSINES @ grey @ _COSINES.T).ravel()
    low[0] = np.median(low[1:])  # the mean brightness says nothing of the picture
    bits = low > np.median(low[1:])
    return int("".join("1" if bit else "0" for bit in bits), 2)


def _cosines() -> NDArray[np.float64]:
    """Rows of the cosine transform, type II, of the lowest frequencies."""
    angles = np.pi * (2 * np.arange(SIDE) + 1) * np.arange(_LOW)[:, None] / (2 * SIDE)
    return np.cos(angles)


_COSINES = _cosines()


def alike(one: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """(len(one), len(others)): which pictures are taken for the same."""
    near: NDArray[np.bool_] = np.bitwise_count(one[:, None] ^ others) <= MOST_BITS
    return near
