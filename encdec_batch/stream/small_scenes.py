"""Processes that help a local stream with many small scenes (`small_child.py`): half of what such a scene takes is
Python, of which a process runs one thread at a time.

Each process has a thread here, which hands out scenes, tells the ledger what the process says, and starts another one
where it died. Where no process can be started, or none loads the network (there may be no memory left for it), the
scenes go back to the run, whose own threads take them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue

from encdec_batch.commit.attempts import Place
from encdec_batch.errors import EncdecError
from encdec_batch.pipeline import Record
from encdec_batch.plan.item import Piece, WorkItem
from encdec_batch.stream.guard import Alone, reading, units_of
from encdec_batch.stream.local_ledger import WitnessedLedger
from encdec_batch.stream.small_child import Said, SmallJob
from encdec_batch.stream.small_process import SmallProcess, start_process

AHEAD = 64
"""Scenes for each process that are handed out, or waiting to be."""
LOW = 8
"""As few scenes left, and a process is given more."""

log = logging.getLogger(__name__)

Made = Record | Alone | WorkItem
"""What comes back: a work item is given back, since processes cannot take it."""


class _CannotStartError(Exception):
    """No process can be started, or none comes so far that it begins a scene."""


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
        self.has_given_up = False
        """Something was given back: there is no use in giving more."""
        self._full = number * AHEAD
        self._items: SimpleQueue[WorkItem | None] = SimpleQueue()
        self._made: SimpleQueue[Made | BaseException] = SimpleQueue()
        self._attendants = [_Attendant(job, ledger, self._items, self._made) for _ in range(number)]

    def start(self) -> None:
        """Their threads; a process is started with the first scene that it is given."""
        for attendant in self._attendants:
            attendant.start()

    @property
    def is_full(self) -> bool:
        """What comes back is to be taken before more is given."""
        return self.out >= self._full

    def give(self, item: WorkItem) -> None:
        self.out += len(item.pieces)
        self._items.put(item)

    def take(self, *, wait: bool) -> Made | None:
        """Something that came back; None: nothing has, and it was not to be waited for.

        Raises:
            EncdecError: something that is no scene's fault, and ends the run.
        """
        try:
            made = self._made.get(block=wait)
        except Empty:
            return None
        if isinstance(made, BaseException):
            raise made
        if isinstance(made, WorkItem):
            self.has_given_up = True
            self.out -= len(made.pieces)
        else:
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
        made: SimpleQueue[Made | BaseException],
    ) -> None:
        super().__init__(name="small", daemon=True)
        self._job, self._ledger, self._items, self._made = job, ledger, items, made
        self._left: dict[str, Piece] = {}
        """By scene id: handed out, and not come back."""
        self._process: SmallProcess | None = None
        self._leaving = threading.Event()
        self._failed_starts = 0
        """Processes, one after the other, that ended before they had begun anything."""

    def run(self) -> None:
        try:
            try:
                self._serve()
            except _CannotStartError as error:
                self._give_up(str(error))
        except BaseException as error:  # noqa: BLE001  (it is raised by who takes)
            self._made.put(error)
            if self._process is not None:
                self._process.kill()

    def leave(self) -> None:
        """Of another thread: no more is handed out."""
        self._leaving.set()
        process = self._process
        if process is not None:
            process.finish()

    def _serve(self) -> None:
        while (item := self._items.get()) is not None and not self._leaving.is_set():
            self._hand_out(item.pieces)
            while self._left and not self._leaving.is_set():
                self._listen()
        self._end_process()

    def _give_up(self, reason: str) -> None:
        """All that is not through goes back to the run, and so does whatever is given later."""
        log.warning(
            "small.given_up",
            extra={
                "reason": reason,
                "hint": "the threads of the run do their work; compute.stream.workers 1 wants no processes",
            },
        )
        self._end_process()
        back = tuple(self._left.values())
        self._left.clear()
        if back:
            self._made.put(WorkItem(pieces=back))
        while (item := self._items.get()) is not None and not self._leaving.is_set():
            self._made.put(item)

    def _end_process(self) -> None:
        """It ends what it is at."""
        process = self._process
        if process is None:
            return
        process.finish()
        while (said := process.said()) is not None:
            with suppress(_CannotStartError):
                self._note(said)
        process.wait()
        if process.at:
            self._ledger.died(list(process.at.values()), process.worker)
        self._process = None

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
            self._running_process().tell(WorkItem(pieces=tuple(given)))

    def _running_process(self) -> SmallProcess:
        if self._process is None:
            try:
                self._process = start_process(self._job)
            except OSError as error:
                raise _CannotStartError(f"a process for small scenes cannot be started: {error}") from error
        return self._process

    def _listen(self) -> None:
        assert self._process is not None  # noqa: S101  (something is handed out)
        said = self._process.said()
        if said is None and self._leaving.is_set() and not self._process.at:
            self._left.clear()
        elif said is None:
            self._replace_dead(self._process)
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
        process = self._process
        assert process is not None  # noqa: S101  (it has spoken)
        if said[0] == "start":
            work = said[1]
            process.at[work.place, work.stage] = work
            self._ledger.start(work, process.worker)
        elif said[0] == "end":
            work = said[1]
            process.at.pop((work.place, work.stage), None)
            self._ledger.end(work, said[2], process.worker)
        elif said[0] == "cannot":
            raise _CannotStartError(f"a process for small scenes cannot load the network: {said[1].message}")
        elif isinstance(said[1], EncdecError):
            raise said[1]
        else:
            self._failed_starts = 0
            if said[1].blocks:
                self._left.pop(said[1].scene_id, None)
            self._made.put(said[1])

    def _replace_dead(self, process: SmallProcess) -> None:
        """What it was at has a death; it and what it had not begun go to another one."""
        code, at = process.wait(), list(process.at.values())
        log.warning("small.died", extra={"exit_code": code, "scenes": sorted(work.scene_id for work in at)})
        self._ledger.died(at, process.worker)
        self._process = None
        self._failed_starts = 0 if at else self._failed_starts + 1
        if self._failed_starts >= self._job.rules.deaths:
            raise _CannotStartError(
                f"a process for small scenes ended {self._failed_starts} times before it began one (exit code {code})"
            )
        if not self._leaving.is_set():
            self._hand_out(list(self._left.values()))
