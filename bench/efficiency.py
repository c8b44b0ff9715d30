"""Scene Mpx/s from store to store, over those of the bare forward pass on the same tiles; and where the rest went."""

from __future__ import annotations

import shutil
from math import ceil
from pathlib import Path
from statistics import mean, median
from typing import Any

from bench import forward, jobs, scenes
from bench.figure import Bench, Figure
from bench.forward import Load, Way
from bench.packages import package

WAYS = (
    Way(processes=2, threads=1),
    Way(processes=1, threads=2),
    Way(processes=2, threads=1, batch=2),
    Way(processes=2, threads=1, batch=4),
    Way(processes=1, threads=2, batch=4),
)
LEAST_SCENES, LEAST_S = 12, 120.0


def measure(bench: Bench) -> Figure:
    side = bench.pick(4096, 1024)
    figure = Figure(title=f"efficiency: scenes of {side} px, 3 bands of uint8, store to store on file://")
    network = package(bench.folder, bench.pick("full", "quick"))
    folder = bench.folder / "efficiency"
    source = scenes.archive(folder / "scenes", 1, side)
    first = next(source.iterdir())
    load = _load_of(bench, network, source, first)
    best, base = _best_way(bench, figure, load)
    count = bench.pick(max(LEAST_SCENES, ceil(LEAST_S * base / (side**2 / 1e6))), 2)
    source = scenes.archive(folder / "scenes", count, side)
    plain = _baseline(bench, Load(package=network, scene=first, core=side, block=side), best)
    lines = [
        (kind, outputs)
        for outputs in bench.outputs
        for _ in range(bench.rounds if outputs == "cog" else 1)
        for kind in bench.streams
    ]
    base = _baseline(bench, load, best)
    made: list[dict[str, Any]] = []
    for kind, outputs in lines:
        ran = _job(bench, source, network, kind, outputs)
        after = _baseline(bench, load, best)
        made.append({"kind": kind, "outputs": outputs, "ran": ran, "base": mean((base, after))})
        base = after
    _report(figure, made, plain)
    figure.notes.append(f"{count} scenes; baseline at its best: {best}; core {bench.core}, block {load.block}")
    figure.notes.append("timed from the first block's read to the last marker; baseline: mean of one before, one after")
    shutil.rmtree(folder, ignore_errors=True)
    return figure


def _spec(bench: Bench, outputs: str) -> dict[str, Any]:
    """The two lines that are measured: the COG alone, and everything."""
    chosen = jobs.cog_alone() if outputs == "cog" else jobs.all_outputs()
    return {"output": chosen, "tiling": {"core": bench.core}}


def _job(bench: Bench, source: Path, network: Path, kind: str, outputs: str) -> jobs.Ran:
    made = jobs.make_job(bench.folder / "efficiency", source, network, kind=kind, **_spec(bench, outputs))
    return jobs.run(made)


def _load_of(bench: Bench, network: Path, source: Path, scene: Path) -> Load:
    """The lattice that a job would compute: block and core as the plan has them."""
    from encdec_batch.job.plan import build_plan
    from encdec_batch.spec.load import load_spec

    made = jobs.make_job(bench.folder / "efficiency", source, network, kind="local", **_spec(bench, "cog"))
    planned = build_plan(load_spec(made.file)).scenes[0].tiling
    return Load(package=network, scene=scene, core=planned.core, block=planned.block)


def _best_way(bench: Bench, figure: Figure, load: Load) -> tuple[Way, float]:
    rates: dict[Way, float] = {}
    for way in bench.pick(WAYS, WAYS[:1]):
        rate = forward.measure(load, way, bench.pick(10.0, 0.1))
        rates[way] = rate.mpx_per_s
        figure.row(
            bare_forward=str(way), tile=rate.tile, tiles=rate.num_tiles, halo_tax=rate.tax, mpx_per_s=rate.mpx_per_s,
            cpu_s_per_mpx=rate.cpu_s_per_mpx,
        )  # fmt: skip
    best = max(rates, key=lambda way: rates[way])
    return best, rates[best]


def _baseline(bench: Bench, load: Load, way: Way) -> float:
    return forward.measure(load, way, bench.pick(20.0, 0.1)).mpx_per_s


def _report(figure: Figure, made: list[dict[str, Any]], plain: float) -> None:
    for m in made:
        ran: jobs.Ran = m["ran"]
        figure.row(
            stream=m["kind"], outputs=m["outputs"], mpx_per_s=ran.mpx_per_s, baseline=m["base"],
            efficiency=ran.mpx_per_s / m["base"], to_plain_pass=ran.mpx_per_s / plain, stream_s=ran.seconds,
            start_up_s=ran.first_start - ran.began, load_networks_s=ran.summary["seconds"] - ran.seconds,
            command_s=ran.wall_s,
        )  # fmt: skip
    for kind, outputs in dict.fromkeys((m["kind"], m["outputs"]) for m in made):
        runs = [m for m in made if (m["kind"], m["outputs"]) == (kind, outputs)]
        ratio = median(m["ran"].mpx_per_s / m["base"] for m in runs)
        figure.row(stream=kind, outputs=outputs, median_efficiency=ratio, runs=len(runs))
        ran = runs[-1]["ran"]
        figure.row(**{"wall s per scene Mpx": f"{kind}, {outputs}"}, **_per_mpx(ran.stage_seconds(), ran.mpx))
        figure.row(**{"CPU s per scene Mpx": f"{kind}, {outputs}"}, **_per_mpx(ran.cpu_seconds(), ran.mpx))
    figure.notes.append(f"one plain pass over the whole scene in memory, same engine: {plain:.2f} Mpx/s")


def _per_mpx(seconds: dict[str, float], mpx: float) -> dict[str, float]:
    return {name: value / mpx for name, value in sorted(seconds.items()) if value / mpx >= 0.0005}
