"""A million blocks planned: all of them new, then none, then as many scenes more as a night brings.

What is measured is the planning side of a run's driver, in a process of its own: listing, survey, headers, the cutting
of each scene, and the plan as it is written segment by segment. Blocks are counted and not handed out.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from bench import jobs, scenes
from bench.counted import counted
from bench.figure import Bench, Figure
from bench.packages import package

SIDE, BLOCK = 5120, 512
"""100 blocks a scene."""
MORE = 100
"""One scene more for so many that are there."""
DISTINCT = 4
"""Files behind all scenes: a file system has a largest number of names for one."""


def measure(bench: Bench) -> Figure:
    network = package(bench.folder, "least")
    figure = Figure(title=f"grown: scenes of {SIDE} px in blocks of {BLOCK} px, planned by one process")
    for count in bench.pick((1_000, 10_000), (8,)):
        folder = bench.folder / "grown" / str(count)
        job = jobs.make_job(
            folder, _archive(folder, count), network, kind="local", tiling={"core": BLOCK, "block": BLOCK}
        )
        figure.row(what="all new", **_planned(job))
        figure.row(what="nothing new", **_planned(job))
        _add(folder, count, max(1, count // MORE))
        figure.row(what="some more", **_planned(job))
    figure.notes.append("a header that an earlier plan holds is not read: `read` counts those that were")
    return figure


def _archive(folder: Path, count: int) -> Path:
    shutil.rmtree(folder / "scenes", ignore_errors=True)
    (folder / "scenes").mkdir(parents=True)
    _add(folder, 0, count)
    return folder / "scenes"


def _add(folder: Path, begin: int, count: int) -> None:
    for n in range(begin, begin + count):
        original = folder.parent / f"scene-{n % DISTINCT}.tif"
        os.link(scenes.giant(original, SIDE), folder / "scenes" / f"scene-{n:06d}.tif")


def _planned(job: jobs.Job) -> dict[str, Any]:
    said, clock = job.file.with_suffix(".out"), time.perf_counter()
    with said.open("w") as out:
        used = counted([sys.executable, "-m", "bench.grown", str(job.file)], stdout=out)
    wall = time.perf_counter() - clock
    if code := used.pop("code"):
        raise RuntimeError(f"planning {job.file} ended with {code:.0f}")
    return {**json.loads(said.read_text()), "s": wall, **used}


def plan(spec_file: str) -> dict[str, Any]:
    """What a run does before its first block, for all of its scenes.

    Returns:
        Scenes and blocks planned, headers read among them, and seconds to the first segment.
    """
    from encdec_batch.job.plan import host_of, place, plan_ahead, prepare, resolve_recipe
    from encdec_batch.job.planner import Planner
    from encdec_batch.job.survey import survey
    from encdec_batch.plan.table import PlanWriter
    from encdec_batch.spec.load import load_spec
    from encdec_batch.store.open import open_store

    began, first = time.perf_counter(), 0.0
    spec = load_spec(spec_file)
    store = open_store(spec.output.uri, spec.output.storage)
    prepared = prepare(place(spec), survey(store))
    num_scenes = num_blocks = num_read = 0
    with host_of(spec, prepared.package) as host:
        recipe = resolve_recipe(prepared, host, store)
        writer = PlanWriter(store, recipe)
        with Planner(plan_ahead(prepared, recipe, host, store)) as planner:
            for segment in planner.segments():
                if not segment.planned:
                    continue
                writer.write(segment.planned)
                first = first or time.perf_counter() - began
                num_scenes += len(segment.planned)
                num_blocks += sum(one.scene.grid().num_blocks for one in segment.planned)
                num_read += sum(not one.remembered for one in segment.planned)
        writer.write(())
    return {"scenes": num_scenes, "blocks": num_blocks, "read": num_read, "first_s": first}


if __name__ == "__main__":
    print(json.dumps(plan(sys.argv[1])))
