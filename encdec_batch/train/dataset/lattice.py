"""Where windows can lie in an image, in squares: what is valid there, and which classes there are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encdec_batch.train.batch import IGNORE


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """Squares of `side` pixels over an image of `height` x `width`, and windows of `rows` x `cols` in it.

    A cell is a square of places where a window may begin: cell (i, j) has the places of square (i, j) at which a
    window still ends inside the image. All in source pixels.
    """

    height: int
    width: int
    rows: int
    cols: int
    side: int

    @property
    def squares(self) -> tuple[int, int]:
        return -(-self.height // self.side), -(-self.width // self.side)

    @property
    def cells(self) -> tuple[int, int]:
        return -(-(self.height - self.rows + 1) // self.side), -(-(self.width - self.cols + 1) // self.side)

    def places(self) -> NDArray[np.int64]:
        """(cells down, cells across): how many places each has."""
        down, across = (
            np.minimum(self.side, last - self.side * np.arange(number))
            for last, number in zip((self.height - self.rows + 1, self.width - self.cols + 1), self.cells, strict=True)
        )
        return np.multiply.outer(down, across).astype(np.int64)

    def drawn(self, row: int, col: int, rng: np.random.Generator) -> tuple[int, int]:
        """Row and column of a place of a cell, each as likely as any other."""
        return (
            row * self.side + int(rng.integers(min(self.side, self.height - self.rows + 1 - row * self.side))),
            col * self.side + int(rng.integers(min(self.side, self.width - self.cols + 1 - col * self.side))),
        )

    def seen(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """What windows of each cell can see.

        Args:
            counts: (squares down, squares across, n), of each square.

        Returns:
            (cells down, cells across, n), summed over all squares that a window which begins in the cell can touch.
        """
        sums = np.zeros((counts.shape[0] + 1, counts.shape[1] + 1, counts.shape[2]), np.int64)
        sums[1:, 1:] = counts.cumsum(axis=0).cumsum(axis=1)
        (top, bottom), (left, right) = (
            (np.arange(number), self._last(np.arange(number), last, window))
            for number, last, window in zip(self.cells, (self.height, self.width), (self.rows, self.cols), strict=True)
        )
        r0, r1, c0, c1 = top[:, None], bottom[:, None], left, right
        total: NDArray[np.int64] = sums[r1, c1] - sums[r0, c1] - sums[r1, c0] + sums[r0, c0]
        return total

    def _last(self, cell: NDArray[np.intp], length: int, window: int) -> NDArray[np.intp]:
        """One more than the last square that windows of a cell can touch."""
        begins = np.minimum((cell + 1) * self.side - 1, length - window)
        stops: NDArray[np.intp] = (begins + window - 1) // self.side + 1
        return stops


def count_squares(channels_HW: NDArray[np.uint8], side: int, num_classes: int) -> NDArray[np.int64]:
    """Pixels of each class, `IGNORE` left out, in each square of a window that begins at a square's corner.

    Returns:
        (squares down, squares across, num_classes); squares at the right and the bottom may be cut.
    """
    height, width = channels_HW.shape
    down, across = -(-height // side), -(-width // side)
    square_HW = (np.arange(height) // side)[:, None] * across + np.arange(width) // side
    kept = channels_HW != IGNORE
    numbers = square_HW[kept] * num_classes + channels_HW[kept]
    counts = np.bincount(numbers, minlength=down * across * num_classes)
    return counts.reshape(down, across, num_classes).astype(np.int64)
