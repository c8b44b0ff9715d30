"""The bare forward pass on tiles held in memory: what every job is compared with."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WAIT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a machine's cores are used."""

    processes: int
    threads: int
    batch: int = 1

    def __str__(self) -> str:
        return f"{self.processes} process x {self.threads} threads, batch {self.batch}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is computed: the lattice of one scene. A core as large as the scene makes it one plain pass."""

    package: Path
    scene: Path
    core: int
    block: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Scene pixels are counted, halos are not."""

    mpx_per_s: float
    cpu_s_per_mpx: float
    tile: int
    num_tiles: int
    tax: float
    """Pixels computed / pixels of the scene."""


def measure(load: Load, way: Way, seconds: float) -> Rate:
    """The lattice is computed over and over, its tiles in turn, for `seconds`, by all processes at once."""
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(way.processes), context.Queue()
    processes = [
        context.Process(target=_compute, args=(load, way, seconds, barrier, queue)) for _ in range(way.processes)
    ]
    for process in processes:
        process.start()
    made = [queue.get(timeout=WAIT_S) for _ in processes]
    for process in processes:
        process.join()
    mpx = sum(m["mpx"] for m in made)
    return Rate(
        mpx_per_s=sum(m["mpx"] / m["seconds"] for m in made),
        cpu_s_per_mpx=sum(m["cpu"] for m in made) / mpx,
        tile=made[0]["tile"],
        num_tiles=made[0]["num_tiles"],
        tax=made[0]["tax"],
    )


def _compute(load: Load, way: Way, seconds: float, barrier: Any, queue: Any) -> None:
    from encdec_batch.predict.heap import keep_freed_memory

    # The baseline at its own best: it is spared the page faults that a job is spared.
    keep_freed_memory()
    import torch

    torch.set_num_threads(way.threads)
    batches, engine, facts = _prepared(load, way)
    keep = [_one_pixel()] * way.batch
    engine.cores(batches[0], keep)
    barrier.wait()
    clock, cpu, done = time.perf_counter(), time.process_time(), 0
    while done == 0 or time.perf_counter() - clock < seconds:
        engine.cores(batches[done % len(batches)], keep)
        done += 1
    elapsed, cpu = time.perf_counter() - clock, time.process_time() - cpu
    # All tiles have one shape: each batch stands for its share of the scene.
    mpx = done / len(batches) * facts.pop("pixels") / 1e6
    queue.put({"mpx": mpx, "seconds": elapsed, "cpu": cpu, **facts})


def _prepared(load: Load, way: Way) -> tuple[list[Any], Any, dict[str, Any]]:
    """Normalised tiles in the engine's own precision and layout, so that nothing but the network is timed."""
    import rasterio
    import torch

    from encdec_batch.grid import Tiling, make_grid
    from encdec_batch.models.network import build_network
    from encdec_batch.models.package import load_package
    from encdec_batch.predict.device import choose_device
    from encdec_batch.predict.eager import PRECISIONS, EagerEngine
    from encdec_batch.predict.normalize import affine_of, normalize

    package = load_package(str(load.package))
    precision = choose_device("cpu", "auto", 1).precision
    engine = EagerEngine(build_network(package), device="cpu", precision=precision)
    with rasterio.open(load.scene) as file:
        pixels_CHW = torch.from_numpy(file.read())
    bands, height, width = pixels_CHW.shape
    affine = affine_of(package.card, (1.0,) * bands, (0.0,) * bands)
    x_CHW = normalize(pixels_CHW, torch.ones(height, width, dtype=torch.bool), affine, 0.0)
    grid = make_grid(height, width, package.card.network_geometry, Tiling(core=load.core, block=load.block))
    rows, cols = grid.tile_shape
    x_CHW = torch.nn.functional.pad(x_CHW, (0, grid.cols.padded - width, 0, grid.rows.padded - height), mode="reflect")
    origins = [(t.row_origin, t.col_origin) for block in grid.blocks() for t in block.tiles()]
    batches = []
    for first in range(0, len(origins), way.batch):
        chunk = origins[first : first + way.batch]
        chunk += chunk[-1:] * (way.batch - len(chunk))
        tiles_NCHW = torch.stack([x_CHW[:, r : r + rows, c : c + cols] for r, c in chunk])
        batches.append(tiles_NCHW.to(PRECISIONS[precision]).contiguous(memory_format=torch.channels_last))
    facts = {
        "pixels": height * width,
        "tile": rows,
        "num_tiles": len(origins),
        "tax": len(origins) * rows * cols / (height * width),
    }
    return batches, engine, facts


def _one_pixel() -> Any:
    from encdec_batch.window import Window

    return Window(0, 0, 1, 1)
