"""What each network is and costs; what a SegNet's places save. Writes docs/networks.md, in which nothing is typed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.figure import Bench, Figure
from bench.machine import describe
from bench.one_pass import BANDS, Case
from bench.one_pass import measure as measure_pass

PAGE = Path(__file__).parents[1] / "docs" / "networks.md"
CORES = (512, 1024, 2048)
TWIN_WIDTH = 4
"""Reach and stride come from kernels, not from widths: they are measured on a narrow twin, in seconds."""

NETWORKS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("unet", {"width": 64, "depth": 4, "padding": False, "norm": "none"}),
    ("unet", {"width": 64, "depth": 4}),
    ("unet", {"width": 16, "depth": 4}),
    ("unet", {"width": 16, "depth": 4, "up": "bilinear"}),
    ("segnet", {"width": 64, "depth": 5}),
    ("segnet", {"width": 16, "depth": 5}),
    ("segnet", {"width": 16, "depth": 4}),
    ("segnet-basic", {"width": 64, "depth": 4}),
    ("segnet-basic", {"width": 16, "depth": 4}),
    ("autoencoder", {"width": 64, "depth": 2}),
    ("autoencoder", {"width": 16, "depth": 2}),
    ("unet-denoiser", {"width": 16, "depth": 4}),
    ("unet-denoiser", {"width": 16, "depth": 3, "noise_level": 0.5}),
    ("dncnn", {"width": 64, "depth": 17}),
    ("edsr", {"scale": 2, "width": 64, "blocks": 16}),
    ("edsr", {"scale": 3, "width": 64, "blocks": 16}),
    ("edsr", {"scale": 4, "width": 64, "blocks": 16}),
    ("edsr", {"scale": 2, "width": 32, "blocks": 8}),
    ("espcn", {"scale": 2, "width": 64}),
    ("pix2pix", {"width": 64, "depth": 8}),
    ("pix2pix", {"width": 64, "depth": 6}),
    ("pix2pix", {"width": 32, "depth": 5}),
    ("pix2pix", {"width": 32, "depth": 4}),
)
PAIRS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("segnet", {"width": 64, "depth": 5}),
    ("unet", {"width": 64, "depth": 4}),
    ("segnet", {"width": 16, "depth": 5}),
    ("unet", {"width": 16, "depth": 4}),
)
"""Neighbours of about as many parameters, over images of 360 x 480 px, continued to multiples of 32 as a job does."""
CLASSES, SHAPE = 11, (384, 480)


def measure(bench: Bench) -> Figure:
    import torch

    torch.set_num_threads(1)
    figure = Figure(title="networks: random weights, one thread, one tile at a time")
    cores = bench.pick(CORES, (64,))
    for name, made in bench.pick(NETWORKS, NETWORKS[18:19]):
        figure.row(**_described(name, made, cores, bench.rounds))
    height, width = bench.pick(SHAPE, (64, 96))
    for name, made in bench.pick(PAIRS, PAIRS[2:]):
        for precision in ("float32", "bfloat16"):
            figure.row(**_weighed(name, made, Case(
                architecture=name, arguments=_arguments(made, CLASSES), height=height, width=width, precision=precision,
            ), bench.rounds))  # fmt: skip
    _write(figure, bench.pick(PAGE, bench.folder / PAGE.name))
    return figure


def _arguments(made: Mapping[str, Any], out_channels: int = BANDS) -> dict[str, Any]:
    return {"in_channels": BANDS, "out_channels": out_channels} | dict(made)


def _described(name: str, made: Mapping[str, Any], cores: Sequence[int], rounds: int) -> dict[str, Any]:
    """A row: size, geometry, halo tax, and what a tile of the first core costs."""
    import torch

    from encdec_batch.grid import NetworkGeometry, round_up
    from encdec_batch.models.architectures import construct
    from encdec_batch.models.reach import measure_geometry
    from encdec_batch.predict.device import choose_device

    torch.manual_seed(0)
    found = measure_geometry(construct(name, _arguments(made) | {"width": TWIN_WIDTH}).eval(), BANDS)
    geometry = NetworkGeometry(**found.model_dump(exclude={"exactness"}))

    def tile(core: int) -> int:
        return geometry.valid_size(core + 2 * (geometry.halo + geometry.margin))

    usual = [round_up(core, geometry.stride) for core in cores]
    case = Case(
        architecture=name, arguments=_arguments(made), height=tile(usual[0]), width=tile(usual[0]),
        precision=choose_device("cpu", "auto", "auto").precision,
    )  # fmt: skip
    cost = measure_pass(case, rounds)
    return {
        "network": name,
        "arguments": json.dumps(dict(made)),
        "parameters": _parameters(name, _arguments(made)),
        "reach": found.margin or found.reach,
        "stride": found.stride,
        "class": found.exactness,
        **{f"tax_{core}": round((tile(side) / side) ** 2, 2) for core, side in zip(cores, usual, strict=True)},
        "tile": case.height,
        "mpx_per_cpu_s": usual[0] ** 2 / cost.seconds / 1e6,
        "peak_mib": round(cost.peak_mib),
    }


def _weighed(name: str, made: Mapping[str, Any], case: Case, rounds: int) -> dict[str, Any]:
    cost = measure_pass(case, rounds)
    return {
        "network": name,
        "arguments": json.dumps(dict(made)),
        "parameters": _parameters(name, case.arguments),
        "precision": case.precision,
        "cpu_s": cost.seconds,
        "peak_mib": round(cost.peak_mib),
        "crossing_mib": round(cost.crossing_mib, 2),
    }


def _parameters(name: str, arguments: Mapping[str, Any]) -> int:
    import torch

    from encdec_batch.models.architectures import construct

    with torch.device("meta"):
        return sum(parameter.numel() for parameter in construct(name, arguments).parameters())


def _write(figure: Figure, page: Path) -> None:
    """The page: what stands in bench/networks.txt, with machine and tables filled in."""
    every = [row for row in figure.rows if "reach" in row]
    pairs = [row for row in figure.rows if "reach" not in row]
    machine = describe()
    said = f"{machine['cpu']}, {machine['cores']} cores, torch {machine['versions']['torch']}, {machine['time'][:10]}"
    text = Path(__file__).with_name("networks.txt").read_text()
    filled = text.format(machine=said, precision=machine["precision"], every=_table(every), pairs=_table(pairs))
    page.write_text(filled)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *([_cell(head, row[head]) for head in heads] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(head: str, value: Any) -> str:
    if head in ("network", "arguments"):
        return f"`{value}`"
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
