"""Seconds from the start of the command to the first written part and marker, and to know that nothing is left."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from bench import jobs, scenes
from bench.figure import Bench, Figure, spread
from bench.packages import package

POLL_S = 0.01


def measure(bench: Bench) -> Figure:
    figure = Figure(title="start: seconds from the start of the command")
    folder = bench.folder / "start"
    network = package(bench.folder, bench.pick("full", "quick"))
    source = scenes.archive(folder / "scenes", 1, bench.pick(4096, 1024))
    tiling = {"core": bench.core, "block": bench.pick(1024, 512)}
    for kind in bench.streams:
        made = [_first(jobs.make_job(folder, source, network, kind=kind, tiling=tiling)) for _ in range(bench.rounds)]
        for what, values in zip(("first part", "first marker", "end"), zip(*made, strict=True), strict=True):
            figure.row(stream=kind, until=what, **spread(values))
    _resume(bench, figure, folder)
    return figure


def _first(job: jobs.Job) -> tuple[float, float, float]:
    """Seconds to the first part, to the first marker, and to the end."""
    began = time.perf_counter()
    found: dict[str, float] = {}
    with subprocess.Popen(job.command("run"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while process.poll() is None:
            for what, pattern in (("part", ".encdec/parts/*/*"), ("marker", "markers/*.json")):
                if what not in found and next(job.output.glob(pattern), None):
                    found[what] = time.perf_counter() - began
            time.sleep(POLL_S)
        said = process.communicate()[0]
    if process.returncode:
        raise RuntimeError(said[-2000:])
    return found.get("part", float("nan")), found.get("marker", float("nan")), time.perf_counter() - began


def _resume(bench: Bench, figure: Figure, folder: Path) -> None:
    """A finished archive: nothing is opened, Ray is not started."""
    count = bench.pick(1000, 5)
    source = scenes.archive(folder / "archive", count, 256, distinct=1)
    job = jobs.make_job(folder, source, package(bench.folder, "least"), kind="local", tiling={"core": 256})
    first = jobs.run(job)
    figure.row(archive=f"{count} scenes of 256 px", run="all of it, local", **spread([first.wall_s]))
    again = [_wall(job) for _ in range(bench.rounds)]
    figure.row(archive=f"{count} scenes of 256 px", run="again, finished", **spread(again))


def _wall(job: jobs.Job) -> float:
    began = time.perf_counter()
    subprocess.run(job.command("run"), check=True, capture_output=True)
    return time.perf_counter() - began
