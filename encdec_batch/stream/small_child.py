"""A process that takes small scenes all the way: `python -m encdec_batch.stream.small_child`.

It is given work items on stdin until that ends. On stdout it says what it begins and what it has ended, so that whoever
started it knows what it died of, and gives the record of each scene.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Literal, NoReturn

from encdec_batch.commit.attempts import Place
from encdec_batch.errors import EncdecError, unexpected
from encdec_batch.log import set_up
from encdec_batch.models.package import Package
from encdec_batch.pipeline import PredictStage, Read, Record, WriteStage
from encdec_batch.plan.item import Piece, WorkItem
from encdec_batch.plan.recipe import Recipe
from encdec_batch.stream.alone_child import end_with_parent
from encdec_batch.stream.deadline import PROCESS
from encdec_batch.stream.guard import Guard
from encdec_batch.stream.ledger import Book, Start, Work, Worker, process_name
from encdec_batch.stream.rules import Rules

DIED = 4
"""Exit code of a process that a library ended by SystemExit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallJob:
    """What the process needs to know."""

    recipe: Recipe
    package: Package
    lease_n: int
    rules: Rules
    threads: int
    """Each takes one scene at a time: while one waits for the disk, another computes."""


Said = (
    tuple[Literal["start"], Work]
    | tuple[Literal["end"], Work, float]
    | tuple[Literal["made"], Record | EncdecError]
    | tuple[Literal["cannot"], EncdecError]
)
"""What it says. An error that was made is no scene's, and ends the run; with one of the other kind no scene can be
begun here."""
Say = Callable[[Said], None]


class ToldLedger:
    """A ledger that passes on what it is told. Nothing is held here: who hands out the scenes has asked before."""

    def __init__(self, rules: Rules, say: Say) -> None:
        self._book, self._say, self._lock = Book(rules, {}), say, threading.Lock()
        self._worker = Worker(node="", name=process_name())

    def held(self, works: Collection[Work]) -> frozenset[Place]:  # noqa: ARG002
        return frozenset()

    def start(self, work: Work) -> Start:
        # What is in the pipe outlives this process: it need not be answered.
        self._say(("start", work))
        with self._lock:
            return self._book.start(work, self._worker)

    def end(self, work: Work, seconds: float) -> None:
        with self._lock:
            self._book.end(work, self._worker, seconds)
        self._say(("end", work, seconds))


class _Line:
    """One thing at a time, whole."""

    def __init__(self, descriptor: int) -> None:
        self._file, self._lock = os.fdopen(descriptor, "wb"), threading.Lock()

    def say(self, said: Said) -> None:
        data = pickle.dumps(said, protocol=5)
        with self._lock:
            self._file.write(data)
            self._file.flush()


def main() -> None:
    """Works until stdin ends; then ends what is begun."""
    line = _Line(os.dup(1))
    # Libraries that print must not spoil the answers.
    os.dup2(2, 1)
    set_up(verbose=False)
    end_with_parent()
    job: SmallJob = _next()
    guard = Guard(ToldLedger(job.rules, line.say), job.rules, PROCESS)
    pieces: SimpleQueue[Piece | None] = SimpleQueue()
    threads = [threading.Thread(target=_work, args=(job, guard, pieces, line.say)) for _ in range(job.threads)]
    for thread in threads:
        thread.start()
    try:
        while True:
            item: WorkItem = _next()
            for piece in item.pieces:
                pieces.put(piece)
    except (EOFError, pickle.UnpicklingError):
        # Nobody wants what is not begun.
        while not pieces.empty():
            pieces.get()
    for _ in threads:
        pieces.put(None)
    for thread in threads:
        thread.join()


def _next() -> Any:
    return pickle.load(sys.stdin.buffer)  # noqa: S301  (written by our own parent)


def _work(job: SmallJob, guard: Guard, pieces: SimpleQueue[Piece | None], say: Say) -> None:
    try:
        stages = _Stages(job, guard)
    except Exception as error:  # noqa: BLE001  (no memory, say)
        say(("cannot", _ours(error, job)))
        return
    except BaseException:  # noqa: BLE001
        _die()
    try:
        while (piece := pieces.get()) is not None:
            for record in stages.records(piece):
                say(("made", record))
    except Exception as error:  # noqa: BLE001  (no scene's)
        say(("made", _ours(error, job)))
    except BaseException:  # noqa: BLE001
        _die()


def _ours(error: Exception, job: SmallJob) -> EncdecError:
    private = job.recipe.spec.privacy.hide == "on"
    return error if isinstance(error, EncdecError) else unexpected(error, "predict", private=private)


def _die() -> NoReturn:
    """SystemExit, in a library: it would end the thread alone, and what that had open for ever."""
    os._exit(DIED)


class _Stages:
    """A network and a writer of one thread."""

    def __init__(self, job: SmallJob, guard: Guard) -> None:
        import torch

        # OpenMP counts threads per calling thread.
        torch.set_num_threads(1)
        self._recipe, self._guard = job.recipe, guard
        self._predict = PredictStage(job.recipe, job.package)
        self._write = WriteStage(job.recipe, job.lease_n)

    def records(self, piece: Piece) -> list[Record]:
        """Of a scene of one block. Read whole, and closed, before it goes on."""
        values = list(self._guard.read(self._recipe, WorkItem(pieces=(piece,))))
        return [self._through(value) if isinstance(value, Read) else _record(value) for value in values]

    def _through(self, read: Read) -> Record:
        predicted = self._guard.predict(self._predict, read)
        return predicted if isinstance(predicted, Record) else _record(self._guard.write(self._write, predicted))  # type: ignore[arg-type]


def _record(value: object) -> Record:
    assert isinstance(value, Record)  # noqa: S101  (nothing is held here)
    return value


if __name__ == "__main__":
    main()
