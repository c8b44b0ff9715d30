"""How fast a worker is, by side of the core: what `core: auto` is chosen from."""

from __future__ import annotations

import time
from math import ceil

import torch

from encdec_batch.grid import Tiling, make_grid, round_up
from encdec_batch.models.package import Package
from encdec_batch.predict.device import Device
from encdec_batch.predict.engine import Engine
from encdec_batch.predict.engines import open_engine
from encdec_batch.window import Window

CORES_PER_BLOCK = (2, 3, 4, 6)
"""Along each side. Small tiles are fast on a CPU's caches, large ones cheap in halo; beyond these the rate fell."""
USUAL_BLOCK = 2048
"""A core that does not divide the block would be made smaller until it does, and pay its halo all the same."""
SECONDS_PER_CANDIDATE = 1.5
WHOLE_SCENE = 4096
"""Side of the scene whose halo tax is counted."""


def measure_cores(package: Package, device: Device, *, halo: int | None) -> dict[int, float]:
    """Scene Mpx/s of one worker by side of the core, halo tax included."""
    geometry = package.card.network_geometry
    threads = torch.get_num_threads()
    if device.torch_name == "cpu":
        torch.set_num_threads(1)
    try:
        engine = open_engine(package, device=device.torch_name, precision=device.precision)
        rates: dict[int, float] = {}
        for number in CORES_PER_BLOCK:
            core = round_up(ceil(USUAL_BLOCK / number), geometry.stride)
            tiling = Tiling(core=core, block=USUAL_BLOCK, halo=halo)
            grid = make_grid(WHOLE_SCENE, WHOLE_SCENE, geometry, tiling)
            seconds = _seconds_per_tile(engine, grid.tile_shape, device, package.card.num_bands)
            rates[core] = WHOLE_SCENE**2 / (seconds * grid.num_tiles) / 1e6
        return rates
    finally:
        torch.set_num_threads(threads)


def _seconds_per_tile(engine: Engine, tile: tuple[int, int], device: Device, bands: int) -> float:
    """The least of several batches: what else runs on the machine only ever adds."""
    tiles_NCHW = torch.zeros((device.batch, bands, *tile), device=device.torch_name)
    keep = [Window(0, 0, 1, 1)] * device.batch
    engine.cores(tiles_NCHW, keep)
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < SECONDS_PER_CANDIDATE or best == float("inf"):
        _wait(device)
        clock = time.perf_counter()
        engine.cores(tiles_NCHW, keep)
        _wait(device)
        best = min(best, time.perf_counter() - clock)
    return best / device.batch


def _wait(device: Device) -> None:
    if device.torch_name == "cuda":
        torch.cuda.synchronize()
