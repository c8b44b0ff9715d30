"""Faults to plant (`planted/sitecustomize.py`), and runs whose rules are short enough for a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jobs_made import MadeJob

from encdec_batch.commit.attempts import ATTEMPTS_PREFIX
from encdec_batch.stream.rules import Rules

PLANTED = Path(__file__).parents[1] / "planted"
RULES = Rules(least_s=8, least_io_s=8, first_s=8, grace_s=20)
SMALL_DRIVER = """
import json, signal, sys
from encdec_batch.errors import EncdecError
from encdec_batch.job.run import run
from encdec_batch.spec.load import load_spec
from encdec_batch.stream.deadline import own_process
from encdec_batch.stream.rules import Rules

# A shell's background jobs are born with SIGINT ignored, and so would be a run of tests that is one.
signal.signal(signal.SIGINT, signal.default_int_handler)
own_process()
try:
    summary = run(load_spec(sys.argv[1], sys.argv[3:]), rules=Rules(**json.loads(sys.argv[2])))
except EncdecError as error:
    sys.exit(f"error: {error}")
print(json.dumps(summary.to_dict()))
sys.exit(summary.exit_code)
"""
"""The command `run`, with rules of its own."""


@dataclass(frozen=True, slots=True)
class Faults:
    """A file of faults, and the log of those that struck."""

    file: Path

    def plant(self, *faults: dict[str, Any]) -> None:
        self.file.write_text(json.dumps(faults))
        self.log.unlink(missing_ok=True)
        Path(f"{self.file}.go").unlink(missing_ok=True)

    def go_on(self) -> None:
        """Ends every `wait`."""
        Path(f"{self.file}.go").touch()

    def pids(self) -> set[int]:
        """Of processes that were struck."""
        return {int(line.split()[3]) for line in self.log.read_text().splitlines()} if self.log.exists() else set()

    def raylets(self, stage: str) -> set[int]:
        """Parents of processes that were struck at a stage: on Ray, those of their nodes."""
        return {int(line.split()[4]) for line in self.log.read_text().splitlines() if line.startswith(f"{stage} ")}

    @property
    def log(self) -> Path:
        return Path(f"{self.file}.log")

    def struck(self, stage: str, shape: tuple[int, int]) -> list[str]:
        """`among others` or `alone`, for each process that was struck there."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        mine = [line for line in lines if line.startswith(f"{stage} {shape[0]}x{shape[1]} ")]
        return ["alone" if line.endswith(" alone") else "among others" for line in mine]

    @property
    def environment(self) -> dict[str, str]:
        """Of processes in which they strike."""
        path = os.pathsep.join([str(PLANTED), *filter(None, [os.environ.get("PYTHONPATH")])])
        return {"PYTHONPATH": path, "ENCDEC_TEST_FAULTS": str(self.file)}


def fault(stage: str, shape: tuple[int, int], how: str, **more: Any) -> dict[str, Any]:
    return {"stage": stage, "shape": list(shape), "how": how, **more}


def run_apart(job: MadeJob, faults: Faults, *overrides: str, rules: Rules = RULES) -> subprocess.CompletedProcess[str]:
    """A run in a process of its own, which may die."""
    return subprocess.run(
        [sys.executable, "-c", SMALL_DRIVER, str(job.file), json.dumps(asdict(rules)), *overrides],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, **faults.environment},
    )


def begin_apart(job: MadeJob, faults: Faults, *overrides: str) -> subprocess.Popen[str]:
    """`run_apart`, by the usual rules, and not waited for."""
    return subprocess.Popen(
        [sys.executable, "-c", SMALL_DRIVER, str(job.file), json.dumps(asdict(Rules())), *overrides],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **faults.environment},
    )


def attempts(job: MadeJob) -> dict[str, Any]:
    """What lies below `.encdec/attempts`: scene and block to the object."""
    found = {}
    for info in job.store.list(ATTEMPTS_PREFIX):
        told = json.loads(job.store.get(info.path))
        found[told["scene_id"], info.path.rpartition("/")[2].removesuffix(".json")] = told
    return found
