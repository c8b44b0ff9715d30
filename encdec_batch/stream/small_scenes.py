"""Processes that help a local stream with many small scenes (`small_child.py`): half of what such a scene takes is
Python, of which a process runs one thread at a time.

Each process has a thread here, which hands out scenes, tells the ledger what the process says, and starts another one
where it died.
"""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue

from encdec_batch.commit.attempts import Place
from encdec_batch.errors import EncdecError
from encdec_batch.pipeline import Record
from encdec_batch.plan.item import Piece, WorkItem, is_small
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.predict.heap import ENVIRONMENT
from encdec_batch.stream.guard import Alone, reading, units_of
from encdec_batch.stream.ledger import Work, Worker
from encdec_batch.stream.local_ledger import WitnessedLedger
from encdec_batch.stream.small_child import Said, SmallJob

CHILD = "encdec_batch.stream.small_child"
PIXELS = 2**20
"""Of a scene, at most: larger ones take so long that Python does not matter, and memory that counts."""
AFTER = 256
"""Small scenes that are through before processes are started: each takes some seconds to begin, and 0.4 GB."""
AHEAD = 64
"""Scenes for each process that are handed out, or waiting to be."""
LOW = 8
"""As few scenes left, and a process is given more."""

log = logging.getLogger(__name__)


def can_help(scene: ScenePlan, output_uri: str) -> bool:
    """Whether another process could take this scene, and is worth it."""
    in_here = any(uri.startswith("memory:") for uri in (scene.uri, output_uri))
    out_pixels = scene.num_pixels * scene.geometry.scale**2
    return is_small(scene) and out_pixels <= PIXELS and not scene.staged and not in_here


class SmallScenes:
    """The processes. Used by one thread; `close` waits for scenes that are begun, and forgets the others.

    Args:
        job: for each of them.
        ledger: of the run.
        number: of processes.
    """

    def __init__(self, job: SmallJob, ledger: WitnessedLedger, number: int) -> None:
        self.out = 0
        """Scenes that have not come back."""
        self._full = number * AHEAD
        self._items: SimpleQueue[WorkItem | None] = SimpleQueue()
        self._made: SimpleQueue[Record | Alone | BaseException] = SimpleQueue()
        self._attendants = [_Attendant(job, ledger, self._items, self._made) for _ in range(number)]
        for attendant in self._attendants:
            attendant.start()

    @property
    def is_full(self) -> bool:
        """What comes back is to be taken before more is given."""
        return self.out >= self._full

    def give(self, item: WorkItem) -> None:
        self.out += len(item.pieces)
        self._items.put(item)

    def take(self, *, wait: bool) -> Record | Alone | None:
        """Something that came back; None: nothing has, and it was not to be waited for.

        Raises:
            EncdecError: processes cannot begin, or something else that is no scene's fault.
        """
        try:
            made = self._made.get(block=wait)
        except Empty:
            return None
        if isinstance(made, BaseException):
            raise made
        self.out -= isinstance(made, Alone) or bool(made.blocks)
        return made

    def close(self) -> None:
        for attendant in self._attendants:
            attendant.leave()
        for _ in self._attendants:
            self._items.put(None)
        for attendant in self._attendants:
            attendant.join()


