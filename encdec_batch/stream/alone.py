"""A block, or a commit, in a process of its own: what kills that one is to blame, and nothing else is lost with it.

The parent starts `alone_child.py`, gives it the work on stdin, and reads from stdout which stage it has come to and, at
the end, the record. How the process ended says the rest. On Ray the parent is a task, in a local stream the run itself.
"""

from __future__ import annotations

import logging
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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from encdec_batch.models.package import Package
from encdec_batch.pipeline import Cost, Record
from encdec_batch.plan.checks import is_check_name
from encdec_batch.plan.recipe import Recipe
from encdec_batch.plan.scene import SetAside
from encdec_batch.stream.guard import Alone
from encdec_batch.stream.rules import Rules

CHILD = "encdec_batch.stream.alone_child"
FROM_OUTSIDE = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Somebody wanted the process gone: not the scene."""
STARTING = "start"
"""Until the network is loaded: no stage yet."""
SAID_BYTES = 4000
"""Of the end of what the process wrote to stderr, for the log."""
MORE_MEMORY = (
    "lower tiling.core, tiling.budget_gib or the number of workers, or use a machine with more memory; the next run "
    "tries again"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AloneJob:
    """What the process needs to know."""

    recipe: Recipe
    package: Package | None
    """None: for a commit, which needs no network."""
    alone: Alone
    lease_n: int
    rules: Rules


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

    @property
    def hung(self) -> bool:
        return self.seconds >= self.deadline_s

    @property
    def how(self) -> str:
        if self.hung:
            return f"came to no end within {self.deadline_s:.0f} s"
        if self.code < 0:
            return f"died of signal {_signal_name(-self.code)}"
        return f"ended with exit code {self.code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)  # of real time: most have no name


def run_alone(job: AloneJob) -> Record:
    """What became of it: the record of its process, or one that says how that died. Blocks until then."""
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
        answer = _attend(process, job)
        if isinstance(answer, Record):
            return answer
        said = _tail(errors)
    ended = Ended(
        stage=answer.stage,
        code=process.returncode,
        seconds=time.monotonic() - answer.since,
        deadline_s=answer.deadline_s,
        no_memory=_kernel_kills() > before,
    )
    log.warning(
        "alone.died",
        extra={"scene": job.alone.scene.scene_id, "block": job.alone.name, "stage": ended.stage, "how": ended.how}
        | {"stderr": said},
    )
    return record_of_death(job.alone, ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Now:
    """The stage that a process has come to."""

    stage: str
    deadline_s: float
    since: float


def _attend(process: subprocess.Popen[bytes], job: AloneJob) -> Record | _Now:
    """Reads what the process says until its end; kills one that is far beyond its deadline."""
    assert process.stdin is not None  # noqa: S101  (both are pipes)
    assert process.stdout is not None  # noqa: S101
    now = _Now(stage=STARTING, deadline_s=job.rules.first_s, since=time.monotonic())
    killer = _kill_after(process, now.deadline_s + job.rules.grace_s)
    try:
        with suppress(BrokenPipeError):
            pickle.dump(job, process.stdin, protocol=5)
            process.stdin.close()
        for said in _pickles(process.stdout):
            killer.cancel()
            if isinstance(said, Record):
                return said
            now = _Now(stage=said[0], deadline_s=said[1], since=time.monotonic())
            killer = _kill_after(process, now.deadline_s + job.rules.grace_s)
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


def record_of_death(alone: Alone, ended: Ended) -> Record:
    """Condemned, if it was the block's doing."""
    if ended.no_memory and ended.code == -signal.SIGKILL:
        return set_aside(alone, ended.stage, *_no_memory("the kernel killed it"))
    if ended.stage == STARTING or -ended.code in FROM_OUTSIDE:
        said = f"a process of its own {ended.how} before it could do anything with it"
        if ended.stage != STARTING:
            said = f"a process of its own was ended from outside ({_signal_name(-ended.code)})"
        return set_aside(alone, ended.stage, said, "nothing is said against the scene: the next run tries again")
    return set_aside(
        alone,
        ended.stage,
        f"its process died again and again; alone with it, one {ended.how}",
        "look at the scene with other tools; mend it or leave it out, then `encdec-batch retry`. "
        "Where many scenes have this, look at drivers, libraries and the machine",
        condemned=True,
    )


def out_of_memory(alone: Alone) -> Record:
    """Of a process that Ray's memory monitor took, alone as it was."""
    return set_aside(alone, STARTING, *_no_memory("Ray's memory monitor took it"))


def lost(alone: Alone, how: str) -> Record:
    """Of a process whose machine was lost under it, again and again."""
    said = f"whatever ran it alone was lost each time: {how}"
    return set_aside(alone, STARTING, said, "nothing is said against the scene: the next run tries again")


def _no_memory(who: str) -> tuple[str, str]:
    return f"a process of its own had no memory left: {who}", MORE_MEMORY


def set_aside(alone: Alone, stage: str, reason: str, hint: str, *, condemned: bool = False) -> Record:
    """The record of something that could not be run even alone."""
    block = None if alone.piece is None else alone.name
    first = "commit" if block is None else "read"
    aside = SetAside(
        scene_id=alone.scene.scene_id,
        uri=alone.scene.uri,
        stage=first if stage == STARTING else stage,
        reason=reason,
        hint=hint,
        block=block,
        transient=not condemned,
    )
    record = Record(scene_id=alone.scene.scene_id, blocks=(), cost=Cost(), trouble=aside, died=condemned)
    if block is None:
        return record
    return replace(record, checks=(block,)) if is_check_name(block) else replace(record, blocks=(block,))


def _kernel_kills() -> int:
    """How many processes this machine's kernel has killed for want of memory since it was started."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
