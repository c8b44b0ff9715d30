"""What tiling costs or wins against one plain pass over the whole scene in memory, and rate and halo tax by tile."""

from __future__ import annotations

from statistics import median

from bench import forward, scenes
from bench.figure import Bench, Figure
from bench.forward import Load, Way
from bench.packages import package

TILES = (512, 704, 960, 1216, 2048)
WAYS = (Way(processes=2, threads=1), Way(processes=1, threads=2))


def measure(bench: Bench) -> Figure:
    side = bench.pick(4096, 512)
    figure = Figure(title=f"plain: bare forward passes over a scene of {side} px, by side of the tile")
    network = package(bench.folder, bench.pick("full", "quick"))
    scene = next(scenes.archive(bench.folder / "plain", 1, side).iterdir())
    halo = _halo(network)
    cores = [tile - 2 * halo for tile in bench.pick(TILES, (256,))] + [side]
    loads = [Load(package=network, scene=scene, core=core, block=side) for core in cores]
    made: dict[tuple[int, Way], list[forward.Rate]] = {}
    # Rounds outside: what else runs on the machine then falls on all sizes alike.
    for _ in range(bench.rounds):
        for load in loads:
            for way in WAYS[: bench.pick(2, 1)]:
                rate = forward.measure(load, way, bench.pick(6.0, 0.1))
                made.setdefault((load.core, way), []).append(rate)
    whole = max(median(r.mpx_per_s for r in rates) for (core, _), rates in made.items() if core == side)
    for (core, way), rates in made.items():
        first, rate = rates[0], median(r.mpx_per_s for r in rates)
        figure.row(
            tile="whole" if core == side else str(first.tile), tiles=first.num_tiles, halo_tax=first.tax,
            way=str(way), mpx_per_s=rate, tile_mpx_per_s=rate * first.tax,
            cpu_s_per_mpx=median(r.cpu_s_per_mpx for r in rates), to_whole=rate / whole,
        )  # fmt: skip
    figure.notes.append(f"halo {halo}; to_whole: against the plain pass at its own better way")
    return figure


def _halo(network: object) -> int:
    from encdec_batch.models.package import load_package

    return load_package(str(network)).card.network_geometry.halo
