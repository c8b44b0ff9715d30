"""A process of its own for one thing: it is given a job on stdin, says on stdout which stage it has come to and, at the
end, the answer. How it ended says the rest.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from encdec_batch.stream.rules import Rules

CHILD = "encdec_batch.stream.alone_child"
FROM_OUTSIDE = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Somebody wanted the process gone: not the scene."""
STARTING = "start"
"""Until it begins, the network loaded: no stage yet."""
SAID_BYTES = 4000
"""Of the end of what the process wrote to stderr, for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended that gave no record."""

    stage: str
    code: int
    """As subprocess has it: negative for a signal."""
    seconds: float
    """In its last stage."""
    deadline_s: float
    """Of that stage."""
    no_memory: bool
    """The kernel killed a process for want of memory meanwhile."""
    said: str = ""
    """The end of what it wrote to stderr."""

    @property
    def hung(self) -> bool:
        return self.seconds >= self.deadline_s

    @property
    def how(self) -> str:
        if self.hung:
            return f"came to no end within {self.deadline_s:.0f} s"
        if self.code < 0:
            return f"died of signal {signal_name(-self.code)}"
        return f"ended with exit code {self.code}"


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)  # of real time: most have no name


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a process says when it begins one."""

    name: str
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Now:
    """The stage that a process has come to."""

    stage: str
    deadline_s: float
    since: float


def run_child(job: Any, rules: Rules) -> Any | Ended:
    """What the child answers to `job`, or how it ended without an answer. Blocks until then."""
    before = _kernel_kills()
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603  (ourselves)
            [sys.executable, "-P", "-m", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            # A worker of Ray's finds its code in ways that a Python started by hand does not know.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            # Ctrl-C in a terminal is for the parent; the child ends with it.
            start_new_session=True,
        ) as process,
    ):
        answer = _attend(process, job, rules)
        if not isinstance(answer, _Now):
            return answer
        said = _tail(errors)
    return Ended(
        stage=answer.stage,
        code=process.returncode,
        seconds=time.monotonic() - answer.since,
        deadline_s=answer.deadline_s,
        no_memory=_kernel_kills() > before,
        said=said,
    )


def _attend(process: subprocess.Popen[bytes], job: Any, rules: Rules) -> Any | _Now:
    """Reads what the process says until its end; kills one that is far beyond its deadline."""
    assert process.stdin is not None  # noqa: S101  (both are pipes)
    assert process.stdout is not None  # noqa: S101
    now = _Now(stage=STARTING, deadline_s=rules.first_s, since=time.monotonic())
    killer = _kill_after(process, now.deadline_s + rules.grace_s)
    try:
        with suppress(BrokenPipeError):
            pickle.dump(job, process.stdin, protocol=5)
            process.stdin.close()
        for said in _pickles(process.stdout):
            killer.cancel()
            if not isinstance(said, Stage):
                return said
            now = _Now(stage=said.name, deadline_s=said.deadline_s, since=time.monotonic())
            killer = _kill_after(process, now.deadline_s + rules.grace_s)
        process.wait()
    finally:
        killer.cancel()
        process.kill()
    return now


def _kill_after(process: subprocess.Popen[bytes], seconds: float) -> threading.Timer:
    timer = threading.Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()
    return timer


def _pickles(pipe: IO[bytes]) -> Iterator[Any]:
    """What came whole; a process may die within a word."""
    with suppress(EOFError, pickle.UnpicklingError):
        while True:
            yield pickle.load(pipe)  # noqa: S301  (written by our own process)


def _tail(errors: IO[bytes]) -> str:
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - SAID_BYTES))
    return errors.read().decode(errors="replace")


def _kernel_kills() -> int:
    """How many processes this machine's kernel has killed for want of memory since it was started."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
