"""One plane of a Zarr array: rows and columns along its last two axes, bands along c, one index along t and z."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from encdec_batch.read.folder import Piece, PinnedFolder
from encdec_batch.read.zarr.array import ZarrArray
from encdec_batch.read.zarr.chunks import Chunk, Chunks
from encdec_batch.window import Window

AxisName = Literal["t", "c", "z", "y", "x"]


@dataclass(frozen=True, slots=True)
class Values:
    """Stored values of a window."""

    pixels_BHW: NDArray[np.generic]
    """In the array's dtype; 0 where there is no value."""
    there_BHW: NDArray[np.bool_] | None
    """Where there is a value; None: everywhere."""


class ZarrPlane:
    """Windows of one plane.

    Args:
        folder: that the array is in.
        array: of which.
        axes: names of its axes; the last two are y and x.
        at: the index along each axis that is neither c, y nor x.
    """

    def __init__(
        self, folder: PinnedFolder, array: ZarrArray, axes: Sequence[AxisName], at: dict[AxisName, int]
    ) -> None:
        self._folder, self._array, self._axes, self._at = folder, array, tuple(axes), at
        self._chunks = Chunks(folder, array)

    @property
    def num_chunks(self) -> int:
        """Of the plane with all its bands."""
        return math.prod(self._array.grid(axis) for axis, name in enumerate(self._axes) if name in "cyx")

    def find(self, windows: Sequence[Window], bands: Sequence[int]) -> list[list[Chunk]]:
        """For each window the chunks with its pixels.

        Args:
            windows: of the plane.
            bands: counted from 0.
        """
        return self._chunks.find([self._grid(window, bands) for window in windows])

    def read(self, window: Window, bands: Sequence[int], chunks: Sequence[Chunk]) -> Values:
        """The values of a window, of whose chunks the bytes are held."""
        array = self._array
        shape = len(bands), window.height, window.width
        has_fill = array.fill is not None
        pixels = np.full(shape, array.fill if has_fill else 0, array.dtype.newbyteorder("="))
        there = None if has_fill else np.zeros(shape, np.bool_)
        for chunk in chunks:
            values = self._chunks.values(chunk)
            if values is None:
                continue
            place, first_band, count = self._place(chunk)
            common = place.intersection(window)
            inside = common.shift(-place.row_off, -place.col_off)
            target = common.shift(-window.row_off, -window.col_off)
            block = values[self._cut(chunk, inside)].reshape(count, inside.height, inside.width)
            for position, band in enumerate(bands):
                if first_band <= band < first_band + count:
                    pixels[position, target.rows, target.cols] = block[band - first_band]
                    if there is not None:
                        there[position, target.rows, target.cols] = True
        return Values(pixels, there)

    def kept(self, chunks: Collection[Chunk]) -> set[Piece]:
        """The bytes to keep of a window for its right neighbour: those furthest to the right, then lowest."""
        found = ((chunk.indices[-1], chunk.indices[-2], chunk.piece) for chunk in chunks if chunk.piece is not None)
        kept: set[Piece] = set()
        total = 0
        for _, _, piece in sorted(found, reverse=True):
            total += piece.stop - piece.start
            if total > self._folder.limits.kept_bytes:
                break
            kept.add(piece)
        return kept

    def objects(self) -> tuple[int, int, int]:
        """How many objects the whole plane has, how many of them there are, and their bytes."""
        counts = self._array.shards.chunks if self._array.shards else (1,) * len(self._axes)
        lines: list[Sequence[int]] = []
        for axis, name in enumerate(self._axes):
            side = self._array.chunk[axis] * counts[axis]
            whole = range(-(-self._array.shape[axis] // side))
            lines.append(whole if name in "cyx" else [self._at[name] // side])
        sizes = [self._folder.size_of(self._array.path(indices)) for indices in itertools.product(*lines)]
        there = [size for size in sizes if size is not None]
        return len(sizes), len(there), sum(there)

    def _grid(self, window: Window, bands: Sequence[int]) -> list[Sequence[int]]:
        spans = {"y": (window.row_off, window.row_stop), "x": (window.col_off, window.col_stop)}
        lines: list[Sequence[int]] = []
        for axis, name in enumerate(self._axes):
            side = self._array.chunk[axis]
            if name in spans:
                start, stop = spans[name]
                lines.append(range(start // side, (stop - 1) // side + 1))
            else:
                lines.append(sorted({band // side for band in bands}) if name == "c" else [self._at[name] // side])
        return lines

    def _place(self, chunk: Chunk) -> tuple[Window, int, int]:
        """Pixels of a chunk that are in the plane, its first band, and how many it has in it."""
        spans: dict[str, tuple[int, int]] = {"c": (0, 1)}
        for axis, name in enumerate(self._axes):
            start = chunk.indices[axis] * self._array.chunk[axis]
            spans[name] = start, min(start + self._array.chunk[axis], self._array.shape[axis])
        first, last = spans["c"]
        return Window.from_bounds(spans["y"], spans["x"]), first, last - first

    def _cut(self, chunk: Chunk, inside: Window) -> tuple[int | slice, ...]:
        """Of a chunk's values, those of the plane in a window of the chunk."""
        cut: list[int | slice] = []
        for axis, name in enumerate(self._axes):
            start = chunk.indices[axis] * self._array.chunk[axis]
            if name in ("y", "x"):
                cut.append(inside.rows if name == "y" else inside.cols)
            else:
                last = self._array.shape[axis] - start
                cut.append(slice(0, min(last, self._array.chunk[axis])) if name == "c" else self._at[name] - start)
        return tuple(cut)
