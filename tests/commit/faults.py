"""A job of one scene, driven stage by stage, whose blocks (never its check windows) may come from a faulty worker."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from e2e.made import write_spec, write_tiff
from models.made import declared
from numpy.typing import NDArray

from encdec_batch.commit.marker import read_marker
from encdec_batch.grid import Axis, AxisBlock, AxisCore, Grid, make_grid
from encdec_batch.job.plan import build_plan
from encdec_batch.models.card import BandCard, ConstantNormalization, ImageOutput
from encdec_batch.models.network import build_network
from encdec_batch.models.package import Package, load_package
from encdec_batch.models.publish import publish_package
from encdec_batch.networks.unet import UNet
from encdec_batch.pipeline import (
    Predicted,
    PredictStage,
    Read,
    Record,
    WriteStage,
    commit_parts,
    open_output,
    read_item,
)
from encdec_batch.plan.item import is_small, work_items
from encdec_batch.plan.plan import Plan
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.predict.eager import EagerEngine
from encdec_batch.predict.engine import Engine
from encdec_batch.predict.head import Wanted
from encdec_batch.predict.normalize import affine_of
from encdec_batch.predict.prediction import Prediction
from encdec_batch.predict.predictor import Predictor
from encdec_batch.read.block import pad
from encdec_batch.read.patch import Patch
from encdec_batch.spec.load import load_spec
from encdec_batch.window import Window

LEASE = 7
KEY = "5" * 64
Array = NDArray[np.generic]


def blurring_network(channels: int, seed: int = 0) -> UNet:
    """Weights near the mean of what they see: what lies at the end of the reach still counts."""
    torch.manual_seed(seed)
    network = UNet(1, channels, width=2, depth=1, norm="none").eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                layer.weight.fill_(1 / layer.weight[0].numel())
                layer.weight += 0.3 * layer.weight * torch.randn_like(layer.weight)
                if layer.bias is not None:
                    layer.bias.zero_()
        if channels == 2:
            # Two classes about as frequent: the difference of the channels has noise's mean at its middle.
            no, yes = network(torch.randn(1, 1, 256, 256).abs())[0]
            network.head.bias[1] += (no - yes).median()
    return network


def make_package(folder: Path, kind: str, seed: int = 0) -> str:
    """A package of a blurring network: `classes`, or an image of dtype `kind`."""
    network = blurring_network(2 if kind == "classes" else 1, seed)
    changes = (
        {"output": ImageOutput(kind="image", band_names=("out",), dtype=kind, range=(0, 3))}
        if kind != "classes"
        else {}
    )
    card = declared(
        bands=(BandCard(name="b"),),
        normalization=ConstantNormalization(kind="constants", mean=(0.0,), std=(100.0,)),
        arguments={
            "in_channels": 1,
            "out_channels": 2 if kind == "classes" else 1,
            "width": 2,
            "depth": 1,
            "norm": "none",
        },
        version=str(seed),
        **changes,
    )
    publish_package(str(folder), network, card, noise(64, 64))
    return str(folder)


def noise(height: int, width: int) -> NDArray[np.uint8]:
    """(1, height, width): patches of noise, so that a network's answer is neither flat nor noise alone."""
    rng = np.random.default_rng(5)
    coarse = np.kron(rng.integers(0, 200, (-(-height // 8), -(-width // 8))), np.ones((8, 8), np.int64))
    return (coarse[:height, :width] + rng.integers(0, 55, (height, width))).astype(np.uint8)[None]


def lying_card(package: str, folder: Path) -> str:
    """The same package, but that its card says a reach whose halo is one stride short."""
    folder.mkdir()
    for file in Path(package).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    card = json.loads((folder / "card.json").read_text())
    stride, reach = card["geometry"]["stride"], card["geometry"]["reach"]
    card["geometry"]["reach"] = -(-reach // stride) * stride - stride
    (folder / "card.json").write_text(json.dumps(card))
    return str(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What a faulty stage may use."""

    plan: Plan
    package: Package
    image: Array

    @property
    def scene(self) -> ScenePlan:
        return self.plan.scenes[0]

    def predict(self, read: Read, *, grid: Grid | None = None, engine: Engine | None = None) -> Prediction:
        """A block, by the stage's own code, on another lattice or by another engine."""
        card, recipe, grid = self.package.card, self.plan.recipe, grid or self.scene.grid()
        engine = engine or self.engine()
        block = grid.block(read.row, read.col)
        source = grid.source_window(block, card.padding)
        pixels = self.image[:, source.rows, source.cols]
        patch = Patch(pixels=pixels, valid_mask=np.ones(pixels.shape[1:], bool))
        predictor = Predictor(card, engine, Wanted(products=recipe.products), batch=1)
        return predictor.predict(pad(patch, grid, block, card.padding), grid, block, affine_of(card, (1.0,), (0.0,)))

    def engine(self, package: Package | None = None) -> EagerEngine:
        return EagerEngine(build_network(package or self.package), device="cpu", precision="float32")


Fault = Callable[[Worker, Read], Prediction]


def halo_one_stride_short(worker: Worker, read: Read) -> Prediction:
    scene = worker.scene
    halo = scene.geometry.halo - scene.geometry.stride
    height, width = scene.header.height, scene.header.width
    return worker.predict(read, grid=make_grid(height, width, scene.geometry, replace(scene.tiling, halo=halo)))


def origin_off_by_one(worker: Worker, read: Read) -> Prediction:
    def moved(axis: Axis) -> Axis:
        last = axis.padded - axis.tile
        return _with_origins(axis, lambda core: core.origin + (0 < core.origin < last))

    grid = worker.scene.grid()
    return worker.predict(read, grid=replace(grid, rows=moved(grid.rows), cols=moved(grid.cols)))


def border_padded(worker: Worker, read: Read) -> Prediction:
    """Tiles that keep their halo at the scene's edge, over mirrored pixels, instead of moving inward."""
    scene, grid = worker.scene, worker.scene.grid()
    halo, beyond = scene.geometry.halo, max(grid.tile_shape)
    image = np.pad(worker.image, ((0, 0), (halo, beyond), (halo, beyond)), "symmetric")

    def moved(axis: Axis) -> Axis:
        blocks = tuple(
            AxisBlock(
                block.start + halo,
                block.stop + halo,
                tuple(AxisCore(core.start + halo, core.stop + halo, core.start) for core in block.cores),
                tuple(core.start for core in block.cores),
                block.first_core,
            )
            for block in axis.blocks
        )
        side = axis.size + halo + beyond
        return Axis(side, 0, side, axis.tile, blocks)

    padded = replace(worker, image=image)
    return padded.predict(read, grid=Grid(moved(grid.rows), moved(grid.cols), grid.geometry, "crop"))


def normalised_by_tile(worker: Worker, read: Read) -> Prediction:
    return worker.predict(read, engine=_ByTile(worker.engine()))


def weights_of_another_model(other: str) -> Fault:
    """One worker of two, which do the blocks in turn."""

    def fault(worker: Worker, read: Read) -> Prediction:
        wrong = (read.row + read.col) % 2
        return worker.predict(read, engine=worker.engine(load_package(other)) if wrong else None)

    return fault


class _ByTile:
    """An engine that brings each tile to mean 0.5 and standard deviation 0.5 first."""

    def __init__(self, engine: EagerEngine) -> None:
        self._engine = engine
        self.device, self.busy, self.name = engine.device, engine.busy, engine.name

    def cores(self, tiles_NCHW: torch.Tensor, keep: list[Window]) -> list[torch.Tensor]:
        mean, std = tiles_NCHW.mean((2, 3), keepdim=True), tiles_NCHW.std((2, 3), keepdim=True)
        return self._engine.cores((tiles_NCHW - mean) / std / 2 + 0.5, keep)


def _with_origins(axis: Axis, origin: Callable[[AxisCore], int]) -> Axis:
    blocks = tuple(
        replace(block, cores=cores, tiles=tuple(core.origin for core in cores))
        for block in axis.blocks
        for cores in [tuple(replace(core, origin=origin(core)) for core in block.cores)]
    )
    return replace(axis, blocks=blocks)


def job(folder: Path, package: str, shape: tuple[int, int], **changes: object) -> Worker:
    """A planned job over one scene of noise, every scene to be certified."""
    image = noise(*shape)
    write_tiff(folder / "in/a.tif", image)
    fields = {"output": {"certify": "all"}, "tiling": {"core": 128, "block": 512}} | changes
    spec = load_spec(write_spec(folder, folder / "in", package, **fields))
    plan = build_plan(spec)
    # The key is of the scene's path and time: a fixed one, so that a test checks the same windows every time.
    scene = replace(plan.scenes[0], scene_key=KEY)
    scene = replace(scene, checks=plan.recipe.checks(scene))
    return Worker(plan=replace(plan, scenes=(scene,)), package=load_package(package), image=image)


def run_stages(worker: Worker, fault: Fault | None = None) -> list[Record]:
    """Every record of the job: blocks by the fault, where there is one; check windows always by the stage itself."""
    recipe, scene = worker.plan.recipe, worker.scene
    predict, write = PredictStage(recipe, worker.package), WriteStage(recipe, LEASE)
    records = []
    for item in work_items(worker.plan.scenes):
        for read in read_item(recipe, item):
            assert isinstance(read, Read)
            done = predict(read)
            assert isinstance(done, Predicted)
            if fault is not None and read.check is None:
                wrong = fault(worker, read)
                done = replace(done, prediction=replace(done.prediction, rasters=wrong.rasters))
            records.append(write(done))
    return records if is_small(scene) else [*records, commit_parts(recipe, scene, LEASE)]


def certificate_in(worker: Worker) -> dict[str, object] | None:
    """Of the scene's marker; None where it was not committed."""
    found = read_marker(open_output(worker.plan.recipe), worker.scene.scene_id)
    return None if found is None else found[0].certificate
