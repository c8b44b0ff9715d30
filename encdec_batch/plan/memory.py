"""Headers that earlier plans of an output read: an object that has not changed since is not opened again."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass

import pyarrow as pa

from encdec_batch.plan.opening import Remembered
from encdec_batch.plan.scene import Candidate
from encdec_batch.plan.table import fingerprint_of_reading, header_of, read_segment, segments
from encdec_batch.read.header import HEADER_FORMAT, SceneHeader
from encdec_batch.spec.job import JobSpec
from encdec_batch.store.store import Store

AT_HAND_BYTES = 64 * 2**20
"""Of segments that are held: some 70,000 scenes. Scenes are asked for in the order of the listing; where an archive
grew by many runs, those of all their plans come by turns."""
MOST_READS = 4
"""Times that segments are read again, in the mean, before the memory is given up: then a header costs less."""
NAME_COLUMNS = ("uri", "plane", "slices")
_LEAST_COLUMNS = (*NAME_COLUMNS, "blocks_done")
_COLUMNS = (*_LEAST_COLUMNS, "etag", "size_bytes", "bytes_to_read", "staged", "part_key", "header")

ImageName = tuple[str, str, int]
"""URI, plane and number of slices read together."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenBefore:
    """An object as an earlier plan saw it."""

    header: SceneHeader
    etag: str
    size_bytes: int


class PlanMemory:
    """A `Memory` of the plans of one output, for one way of reading. Holds a line per object, and some segments.

    Reads the plans when it is first asked. Used by one thread.
    """

    def __init__(self, store: Store, spec: JobSpec) -> None:
        self._store, self._reading = store, fingerprint_of_reading(spec)
        self._rows: dict[ImageName, tuple[str, int]] | None = None
        self._at_hand: OrderedDict[str, pa.Table | None] = OrderedDict()
        self._bytes = self._reads = self._most_reads = 0

    def find(self, candidate: Candidate) -> Remembered | None:
        if self._rows is None:
            self._rows = self._index()
        place = self._rows.get((candidate.uri, str(candidate.plane), len(candidate.images)))
        table = self._segment(place[0]) if place else None
        if place is None or table is None:
            return None
        row = {name: table[name][place[1]].as_py() for name in _COLUMNS}
        if not candidate.etag or row["etag"] != candidate.etag:
            return None
        try:
            header = header_of(row["header"])
        except ValueError:
            # Of another version of this program.
            return None
        return Remembered(
            seen=SeenBefore(header=header, etag=row["etag"], size_bytes=row["size_bytes"]),
            part_key=row["part_key"],
            bytes_to_read=row["bytes_to_read"],
            staged=row["staged"],
        )

    def _index(self) -> dict[ImageName, tuple[str, int]]:
        """Image to segment and row, the newest."""
        rows: dict[ImageName, tuple[str, int]] = {}
        for _, path in segments(self._store):
            room = self._bytes < AT_HAND_BYTES
            found = read_segment(self._store, path, _COLUMNS if room else _LEAST_COLUMNS)
            if found is None or (found[1].get("reading"), found[1].get("headers")) != (self._reading, HEADER_FORMAT):
                continue
            self._most_reads += MOST_READS
            if room:
                self._hold(path, found[0].combine_chunks())
            *names, done = (found[0][name].to_pylist() for name in _LEAST_COLUMNS)
            # What a scene that was begun had left to read says nothing of the whole.
            rows |= {name: (path, row) for row, name in enumerate(zip(*names, strict=True)) if not done[row]}
        return rows

    def _segment(self, path: str) -> pa.Table | None:
        if path not in self._at_hand:
            if self._reads == self._most_reads:
                log.info("plan.memory_given_up", extra={"reads": self._reads})
                self._rows = {}
                self._at_hand.clear()
                return None
            self._reads += 1
            found = read_segment(self._store, path, _COLUMNS)
            self._hold(path, found[0].combine_chunks() if found else None)
        self._at_hand.move_to_end(path)
        return self._at_hand[path]

    def _hold(self, path: str, table: pa.Table | None) -> None:
        """This one, and of the others those that were asked for last."""
        self._at_hand[path] = table
        self._bytes += table.nbytes if table else 0
        while self._bytes > AT_HAND_BYTES and len(self._at_hand) > 1:
            _, oldest = self._at_hand.popitem(last=False)
            self._bytes -= oldest.nbytes if oldest else 0
