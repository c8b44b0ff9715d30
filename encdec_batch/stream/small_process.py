"""A process for small scenes (`small_child.py`), seen from the run: what it is told, and what it says."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from contextlib import suppress

from encdec_batch.commit.attempts import Place
from encdec_batch.plan.item import WorkItem
from encdec_batch.predict.heap import ENVIRONMENT
from encdec_batch.stream.ledger import Work, Worker
from encdec_batch.stream.small_child import Said, SmallJob

CHILD = "encdec_batch.stream.small_child"


class SmallProcess:
    """One process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._lock, self._finished = threading.Lock(), False
        self.worker = Worker(node="", name=f"small-{process.pid}-{id(self):x}")
        self.at: dict[tuple[Place, str], Work] = {}
        """What it has begun and not ended."""

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


def start_process(job: SmallJob) -> SmallProcess:
    """A process that was told its job.

    Raises:
        OSError: the machine starts no more processes.
    """
    process = subprocess.Popen(  # noqa: S603  (ourselves)
        [sys.executable, "-P", "-m", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        # Ctrl-C in a terminal is for the run, which lets it end what it is at.
        start_new_session=True,
    )
    started = SmallProcess(process)
    started.tell(job)
    return started
