"""Where the CPU time of one scene goes, step by step, on one thread: shares that what else runs here hardly moves."""

from __future__ import annotations

import cProfile
import multiprocessing
import pstats
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import jobs, scenes
from bench.figure import Bench, Figure
from bench.packages import package

STEPS = (
    ("read: open, fetch, decode, pad", "pipeline.py", "read_item"),
    ("  decode", "geotiff.py", "_decode"),
    ("predict", "stage.py", "predict"),
    ("  network", "unet.py", "forward"),
    ("  engine around it", "eager.py", "cores"),
    ("  normalise", "normalize.py", "normalize"),
    ("  cut and stack tiles", "predictor.py", "_batch_of"),
    ("  decide (head)", "head.py", "__call__"),
    ("write", "pipeline.py", "WriteStage"),
    ("  encode the part", "encode.py", "encode_part"),
    ("    rows of the table", "encode.py", "_rows"),
    ("    compress tiles", "codec.py", "encode_tile"),
    ("commit", "pipeline.py", "commit_parts"),
)
"""What it is called here, and the file and function whose time, with all it calls, it is."""


def measure(bench: Bench) -> Figure:
    side = bench.pick(4096, 1024)
    figure = Figure(title=f"steps: CPU time of a scene of {side} px, one thread")
    network = package(bench.folder, bench.pick("full", "quick"))
    source = scenes.archive(bench.folder / "steps" / "scenes", 1, side)
    for name, output in (("COG alone", jobs.cog_alone()), ("all outputs", jobs.all_outputs())):
        job = jobs.make_job(
            bench.folder / "steps", source, network, kind="local", output=output, tiling={"core": bench.core}
        )
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        process = context.Process(target=_profiled, args=(job, queue))
        process.start()
        made = queue.get(timeout=900)
        process.join()
        _report(figure, name, made)
    figure.notes.append(
        "by cProfile with the thread's CPU clock; the second of two scenes, so that no import is counted"
    )
    figure.notes.append("engine around it: the network's time included; indented steps lie within the one above them")
    return figure


def _report(figure: Figure, name: str, made: dict[str, Any]) -> None:
    forward = made["steps"].get("  network") or float("nan")
    for step, seconds in made["steps"].items():
        figure.row(
            **{name: step},
            s_per_mpx=seconds / made["mpx"],
            of_all=seconds / made["total"],
            of_network=seconds / forward,
        )
    figure.row(
        outputs=name, total_s_per_mpx=made["total"] / made["mpx"], network_of_all=forward / made["total"],
        tile=made["tile"], halo_tax=made["tax"],
    )  # fmt: skip


def _profiled(job: jobs.Job, queue: Any) -> None:
    import torch

    torch.set_num_threads(1)
    go, facts = _scene_by_hand(job.file)
    go()
    profile = cProfile.Profile(time.thread_time)
    profile.runcall(go)
    stats: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    steps = {step: found for step, file, function in STEPS if (found := _seconds(stats, file, function)) is not None}
    queue.put({"steps": steps, "total": sum(entry[2] for entry in stats.values()), **facts})


def _seconds(stats: dict[Any, Any], file: str, function: str) -> float | None:
    """Cumulative seconds of a function; of a stage, of the call that bears its class's name no more than its file's."""
    if function == "WriteStage":
        found = [
            entry[3]
            for (path, line, name), entry in stats.items()
            if path.endswith(f"encdec_batch/{file}")
            and name == "__call__"
            and _calls(stats, (path, line, name), "encode_part")
        ]
    else:
        found = [
            entry[3]
            for (path, _, name), entry in stats.items()
            if "encdec_batch" in path and path.endswith(f"/{file}") and name == function
        ]
    return max(found, default=None)


def _calls(stats: dict[Any, Any], caller: tuple[str, int, str], callee: str) -> bool:
    return any(name == callee and caller in entry[4] for (_, _, name), entry in stats.items())


def _scene_by_hand(spec_file: Path) -> tuple[Callable[[], None], dict[str, Any]]:
    """One scene through the stages of pipeline.py, one after the other, again at each call."""
    from encdec_batch.commit.holder import HolderInfo
    from encdec_batch.commit.lease import acquire_lease
    from encdec_batch.commit.prune import remove_work
    from encdec_batch.commit.scene import PARTS_PREFIX
    from encdec_batch.job.plan import finish_plan, host_of, place, prepare
    from encdec_batch.job.survey import survey
    from encdec_batch.pipeline import Predicted, PredictStage, Read, WriteStage, commit_parts, read_item
    from encdec_batch.plan.item import is_small, work_items
    from encdec_batch.spec.load import load_spec
    from encdec_batch.store.open import open_store

    spec = load_spec(spec_file)
    store = open_store(spec.output.uri)
    prepared = prepare(place(spec), survey(store))
    plan = finish_plan(prepared, host_of(spec, prepared.package), store)
    predict, scene = PredictStage(plan.recipe, prepared.package), plan.scenes[0]

    def go() -> None:
        for path in [info.path for info in store.list("markers/")]:
            store.delete([path])
        remove_work(store, PARTS_PREFIX, {scene.part_key})
        with acquire_lease(store, HolderInfo.current("bench")) as lease:
            write = WriteStage(plan.recipe, lease.n)
            for item in work_items([scene]):
                for block in read_item(plan.recipe, item):
                    predicted = predict(block) if isinstance(block, Read) else block
                    record = write(predicted) if isinstance(predicted, Predicted) else predicted
                    if record.trouble:
                        raise RuntimeError(record.trouble.reason)
            if not is_small(scene):
                commit_parts(plan.recipe, scene, lease.n)

    grid = scene.grid()
    rows, cols = grid.tile_shape
    tax = grid.num_tiles * rows * cols / scene.num_pixels
    return go, {"mpx": scene.num_pixels / 1e6, "tile": f"{rows} x {cols}", "tax": tax}
