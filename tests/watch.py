"""Readers who look all the time: a marker names whole files, and what it names stays as it is."""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from typing import Self

from memory_s3 import MemoryS3

from encdec_batch.commit.marker import MARKER_PREFIX, Marker, read_markers
from encdec_batch.errors import ObjectMissing
from encdec_batch.store.store import Store


class Watch:
    """Looks at every single change of an output: at all that a reader could see at any moment.

    No file that a marker ever named may change; nor go, unless `may_go` and the marker of its scene no longer names it.
    """

    def __init__(self, memory: MemoryS3, root: str, *, may_go: bool = False) -> None:
        self.violations: list[str] = []
        self.moves: dict[str, list[Marker]] = defaultdict(list)
        """Markers of each scene, in the order in which they were put."""
        self._memory, self._root, self._may_go = memory, f"{root}/", may_go
        self._named: dict[str, str] = {}

    def changed(self, name: str, data: bytes | None) -> None:
        """To be told of changes by `MemoryS3.changed`."""
        path = name.removeprefix(self._root)
        if path.startswith(MARKER_PREFIX):
            if data is None:
                self.violations.append(f"{path} was deleted")
            else:
                self._moved(Marker.model_validate_json(data))
        elif path in self._named and data is None:
            present = {file.path for markers in self.moves.values() for file in markers[-1].outputs.values()}
            if path in present or not self._may_go:
                self.violations.append(f"{path} was deleted")
        elif path in self._named and hashlib.sha256(data or b"").hexdigest() != self._named[path]:
            self.violations.append(f"{path} was written over")

    def _moved(self, marker: Marker) -> None:
        earlier = self.moves[marker.scene_id]
        if marker.generation != (earlier[-1].generation if earlier else 0) + 1:
            self.violations.append(f"{marker.scene_id}: generation {marker.generation} follows {len(earlier)}")
        earlier.append(marker)
        for file in marker.outputs.values():
            kept = self._memory.objects.get(self._root + file.path)
            if kept is None or hashlib.sha256(kept.data).hexdigest() != file.sha256:
                self.violations.append(f"{marker.scene_id}: {file.path} is not what its marker says")
            self._named[file.path] = file.sha256


class LoopingReader(threading.Thread):
    """Opens every marker and reads what it names, over and over, on any store."""

    def __init__(self, store: Store) -> None:
        super().__init__(daemon=True)
        self.seen: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        """By scene: the sha256 of all its files, each time they were read."""
        self.violations: list[str] = []
        self.rounds = 0
        self._store, self._stop_asked = store, threading.Event()

    def run(self) -> None:
        while not self._stop_asked.wait(0.002):
            for marker, info in read_markers(self._store):
                self._read(marker, info.etag)
            self.rounds += 1

    def _read(self, marker: Marker, etag: str) -> None:
        try:
            for file in marker.outputs.values():
                if hashlib.sha256(self._store.get(file.path)).hexdigest() != file.sha256:
                    self.violations.append(f"{file.path} is not what its marker says")
        except ObjectMissing:
            if self._store.info(f"{MARKER_PREFIX}{marker.scene_id}.json").etag == etag:
                self.violations.append(f"{marker.scene_id}: its present marker names a file that is not there")
            return
        self.seen[marker.scene_id].add(tuple(sorted(file.sha256 for file in marker.outputs.values())))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop_asked.set()
        self.join()
