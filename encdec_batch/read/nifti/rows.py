"""Rows of a slice across k, of which a .nii has the voxels in one range of bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.nifti.header import NiftiHeader
from encdec_batch.read.ranges import PinnedObject, Span

_STRIP_BYTES = 1 << 20
"""Rows are fetched by strips of about this size, so that what neighbours share is kept."""


class RowsOfSlice:
    """A `SliceSource` by strips; keeps those of the last window, the lower ones first.

    Args:
        source: the object.
        nifti: its header.
        index: of the slice along k.
        volume: of the slice's volume among all.
    """

    def __init__(self, source: PinnedObject, nifti: NiftiHeader, *, index: int, volume: int) -> None:
        self._source, self._nifti = source, nifti
        self._width, self._height, num_slices = nifti.shape
        self._row_bytes = self._width * nifti.voxel_bytes
        self._start = nifti.start + (volume * num_slices + index) * self.num_bytes
        self.rows_of_strip = min(self._height, max(1, _STRIP_BYTES // self._row_bytes))
        if self._row_bytes > source.limits.max_decoded_bytes:
            raise UnsupportedScene(
                f"{source.uri}: a row of its voxels has {self._row_bytes:,} bytes, "
                f"more than {source.limits.max_decoded_bytes:,}",
                hint="raise limits.max_tile_mb, if the volume is what it should be",
                uri=source.uri,
            )

    @property
    def num_bytes(self) -> int:
        """Of the slice."""
        return self._row_bytes * self._height

    def rows(self, start: int, stop: int) -> NDArray[np.generic]:
        """See `SliceSource.rows`."""
        strips = self._strips(start, stop)
        self._source.hold(strips)
        data = b"".join(self._source.bytes_at(*strip) for strip in strips)
        self._source.keep(self._kept(strips))
        first = start - start % self.rows_of_strip
        voxels = np.frombuffer(data, self._nifti.voxel).reshape(-1, self._width, self._nifti.num_samples)
        return voxels[start - first : stop - first]

    def cost(self, rows: Sequence[tuple[int, int]]) -> int:
        """See `SliceSource.cost`."""
        total, held = 0, set(self._source.held)
        for start, stop in rows:
            strips = self._strips(start, stop)
            total += self._source.cost(strips, held)
            held = self._kept(strips)
        return total

    def close(self) -> None:
        """See `SliceSource.close`."""
        self._source.keep(())

    def _strips(self, start: int, stop: int) -> list[Span]:
        firsts = range(start - start % self.rows_of_strip, stop, self.rows_of_strip)
        return [self._span(first, min(first + self.rows_of_strip, self._height)) for first in firsts]

    def _span(self, start: int, stop: int) -> Span:
        return self._start + start * self._row_bytes, self._start + stop * self._row_bytes

    def _kept(self, strips: Iterable[Span]) -> set[Span]:
        kept: set[Span] = set()
        total = 0
        for start, stop in sorted(strips, reverse=True):
            total += stop - start
            if total > self._source.limits.kept_bytes:
                break
            kept.add((start, stop))
        return kept
