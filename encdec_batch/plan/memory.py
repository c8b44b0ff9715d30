"""Headers that earlier plans of an output read: an object that has not changed since is not opened again."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from encdec_batch.plan.opening import Remembered
from encdec_batch.plan.scene import Candidate
from encdec_batch.plan.table import fingerprint_of_limits, header_of, read_segment, segments
from encdec_batch.read.header import SceneHeader
from encdec_batch.spec.job import LimitsSpec
from encdec_batch.store.store import Store

AT_HAND = 2
"""Segments that are held. Scenes are asked for in the order in which they were planned, so two are enough."""
_COLUMNS = ("uri", "etag", "size_bytes", "blocks_done", "bytes_to_read", "staged", "part_key", "header")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenBefore:
    """An object as an earlier plan saw it."""

    header: SceneHeader
    etag: str
    size_bytes: int


class PlanMemory:
    """A `Memory` of the plans of one output, for one set of limits. Holds a line per object, and few segments.

    Reads the plans when it is first asked. Used by one thread.
    """

    def __init__(self, store: Store, limits: LimitsSpec) -> None:
        self._store, self._limits = store, fingerprint_of_limits(limits)
        self._rows: dict[str, tuple[str, int]] | None = None
        self._at_hand: OrderedDict[str, pa.Table | None] = OrderedDict()

    def find(self, candidate: Candidate) -> Remembered | None:
        if self._rows is None:
            self._rows = self._index()
        place = self._rows.get(candidate.uri)
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

    def _index(self) -> dict[str, tuple[str, int]]:
        """URI to segment and row, the newest."""
        rows: dict[str, tuple[str, int]] = {}
        for _, path in segments(self._store):
            found = read_segment(self._store, path, ("uri", "blocks_done"))
            if found is None or found[1].get("limits") != self._limits:
                continue
            uris, done = (column.to_pylist() for column in found[0].columns)
            # What a scene that was begun had left to read says nothing of the whole.
            rows |= {uri: (path, row) for row, uri in enumerate(uris) if not done[row]}
        return rows

    def _segment(self, path: str) -> pa.Table | None:
        if path not in self._at_hand:
            self._at_hand[path] = self._load(path, _COLUMNS)
            while len(self._at_hand) > AT_HAND:
                self._at_hand.popitem(last=False)
        self._at_hand.move_to_end(path)
        return self._at_hand[path]

    def _load(self, path: str, columns: Sequence[str]) -> pa.Table | None:
        found = read_segment(self._store, path, columns)
        return found[0].combine_chunks() if found else None
