"""A slice of a volume that is held whole, once in a process, whichever reader fetched it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encdec_batch.read.gunzip import unpack_to
from encdec_batch.read.kept import Kept, Key
from encdec_batch.read.nifti.header import NiftiHeader, SliceAxes
from encdec_batch.read.nifti.turned import TurnedVolumes
from encdec_batch.read.ranges import LONGEST_BYTES, PinnedObject, Span

_volumes: Kept[NDArray[np.generic]] = Kept()
"""(volumes, slices, rows, columns, samples), unpacked: of all volumes of a .nii.gz, of one of a .nii."""
_AT_A_TIME = 4
"""Gets of at most 8 MiB, held beside the volume until they are copied into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSource:
    """Where the voxels of one volume come from."""

    source: PinnedObject
    nifti: NiftiHeader
    axes: SliceAxes
    volume: int
    """Which of those in the file."""
    packed: bool
    """By gzip: all of them are had together."""

    @property
    def key(self) -> Key:
        which = "all" if self.packed else str(self.volume)
        return self.source.uri, self.source.etag, which, str(self.axes.across)

    def cost(self) -> int:
        """Bytes that `load` fetches."""
        if self.packed:
            return self.source.whole_cost()
        return sum(self.source.cost(spans, ()) for spans in self._gets())

    def load(self) -> NDArray[np.generic]:
        """Fetches and unpacks what belongs together; each slice lies in one piece, however the file has it."""
        nifti = self.nifti
        held = TurnedVolumes(nifti, self.axes, nifti.all_bytes // nifti.volume_bytes if self.packed else 1)
        if self.packed:
            unpack_to(held.put, nifti.all_bytes, self.source.stream(), skip=nifti.start, uri=self.source.uri)
        else:
            for spans in self._gets():
                self.source.hold(spans)
                for start, stop in spans:
                    held.put(np.frombuffer(self.source.bytes_at(start, stop), np.uint8))
                self.source.keep(())
        return held.done()

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

    def __init__(self, origin: VolumeSource, *, index: int) -> None:
        self._origin, self._index = origin, index
        self._volumes: NDArray[np.generic] | None = None

    def rows(self, start: int, stop: int) -> NDArray[np.generic]:
        """See `SliceSource.rows`."""
        if self._volumes is None:
            self._volumes = _volumes.get(self._origin.key, self._origin.load)
        slice_HWS: NDArray[np.generic] = self._volumes[self._origin.volume if self._origin.packed else 0, self._index]
        return slice_HWS[start:stop]

    def cost(self, rows: Sequence[tuple[int, int]]) -> int:
        """See `SliceSource.cost`; nothing, where another reader of this process has the volume."""
        if self._volumes is None:
            self._volumes = _volumes.find(self._origin.key)
        return self._origin.cost() if rows and self._volumes is None else 0

    def close(self) -> None:
        """See `SliceSource.close`."""
        self._volumes = None
