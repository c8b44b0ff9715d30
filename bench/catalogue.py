"""What the catalogue costs a run that has nothing else to do: all items new, none, and one of a hundred."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from bench import jobs, many
from bench.figure import Bench, Figure
from bench.packages import package

MORE = 100
"""One item of so many changes."""


def measure(bench: Bench) -> Figure:
    network = package(bench.folder, "least")
    figure = Figure(title="catalogue: runs with nothing to compute, on a disk")
    for count in bench.pick((1_000, 10_000), (40,)):
        job = many.make_archive_job(bench.folder / "catalogue" / str(count), count, network)
        many.write_markers(job)
        for what, wanted in (
            ("no table yet, without a catalogue", False),
            ("nothing new, without", False),
            ("all items new", True),
            ("nothing new", True),
        ):
            _want(job, catalogue=wanted)
            _row(figure, what, job, count)
        for path in sorted((job.output / "markers").iterdir())[::MORE]:
            path.write_bytes(path.read_bytes())  # of another etag
        _row(figure, "one of a hundred changed", job, count)
    return figure


def _want(job: jobs.Job, *, catalogue: bool) -> None:
    data = yaml.safe_load(job.file.read_text())
    data["output"]["catalogue"] = catalogue
    job.file.write_text(yaml.safe_dump(data))


def _row(figure: Figure, what: str, job: jobs.Job, count: int) -> None:
    said = many.timed(job, "run")
    summary = json.loads(said.pop("out"))
    if (summary["scenes_done"], summary["blocks"]) != (count, 0):
        raise RuntimeError(f"{what}: {summary['scenes_done']} done, {summary['blocks']} blocks")
    figure.row(what=what, scenes=count, items=_num_items(job.output / "stac"), **said)


def _num_items(folder: Path) -> int:
    return sum(1 for path in folder.glob("??/*.json"))
