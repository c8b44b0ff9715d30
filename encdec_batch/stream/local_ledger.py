"""The ledger of a run that does its blocks in its own process: a book, and a witness beside it (`witness.py`).

Processes that help with small scenes (`small_scenes.py`) say what they are at to the run, which tells it here in their
name. What they die of is written down at once, since the run goes on.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Collection
from contextlib import suppress

from encdec_batch.commit.attempts import Place, read_attempts, try_to_count
from encdec_batch.spec.base import StorageOptions
from encdec_batch.store.open import open_store
from encdec_batch.store.retry import RetryPolicy
from encdec_batch.stream.ledger import Book, Start, Work, Worker, process_name
from encdec_batch.stream.rules import Rules

WITNESS = "encdec_batch.stream.witness"
NOTE_S = 20.0
"""How long the store may take to take the note of a death: whoever starts something waits for that."""

log = logging.getLogger(__name__)


class WitnessedLedger:
    """The ledger of a run in one process: a book, and a witness. Makes no request before its first question.

    Args:
        uri: of the output.
        options: of its store.
        rules: how many deaths.
        witnessed: there is a witness; without one nothing is ever written.
    """

    def __init__(self, uri: str, options: StorageOptions, rules: Rules, *, witnessed: bool = True) -> None:
        self._uri, self._options, self._rules, self._witnessed = uri, options, rules, witnessed
        self._lock = threading.Lock()
        self._book: Book | None = None
        self._witness: subprocess.Popen[bytes] | None = None
        self._open: set[tuple[Place, str]] = set()
        self._worker = Worker(node="", name=process_name())

    def held(self, works: Collection[Work]) -> frozenset[Place]:
        with self._lock:
            return self._opened().held(works, self._worker)

    def start(self, work: Work, worker: Worker | None = None) -> Start:
        """`worker`: who does it, where that is another process of this run."""
        with self._lock:
            start = self._opened().start(work, worker or self._worker)
            if not start.held:
                self._open.add((work.place, work.stage))
                self._tell("start", *work.place, work.stage, work.scene_id)
            return start

    def end(self, work: Work, seconds: float, worker: Worker | None = None) -> None:
        with self._lock:
            self._opened().end(work, worker or self._worker, seconds)
            self._close(work)

    def died(self, works: Collection[Work], worker: Worker) -> None:
        """Another process of this run died of these: one death each, written down."""
        with self._lock:
            self._opened().died(works, worker)
            for work in works:
                self._close(work)

    def close(self) -> None:
        """Says goodbye, unless something never came to its end: SystemExit, in a library, is a death as well."""
        with self._lock:
            if self._witness is None:
                return
            if not self._open:
                self._tell("goodbye")
            witness, self._witness = self._witness, None
        assert witness.stdin is not None  # noqa: S101  (a pipe)
        with suppress(BrokenPipeError):
            witness.stdin.close()
        witness.wait()

    def _close(self, work: Work) -> None:
        self._open.discard((work.place, work.stage))
        self._tell("end", *work.place, work.stage)

    def _note(self, work: Work) -> None:
        if self._witnessed:
            store = open_store(self._uri, self._options, policy=RetryPolicy().shortened(NOTE_S))
            try_to_count(store, work.place, scene_id=work.scene_id, stage=work.stage)

    def _opened(self) -> Book:
        if self._book is None:
            before = {place: said.deaths for place, said in read_attempts(open_store(self._uri, self._options)).items()}
            self._book = Book(self._rules, before, note=self._note)
            if self._witnessed:
                self._start_witness()
        return self._book

    def _start_witness(self) -> None:
        self._witness = subprocess.Popen(  # noqa: S603  (ourselves)
            [sys.executable, "-P", "-m", WITNESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._tell("output", self._uri, self._options)

    def _tell(self, *words: object) -> None:
        if self._witness is None:
            return
        assert self._witness.stdin is not None  # noqa: S101  (a pipe)
        try:
            self._witness.stdin.write(json.dumps(words).encode() + b"\n")
            self._witness.stdin.flush()
        except BrokenPipeError:
            # Somebody ended it. The run can do without.
            log.warning("witness.gone")
            self._witness.wait()
            self._witness = None
