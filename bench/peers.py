"""The same scenes, network and threads through what people use today."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench import jobs, scenes
from bench.figure import Bench, Figure
from bench.packages import package

THREADS = 2
BEST_ROIS = ((512, 1), (512, 4), (768, 1), (960, 1), (1024, 1))
"""Side of MONAI's window and windows per batch, tried on a quarter of the scene."""
WAIT_S = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One peer on one scene, in a process of its own."""

    peer: str
    package: Path
    scene: Path
    output: Path
    monai: Path
    roi: int = 512
    batch: int = 4
    low: bool = False
    """The engine's own precision and channels-last, instead of float32 as torch makes it."""
    crop: int = 0
    """Only this many pixels a side; 0: all."""
    runs: int = 1


def measure(bench: Bench) -> Figure:
    side = bench.pick(4096, 512)
    figure = Figure(title=f"peers: a scene of {side} px, {THREADS} threads, file to file")
    network = package(bench.folder, bench.pick("full", "quick"))
    folder = bench.folder / "peers"
    source = scenes.archive(folder / "scenes", bench.pick(4, 1), side)
    monai = _install(bench.folder / "monai", figure)
    common: dict[str, Any] = {
        "package": network, "scene": min(source.iterdir()), "output": folder / "peer.tif",
        "monai": monai or folder, "runs": bench.rounds,
    }  # fmt: skip
    tasks = _tasks(bench, common, with_monai=monai is not None)
    for name, task in tasks.items():
        made = _in_process(_work, task)
        _row(figure, name, made["px"], made["whole_s"], made["forward_s"])
    for kind in bench.streams:
        ran = [_ours(bench, source, network, kind) for _ in range(bench.rounds)]
        seconds = median(r.seconds for r in ran)
        _row(figure, f"encdec-batch, {kind}, {len(list(source.iterdir()))} scenes", ran[0].mpx * 1e6, seconds, None)
    ours = max(row["mpx_per_s"] for row in figure.rows if row["what"].startswith("encdec"))
    for row in figure.rows:
        row["ours_is_times"] = ours / row["mpx_per_s"]
    figure.notes.append("peers write a tiled GeoTIFF without overviews; ours a COG with them, resumable, with a marker")
    return figure


def _tasks(bench: Bench, common: dict[str, Any], *, with_monai: bool) -> dict[str, Task]:
    tasks: dict[str, Task] = {}
    if with_monai:
        tasks["MONAI, defaults (float32, window 512, batch 4, overlap .25)"] = Task(peer="monai", **common)
        trial = common | {"crop": bench.pick(2048, 256), "runs": 1}
        rois = bench.pick(BEST_ROIS, ((128, 1),))
        rates = {
            (roi, batch): 1
            / _in_process(_work, Task(peer="monai", roi=roi, batch=batch, low=True, **trial))["forward_s"]
            for roi, batch in rois
        }
        roi, batch = max(rates, key=lambda key: rates[key])
        name = f"MONAI, at its best (engine's precision, channels-last, window {roi}, batch {batch})"
        tasks[name] = Task(peer="monai", roi=roi, batch=batch, low=True, **common)
    tasks["rasterio loop (float32, 512 px, 64 px overlap)"] = Task(peer="loop", **common)
    tasks["rasterio loop (engine's precision, channels-last)"] = Task(peer="loop", low=True, **common)
    return tasks


def _row(figure: Figure, what: str, pixels: float, seconds: float, forward: float | None) -> None:
    figure.row(
        what=what,
        mpx_per_s=pixels / 1e6 / seconds,
        seconds=seconds,
        inference_mpx_per_s=pixels / 1e6 / forward if forward else None,
    )


def _ours(bench: Bench, source: Path, network: Path, kind: str) -> jobs.Ran:
    made = jobs.make_job(bench.folder / "peers", source, network, kind=kind, tiling={"core": bench.core})
    return jobs.run(made)


def _install(target: Path, figure: Figure) -> Path | None:
    """MONAI beside the environment, never in it; None where it cannot be had."""
    if not (target / "monai").exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), "monai"]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            figure.notes.append("MONAI could not be installed here: its lines are missing")
            return None
    found = next(target.glob("monai-*.dist-info"), None)
    figure.notes.append(f"MONAI {found.name.split('-')[1].removesuffix('.dist') if found else '?'}")
    return target


def _in_process(call: Callable[[Task, Any], None], task: Task) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=call, args=(task, queue))
    process.start()
    made: dict[str, float] = queue.get(timeout=WAIT_S)
    process.join()
    return made


def _work(task: Task, queue: Any) -> None:
    """Medians of `runs` after a first, small forward pass."""
    import torch

    from bench import peer_loops

    torch.set_num_threads(THREADS)
    loop = peer_loops.monai_loop if task.peer == "monai" else peer_loops.rasterio_loop
    network = peer_loops.network_of(task)
    with torch.inference_mode():
        network(torch.zeros(1, 3, 256, 256, dtype=next(network.parameters()).dtype))
        whole, forward, pixels = [], [], 0
        for _ in range(task.runs):
            clock = time.perf_counter()
            pixels, seconds = loop(task, network)
            whole.append(time.perf_counter() - clock)
            forward.append(seconds)
    queue.put({"px": pixels, "whole_s": median(whole), "forward_s": median(forward)})
