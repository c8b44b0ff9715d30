"""A slice of a volume that is held whole, once in a process, whichever reader fetched it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encdec_batch.read.gunzip import unpack_into
from encdec_batch.read.kept import Kept, Key
from encdec_batch.read.nifti.header import NiftiHeader, SliceAxes
from encdec_batch.read.ranges import LONGEST_BYTES, PinnedObject, Span

_volumes: Kept[NDArray[np.uint8]] = Kept()
"""Bytes of voxels as they lie in the file, unpacked: of all volumes of a .nii.gz, of one of a .nii."""
_AT_A_TIME = 4
"""Gets of at most 8 MiB, held beside the volume until they are copied into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSource:
    """Where the bytes of one volume come from."""

    source: PinnedObject
    nifti: NiftiHeader
    volume: int
    """Which of those in the file."""
    packed: bool
    """By gzip: all of them are had together."""

    @property
    def key(self) -> Key:
        return self.source.uri, self.source.etag, "all" if self.packed else str(self.volume)

    def cost(self) -> int:
        """Bytes that `load` fetches."""
        if self.packed:
            return self.source.whole_cost()
        return sum(self.source.cost(spans, ()) for spans in self._gets())

    def load(self) -> NDArray[np.uint8]:
        """Fetches and unpacks what belongs together."""
        held = np.empty(self.nifti.all_bytes if self.packed else self.nifti.volume_bytes, np.uint8)
        if self.packed:
            unpack_into(held, self.source.stream(), skip=self.nifti.start, uri=self.source.uri)
        else:
            first = self._span[0]
            for spans in self._gets():
                self.source.hold(spans)
                for start, stop in spans:
                    held[start - first : stop - first] = np.frombuffer(self.source.bytes_at(start, stop), np.uint8)
                self.source.keep(())
        held.flags.writeable = False
        return held

    @property
    def _span(self) -> Span:
        start = self.nifti.start + self.volume * self.nifti.volume_bytes
        return start, start + self.nifti.volume_bytes

    def _gets(self) -> Iterator[list[Span]]:
        first, last = self._span
        step = LONGEST_BYTES * _AT_A_TIME
        for begin in range(first, last, step):
            end = min(last, begin + step)
            yield [(start, min(end, start + LONGEST_BYTES)) for start in range(begin, end, LONGEST_BYTES)]


class SliceOfVolume:
    """A `SliceSource` of one index along an axis. It holds on to the volume until it is closed."""

    def __init__(self, origin: VolumeSource, axes: SliceAxes, *, index: int) -> None:
        self._origin, self._axes, self._index = origin, axes, index
        self._volume: NDArray[np.uint8] | None = None

    def rows(self, start: int, stop: int) -> NDArray[np.generic]:
        """See `SliceSource.rows`."""
        if self._volume is None:
            self._volume = _volumes.get(self._origin.key, self._origin.load)
        nifti = self._origin.nifti
        first = self._origin.volume * nifti.volume_bytes if self._origin.packed else 0
        data = self._volume[first : first + nifti.volume_bytes]
        # Last comes what the file has fastest: samples, then i.
        voxels_KJIS = data.view(nifti.voxel).reshape(*reversed(nifti.shape), nifti.num_samples)
        # Of two axes that are left the later has rows, so they are in place.
        slice_HWS: NDArray[np.generic] = np.moveaxis(voxels_KJIS, 2 - self._axes.across, 0)[self._index]
        return slice_HWS[start:stop]

    def cost(self, rows: Sequence[tuple[int, int]]) -> int:
        """See `SliceSource.cost`; nothing, where another reader of this process has the volume."""
        if self._volume is None:
            self._volume = _volumes.find(self._origin.key)
        return self._origin.cost() if rows and self._volume is None else 0

    def close(self) -> None:
        """See `SliceSource.close`."""
        self._volume = None