class _Attendant(threading.Thread):
    """Beside one process: whatever that is told, and says, goes through here."""

    def __init__(
        self,
        job: SmallJob,
        ledger: WitnessedLedger,
        items: SimpleQueue[WorkItem | None],
        made: SimpleQueue[Record | Alone | BaseException],
    ) -> None:
        super().__init__(name="small", daemon=True)
        self._job, self._ledger, self._items, self._made = job, ledger, items, made
        self._left: dict[str, Piece] = {}
        """By scene id: handed out, and not come back."""
        self._child: _Child | None = None
        self._leaving = threading.Event()
        self._vain = 0
        """Processes, one after the other, that ended before they had begun anything."""

    def run(self) -> None:
        try:
            while (item := self._items.get()) is not None and not self._leaving.is_set():
                self._hand_out(item.pieces)
                while self._left and not self._leaving.is_set():
                    self._listen()
            if self._child is not None:
                self._child.finish()
                while (said := self._child.said()) is not None:
                    self._note(said)
                self._child.wait()
        except BaseException as error:  # noqa: BLE001  (it is raised by who takes)
            self._made.put(error)
            if self._child is not None:
                self._child.kill()

    def leave(self) -> None:
        """Of another thread: no more is handed out."""
        self._leaving.set()
        child = self._child
        if child is not None:
            child.finish()

    def _hand_out(self, pieces: Iterable[Piece]) -> None:
        """To the process, but what is to be run alone."""
        units = {unit: reading(unit) for piece in pieces for unit in units_of(piece)}
        held: frozenset[Place] = self._ledger.held(list(units.values()))
        given: list[Piece] = []
        for unit, work in units.items():
            if work.place in held:
                self._left.pop(unit.scene.scene_id, None)
                self._made.put(unit)
            elif unit.piece is not None:
                self._left[unit.scene.scene_id] = unit.piece
                given.append(unit.piece)
        if given:
            self._child = self._child or _Child(self._job)
            self._child.tell(WorkItem(pieces=tuple(given)))

    def _listen(self) -> None:
        assert self._child is not None  # noqa: S101  (something is handed out)
        said = self._child.said()
        if said is None and self._leaving.is_set() and not self._child.at:
            self._left.clear()
        elif said is None:
            self._bury(self._child)
        else:
            self._note(said)
        if self._left and len(self._left) <= LOW and not self._leaving.is_set():
            self._hand_out_more()

    def _hand_out_more(self) -> None:
        with suppress(Empty):
            item = self._items.get_nowait()
            if item is None:
                self._items.put(None)
            else:
                self._hand_out(item.pieces)

    def _note(self, said: Said) -> None:
        child = self._child
        assert child is not None  # noqa: S101  (it has spoken)
        if said[0] == "start":
            work = said[1]
            child.at[work.place, work.stage] = work
            self._ledger.start(work, child.worker)
        elif said[0] == "end":
            work = said[1]
            child.at.pop((work.place, work.stage), None)
            self._ledger.end(work, said[2], child.worker)
        elif isinstance(said[1], EncdecError):
            raise said[1]
        else:
            self._vain = 0
            if said[1].blocks:
                self._left.pop(said[1].scene_id, None)
            self._made.put(said[1])

    def _bury(self, child: _Child) -> None:
        """What it was at has a death; it and what it had not begun go to another one."""
        code, at = child.wait(), list(child.at.values())
        log.warning("small.died", extra={"exit_code": code, "scenes": sorted(work.scene_id for work in at)})
        self._ledger.died(at, child.worker)
        self._vain = 0 if at else self._vain + 1
        if self._vain >= self._job.rules.deaths:
            raise EncdecError(
                f"a process for small scenes ended {self._vain} times before it began one (exit code {code})",
                hint="see what it said on stderr; with compute.stream.workers 1 there are no such processes",
            )
        self._child = None
        if not self._leaving.is_set():
            self._hand_out(list(self._left.values()))


class _Child:
    """One process, seen from here."""

    def __init__(self, job: SmallJob) -> None:
        self._process = subprocess.Popen(  # noqa: S603  (ourselves)
            [sys.executable, "-P", "-m", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            # Ctrl-C in a terminal is for the run, which lets it end what it is at.
            start_new_session=True,
        )
        self._lock, self._finished = threading.Lock(), False
        self.worker = Worker(node="", name=f"small-{self._process.pid}-{id(self):x}")
        self.at: dict[tuple[Place, str], Work] = {}
        """What it has begun and not ended."""
        self.tell(job)

    def tell(self, what: SmallJob | WorkItem) -> None:
        with self._lock, suppress(BrokenPipeError):
            if not self._finished:
                assert self._process.stdin is not None  # noqa: S101  (a pipe)
                pickle.dump(what, self._process.stdin, protocol=5)
                self._process.stdin.flush()

    def said(self) -> Said | None:
        """The next thing it says; None: it is gone."""
        assert self._process.stdout is not None  # noqa: S101  (a pipe)
        try:
            said: Said = pickle.load(self._process.stdout)  # noqa: S301  (written by our own process)
        except (EOFError, pickle.UnpicklingError):
            return None
        return said

    def finish(self) -> None:
        """It ends once it has ended what it is at. Any thread may say so."""
        with self._lock:
            self._finished = True
            assert self._process.stdin is not None  # noqa: S101  (a pipe)
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    def wait(self) -> int:
        """Its exit code."""
        self.finish()
        assert self._process.stdout is not None  # noqa: S101  (a pipe)
        self._process.stdout.close()
        return self._process.wait()

    def kill(self) -> None:
        self._process.kill()
        self.wait()
