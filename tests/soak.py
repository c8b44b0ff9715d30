"""kill -9 at seeded random moments of a real job, of its driver and of its workers, until it is done; `make soak N=50`.

Each job runs until it has ended by itself, however often it was killed; then its output is compared with that of a job
that nobody disturbed, while a reader has looked all the time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from jobs_made import MadeJob, command, make_archive, make_job, make_package
from watch import LoopingReader

SCENES = {"large": (1300, 1500), "tall": (1100, 300), "small": (300, 400), "thin": (40, 512)}
LOCAL = "compute.stream={kind: local, workers: 2}"
RAY = "compute.stream={kind: ray, max_workers: 2}"
KILLS_A_JOB = 8
"""Then it is left alone, so that one with bad luck ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survived:
    """What came of it."""

    kills: int
    jobs: int
    equal: int
    """Jobs whose output was that of the undisturbed one."""
    seconds: float
    violations: tuple[str, ...]
    """What a reader saw that it must not see."""

    def __str__(self) -> str:
        return f"{self.kills} kills, digests equal in {self.equal} of {self.jobs} jobs, {self.seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class Field:
    """Where jobs are made, and what they must come to."""

    folder: Path
    digest: str
    seconds: float
    """Of an undisturbed run, from the start of its process."""

    def job(self) -> MadeJob:
        return _job(self.folder, uuid.uuid4().hex[:8])


def make_field(folder: Path, stream: str) -> Field:
    make_archive(folder / "archive", SCENES)
    make_package(folder / "package", width=8)
    clock = time.monotonic()
    with started(_job(folder, "undisturbed"), stream) as run:
        digest = run.ended()
    assert digest, run.said()
    return Field(folder, digest, time.monotonic() - clock)


def kill_drivers(field: Field, kills: int, seed: int) -> Survived:
    """Kills whole runs: the process that the user started, and with it all that it had started."""
    draw = random.Random(seed)

    def disturb(run: Running) -> int:
        run.process.kill() if run.outlives(draw.uniform(0, field.seconds)) else None
        return int(run.process.wait() == -signal.SIGKILL)

    return _survive(field, kills, LOCAL, disturb)


def kill_workers(field: Field, kills: int, seed: int) -> Survived:
    """Kills processes that Ray has started for a run: readers, networks, writers, committers."""
    draw = random.Random(seed)

    def disturb(run: Running) -> int:
        killed = 0
        while run.outlives(draw.uniform(0, field.seconds / 4)) and killed < KILLS_A_JOB:
            workers = run.workers()
            if workers:
                draw.choice(workers).kill()
                killed += 1
        return killed

    return _survive(field, kills, RAY, disturb)


def _survive(field: Field, kills: int, stream: str, disturb: Callable[[Running], int]) -> Survived:
    clock, killed, jobs, equal, violations = time.monotonic(), 0, 0, 0, []
    while killed < kills:
        job, of_this = field.job(), 0
        jobs += 1
        with LoopingReader(job.store) as reader:
            for _ in range(3 * KILLS_A_JOB):
                with started(job, stream) as run:
                    if killed < kills and of_this < KILLS_A_JOB:
                        died = disturb(run)
                        killed, of_this = killed + died, of_this + died
                    digest = run.ended()
                if digest is not None:
                    break
        equal += digest == field.digest == job.verified()
        violations += reader.violations
    return Survived(
        kills=killed, jobs=jobs, equal=equal, seconds=time.monotonic() - clock, violations=tuple(violations)
    )


@dataclass(frozen=True, slots=True)
class Running:
    """A run in a process of its own."""

    process: subprocess.Popen[bytes]
    mark: str
    """An environment variable that all it starts inherits."""
    folder: Path

    def outlives(self, seconds: float) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def ended(self) -> str | None:
        """The digest of the output; None: it was killed, or said that it could not go on."""
        code = self.process.wait(300)
        assert code in (0, 1, -signal.SIGKILL), self.said()
        return json.loads((self.folder / "stdout").read_text())["digest"] if code == 0 else None

    def said(self) -> str:
        return (self.folder / "stderr").read_text()

    def workers(self) -> list[psutil.Process]:
        return [process for process in self.all() if process.name().startswith("ray::")]

    def all(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if self.mark in process.environ():
                    found.append(process)
            except psutil.Error:
                continue
        return found


@contextmanager
def started(job: MadeJob, stream: str) -> Iterator[Running]:
    """A run; nothing that it has started outlives the block."""
    mark, folder = f"ENCDEC_SOAK_{uuid.uuid4().hex}", job.file.parent
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(
            command("run", job.file, "--json", "--set", stream),
            stdout=out,
            stderr=err,
            env=os.environ | {mark: "1"},
            start_new_session=True,
        )
    run = Running(process, mark, folder)
    try:
        yield run
    finally:
        for left in run.all():
            left.kill()
        process.wait()


def _job(folder: Path, name: str) -> MadeJob:
    return make_job(folder / name, folder / "archive", folder / "package")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of drivers, and as many of workers")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    unequal = 0
    for what, stream, kill in (("driver", LOCAL, kill_drivers), ("worker", RAY, kill_workers)):
        with tempfile.TemporaryDirectory() as folder:
            survived = kill(make_field(Path(folder), stream), asked.kills, asked.seed)
        print(f"{what}: {survived}", *survived.violations, sep="\n  ", flush=True)
        unequal += survived.jobs - survived.equal + len(survived.violations)
    sys.exit(unequal > 0)


if __name__ == "__main__":
    main()
