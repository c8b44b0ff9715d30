"""Peak memory of any process, for a giant scene against a sixteenth of it, and against what `plan` projects."""

from __future__ import annotations

import shutil
from typing import Any

from bench import jobs, scenes
from bench.figure import Bench, Figure
from bench.packages import package
from bench.watch import PERIOD_S

LAYOUTS: dict[str, dict[str, Any]] = {
    "tiled": {"blockxsize": 512, "blockysize": 512, "tiled": True},
    "striped": {"tiled": False, "blockysize": 1},
}
MIB = 2**20
TINY = 64
"""Side of a scene that needs next to no memory: what remains is the process with its libraries and the network."""


def measure(bench: Bench) -> Figure:
    small, large = bench.pick((10_000, 40_000), (768, 1536))
    figure = Figure(title="memory: peak PSS of any process of a run, all outputs, a network that does next to nothing")
    for kind in bench.streams:
        for layout in LAYOUTS:
            bare, few, many = (_peaks(bench, figure, kind, layout, side) for side in (TINY, small, large))
            for process in many:
                figure.row(
                    stream=kind, layout=layout, process=process, MiB_tiny=bare.get(process), MiB_small=few.get(process),
                    MiB_large=many[process],
                    ratio=many[process] / few[process] if few.get(process) else None,
                )  # fmt: skip
            ratio = max(many.values()) / max(few.values())
            most = max(many, key=lambda process: many[process])
            above = many[most] - bare.get(most, 0.0)
            projected = next(row["projected_MiB"] for row in reversed(figure.rows) if "projected_MiB" in row)
            figure.notes.append(
                f"{kind}, {layout}: {most}, above its bare self: {above:.0f} MiB; projected {projected:.0f}"
            )
            figure.notes.append(f"{kind}, {layout}: any process, {large} px / {small} px: {ratio:.3f}")
    figure.notes.append(
        f"projected: a block; the process itself, libraries and network (a scene of {TINY} px), adds to it"
    )
    figure.notes.append(f"PSS from smaps_rollup every {PERIOD_S} s: shared pages are divided among who maps them")
    shutil.rmtree(bench.folder / "memory", ignore_errors=True)
    return figure


def _peaks(bench: Bench, figure: Figure, kind: str, layout: str, side: int) -> dict[str, float]:
    """Kind of process to the largest peak of one such process, MiB."""
    folder = bench.folder / "memory"
    source = folder / f"{layout}-{side}"
    file = scenes.giant(source / "scene.tif", side, **LAYOUTS[layout])
    made = jobs.make_job(
        folder,
        source,
        package(bench.folder, "least"),
        kind=kind,
        output=jobs.all_outputs(),
        tiling={"core": bench.core},
    )
    planned = jobs.plan(made)
    ran = jobs.run(made, memory=True)
    peaks = {name: pss / MIB for name, pss in sorted(ran.usage.peak_by_kind().items())}
    figure.row(
        run=f"{kind}, {layout}, {side} px", projected_MiB=planned["projected_bytes"] / MIB,
        largest_MiB=max(peaks.values()), file_MB=file.stat().st_size / 1e6, samples=ran.usage.samples,
        seconds=ran.wall_s, mpx_per_s=ran.mpx_per_s,
    )  # fmt: skip
    shutil.rmtree(made.output)
    return peaks
