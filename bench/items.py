"""How many work items and small scenes a second go through when the network does next to nothing."""

from __future__ import annotations

from statistics import median

from bench import jobs, scenes
from bench.figure import Bench, Figure, spread
from bench.packages import package

SIDE = 512


def measure(bench: Bench) -> Figure:
    figure = Figure(title=f"items: a network that does next to nothing, units of {SIDE} px on file://")
    network = package(bench.folder, "least")
    folder = bench.folder / "items"
    many = scenes.archive(folder / "many", bench.pick(400, 4), SIDE, distinct=1)
    large = scenes.archive(folder / "large", 1, bench.pick(10_240, 1024), distinct=1)
    for kind in bench.streams:
        for what, source, options in (
            ("small scenes, each committed", many, {"tiling": {"core": SIDE}}),
            ("blocks of one scene, a part each", large, {"tiling": {"core": SIDE, "block": SIDE}}),
        ):
            runs = [jobs.run(jobs.make_job(folder, source, network, kind=kind, **options)) for _ in range(bench.rounds)]
            units = runs[0].summary["blocks"]
            rate = spread([units / r.seconds for r in runs])
            stages = {name: s / units for name, s in runs[-1].stage_seconds().items()}
            figure.row(
                stream=kind, what=what, units=units, per_s=rate["median"], least=rate["min"], most=rate["max"],
                **{f"{stage}_ms": 1e3 * stages.get(stage, 0.0) for stage in ("read", "predict", "write", "commit")},
                start_up_s=median(r.first_start - r.began for r in runs),
            )  # fmt: skip
    figure.notes.append("from the first unit's read to the last marker; stages: wall ms per unit, summed over workers")
    return figure
