"""Whole jobs, each by the command line in a process of its own, as a user runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from bench.watch import Usage, Watch

COG = [{"kind": "cog"}]
ALL_FILES = [{"kind": "cog"}, {"kind": "png"}, {"kind": "quicklook"}, {"kind": "cells"}]
COMMAND = [sys.executable, "-c", "from encdec_batch.cli import main; main()"]


def cog_alone() -> dict[str, Any]:
    return {"files": COG}


def all_outputs() -> dict[str, Any]:
    return {"files": ALL_FILES, "probability": True, "entropy": True}


def stream(kind: str, workers: int = 2) -> dict[str, Any]:
    return {"kind": "ray", "max_workers": workers} if kind == "ray" else {"kind": "local", "workers": workers}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A spec file; `output` begins empty."""

    file: Path
    output: Path

    def command(self, verb: str) -> list[str]:
        return [*COMMAND, verb, str(self.file), "--json"]


def make_job(folder: Path, source: Path, package: Path, *, kind: str, **changes: Any) -> Job:
    """`changes` replace keys of the spec; an output that is there is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / "output"
    shutil.rmtree(output, ignore_errors=True)
    data: dict[str, Any] = {
        "source": {"kind": "prefix", "uri": str(source)},
        "model": {"package": str(package)},
        # Its cost is by scene, whatever a scene's size: a figure of its own.
        "output": {"uri": str(output), "catalogue": False, **cog_alone()},
        "compute": {"stream": stream(kind), "device": "cpu"},
        "report": {"previews": 0},
    }
    for key, value in changes.items():
        data[key] = {**data.get(key, {}), **value}
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(data))
    return Job(file=file, output=output)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A job that has ended."""

    summary: dict[str, Any]
    wall_s: float
    began: float
    """Epoch seconds of the start of the command."""
    events: list[dict[str, Any]]
    usage: Usage

    @cached_property
    def first_start(self) -> float:
        """When the first block began to be read; start-up and the loading of networks lie before, or are no stage."""
        return min(e["time"] - sum(s for _, s in e["seconds"]) for e in self.events if e["blocks"])

    @cached_property
    def last_marker(self) -> float:
        return max(e["time"] for e in self.events if e["kind"] == "committed")

    @property
    def seconds(self) -> float:
        return self.last_marker - self.first_start

    def seconds_each(self, after: int) -> float:
        """Seconds for each scene, from the marker of scene number `after` to the last one."""
        markers = sorted(e["time"] for e in self.events if e["kind"] == "committed")
        return (markers[-1] - markers[after - 1]) / (len(markers) - after)

    @property
    def mpx(self) -> float:
        return float(self.summary["pixels"]) / 1e6

    @property
    def mpx_per_s(self) -> float:
        return self.mpx / self.seconds

    def stage_seconds(self) -> dict[str, float]:
        """Wall seconds by stage, summed over all workers."""
        total: dict[str, float] = defaultdict(float)
        for event in self.events:
            for stage, seconds in event["seconds"]:
                total[stage] += seconds
        return dict(total)

    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds by kind of process between first block and last marker."""
        return self.usage.cpu_by_kind(self.first_start, self.last_marker)


def run(job: Job, *, memory: bool = False, environment: Mapping[str, str] | None = None) -> Ran:
    """The command, watched; with `memory` its processes' too, which costs some CPU time. Its environment is ours, or
    the one that is given.

    Raises RuntimeError with what the command said where it failed or set a scene aside.
    """
    began = time.time()
    with (
        subprocess.Popen(
            job.command("run"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process,
        Watch(process.pid, memory=memory) as watch,
    ):
        out, err = process.communicate()
    wall = time.time() - began
    if process.returncode:
        raise RuntimeError(f"{job.file}: exit code {process.returncode}\n{out[-2000:]}\n{err[-2000:]}")
    summary = json.loads(out)
    return Ran(
        summary=summary, wall_s=wall, began=began, events=_events(job.output, summary["run_id"]), usage=watch.usage
    )


def plan(job: Job) -> dict[str, Any]:
    """What `plan` says."""
    return json.loads(subprocess.run(job.command("plan"), capture_output=True, check=True, text=True).stdout)


def _events(output: Path, run_id: str) -> list[dict[str, Any]]:
    files = sorted((output / ".encdec" / "runs" / run_id).glob("events-*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]).to_pylist() if files else []
