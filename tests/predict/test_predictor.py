"""Nodata, heads, short batches, memory that runs out, and blending."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from predict.whole import card_of, plain_pass, tiled
from torch import Tensor, nn

from encdec_batch.grid import Tiling, make_grid
from encdec_batch.models.card import ClassCard, ClassesOutput, GeometryCard, ImageOutput
from encdec_batch.plan.products import products_of
from encdec_batch.predict.eager import EagerEngine
from encdec_batch.predict.head import Wanted
from encdec_batch.predict.normalize import Affine, affine_of
from encdec_batch.predict.predictor import Predictor
from encdec_batch.read.block import pad
from encdec_batch.read.patch import Patch
from encdec_batch.spec.output import OutputSpec
from encdec_batch.window import Window

LOCAL = GeometryCard(scale=1, stride=1, reach=1, exactness="exact")


class Coordinates(nn.Module):
    """Gives its input back: what comes out at a pixel says which pixel was read."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def convolution(bands: int, channels: int, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Conv2d(bands, channels, 3, padding=1)


def classes_of(num: int, activation: Any = "softmax", ids: Sequence[int] | None = None) -> ClassesOutput:
    chosen = ids or range(num)
    cards = tuple(ClassCard(id=i, name=f"class {i}", color=(i % 256, 0, 0)) for i in chosen)
    return ClassesOutput(kind="classes", activation=activation, classes=cards)


@given(height=st.integers(1, 70), width=st.integers(1, 70), core=st.integers(1, 40), block=st.integers(1, 80))
def test_every_pixel_of_the_output_is_its_own(height: int, width: int, core: int, block: int) -> None:
    image = np.arange(height * width, dtype=np.float32).reshape(1, height, width)
    card = card_of(LOCAL, bands=1, channels=1, normalization={"kind": "constants", "mean": (0,), "std": (1,)})
    for stitch in ("crop", "blend"):
        made = tiled(Coordinates(), card, image, Tiling(core=core, block=block, stitch=stitch))["image"]
        np.testing.assert_allclose(made, image, rtol=1e-5, err_msg=stitch)


def test_nodata_is_nodata_out_and_does_not_leak_but_by_the_fill() -> None:
    rng = np.random.default_rng(1)
    image, network = rng.random((2, 90, 70), np.float32), convolution(2, 1)
    valid = rng.random((90, 70)) > 0.4
    valid[20:60, 10:50] = False
    card = card_of(LOCAL, bands=2, channels=1)
    made = tiled(network, card, image, Tiling(core=16, block=32), valid=valid)["image"]
    assert (np.isnan(made[0]) == ~valid).all()
    reference = plain_pass(network, card, image, valid=valid)
    np.testing.assert_allclose(made[:, valid], reference[:, valid], rtol=1e-5, atol=1e-6)
    # What lies under nodata must not matter: another value there, the same bytes.
    other = np.where(valid, image, np.float32(1e9))
    assert made.tobytes() == tiled(network, card, other, Tiling(core=16, block=32), valid=valid)["image"].tobytes()


def test_nan_in_one_band_of_a_valid_pixel_becomes_the_fill_and_does_not_spread() -> None:
    """With `rule: all` a pixel is valid as long as one band is; the others' NaN must not reach the network."""
    rng = np.random.default_rng(9)
    image, network = rng.random((2, 40, 40), np.float32), convolution(2, 1)
    image[0, 10:20, 10:20] = np.nan
    card = card_of(LOCAL, bands=2, channels=1, nodata={"rule": "all", "nan": "nodata", "fill": 0.0})
    made = tiled(network, card, image, Tiling(core=16, block=40))["image"]
    # 0 after normalisation is the mean before it (0.5 here).
    reference = plain_pass(network, card, np.where(np.isnan(image), np.float32(0.5), image))
    np.testing.assert_allclose(made, reference, rtol=1e-5, atol=1e-6)


def test_skipping_tiles_without_a_valid_core_changes_no_byte() -> None:
    image, network = np.random.default_rng(2).random((1, 64, 64), np.float32), convolution(1, 1)
    valid = np.zeros((64, 64), bool)
    valid[30:34, 30:34] = True
    card = card_of(LOCAL, bands=1, channels=1)
    few = tiled(network, card, image, Tiling(core=8, block=64), valid=valid)["image"]
    whole = tiled(network, card, image, Tiling(core=64, block=64), valid=valid)["image"]
    np.testing.assert_allclose(few, whole, rtol=1e-5)


@pytest.mark.parametrize("ids", [(0, 1, 2), (7, 3, 200), (0, 255), (1, 300)])
def test_classes_take_the_card_s_ids_and_nodata_is_outside_them(ids: tuple[int, ...]) -> None:
    image, network = np.random.default_rng(3).random((1, 40, 50), np.float32), convolution(1, len(ids))
    valid = np.ones((40, 50), bool)
    valid[:5] = False
    card = card_of(LOCAL, bands=1, channels=1, output=classes_of(len(ids), ids=ids))
    mask = tiled(network, card, image, Tiling(core=16, block=32), valid=valid)["mask"]
    reference = np.asarray(ids)[plain_pass(network, card, image, valid=valid).argmax(0)]
    nodata = 65535 if max(ids) > 254 else 255
    assert (mask[0] == np.where(valid, reference, nodata)).all()
    assert nodata not in ids


def test_one_sigmoid_channel_decides_between_two_classes() -> None:
    image, network = np.random.default_rng(4).random((1, 30, 30), np.float32) * 4 - 2, convolution(1, 1)
    card = card_of(LOCAL, bands=1, channels=1, output=classes_of(2, "sigmoid"))
    output = OutputSpec(uri="memory", probability=True, entropy=True)
    made = tiled(network, card, image, Tiling(core=8, block=30), output=output)
    logit = plain_pass(network, card, image)[0].astype(np.float64)
    p = 1 / (1 + np.exp(-logit))
    assert (made["mask"][0] == (logit > 0)).all()
    assert np.abs(made["probability"].astype(int) - np.stack([1 - p, p]) * 254).max() <= 0.51
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p)) / np.log(2)
    assert np.abs(made["entropy"][0].astype(int) - entropy * 254).max() <= 0.51


@pytest.mark.parametrize(("dtype", "levels"), [("uint8", 254), ("uint16", 65534)])
def test_quantised_images_keep_clear_of_nodata(dtype: Any, levels: int) -> None:
    image = np.linspace(-3, 5, 60 * 50, dtype=np.float32).reshape(1, 60, 50)
    valid = np.ones((60, 50), bool)
    valid[:, :7] = False
    output = ImageOutput(kind="image", band_names=("v",), dtype=dtype, range=(-1, 2))
    plain = {"kind": "constants", "mean": (0,), "std": (1,)}
    card = card_of(LOCAL, bands=1, channels=1, output=output, normalization=plain)
    made = tiled(Coordinates(), card, image, Tiling(core=16, block=64), valid=valid)["image"][0]
    assert made.dtype == dtype
    assert (made == 0).tolist() == (~valid).tolist()
    wanted = 1 + np.floor((np.clip(image[0], -1, 2) + 1) / 3 * levels + 0.5)
    assert np.abs(made.astype(np.float64) - wanted)[valid].max() <= 1


def test_bytes_do_not_depend_on_who_else_is_in_a_batch() -> None:
    """With the batch fixed; another batch is another key, and may take another kernel."""
    image, network = np.random.default_rng(5).random((1, 100, 90), np.float32), convolution(1, 2)
    card = card_of(LOCAL, bands=1, channels=2)
    everything = tiled(network, card, image, Tiling(core=16, block=48), batch=4)["image"]
    for seed in range(3):
        valid = np.kron(np.random.default_rng(seed).random((7, 6)) > 0.5, np.ones((16, 16), bool))[:100, :90]
        # Tiles without a valid core pixel are skipped, so others share a batch; looked at is what no fill can reach.
        inner = valid[:-2, :-2] & valid[2:, 2:] & valid[1:-1, 1:-1] & valid[2:, :-2] & valid[:-2, 2:]
        inner &= valid[:-2, 1:-1] & valid[2:, 1:-1] & valid[1:-1, :-2] & valid[1:-1, 2:]
        some = tiled(network, card, image, Tiling(core=16, block=48), batch=4, valid=valid)["image"]
        assert some[:, 1:-1, 1:-1][:, inner].tobytes() == everything[:, 1:-1, 1:-1][:, inner].tobytes()


class ScarceEngine:
    """An engine of a device that holds two tiles at most."""

    device, name = "cpu", "scarce-1"

    def __init__(self, network: nn.Module) -> None:
        self.busy = threading.Lock()
        self._engine = EagerEngine(network, device="cpu", precision="float32")

    def cores(self, tiles_NCHW: Tensor, keep: Sequence[Window]) -> list[Tensor]:
        if len(tiles_NCHW) > 2:
            raise torch.OutOfMemoryError("no room")
        return self._engine.cores(tiles_NCHW, keep)


def test_out_of_memory_halves_the_batch_and_repeats_the_block() -> None:
    image, network = np.random.default_rng(6).random((1, 64, 64), np.float32), convolution(1, 1)
    card = card_of(LOCAL, bands=1, channels=1)
    products = products_of(card, OutputSpec(uri="memory"))
    grid = make_grid(64, 64, card.network_geometry, Tiling(core=16, block=64))
    predictor = Predictor(card, ScarceEngine(network), Wanted(products=products, cells=True), batch=8)
    patch = pad(Patch(pixels=image, valid_mask=np.ones((64, 64), bool)), grid, grid.block(0, 0), "reflect")
    made = predictor.predict(patch, grid, grid.block(0, 0), affine_of(card, (1.0,), (0.0,)))
    assert made.notes == ("batch halved to 2: device memory",)
    reference = tiled(network, card, image, Tiling(core=16, block=64))["image"]
    np.testing.assert_allclose(made.rasters["image"], reference, rtol=1e-5, atol=1e-6)


def test_out_of_memory_with_one_tile_is_an_error() -> None:
    card = card_of(LOCAL, bands=1, channels=1)
    products = products_of(card, OutputSpec(uri="memory"))
    grid = make_grid(8, 8, card.network_geometry, Tiling(core=8, block=8))

    class Full(ScarceEngine):
        def cores(self, tiles_NCHW: Tensor, keep: Sequence[Window]) -> list[Tensor]:
            raise torch.OutOfMemoryError("no room")

    predictor = Predictor(card, Full(convolution(1, 1)), Wanted(products=products, cells=True), batch=2)
    patch = Patch(pixels=np.zeros((1, 8, 8), np.float32), valid_mask=np.ones((8, 8), bool))
    with pytest.raises(torch.OutOfMemoryError):
        predictor.predict(patch, grid, grid.block(0, 0), Affine(gain=(1.0,), bias=(0.0,)))


@pytest.mark.parametrize("weights", ["hann", "gaussian"])
def test_blending_gives_the_same_bytes_for_every_block_side(weights: str) -> None:
    """And keeps the frame of the scene: weights are taken at pixel centres, never 0."""
    image = np.random.default_rng(7).random((1, 130, 110), np.float32)
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.InstanceNorm2d(2))
    card = card_of(GeometryCard(scale=1, stride=1, reach=0, exactness="global"), bands=1, channels=2)
    made = []
    for block in (130, 64, 50):
        tiling = Tiling(core=32, block=block, halo=8, stitch="blend")
        made.append(tiled(network, card, image, tiling, weights=weights)["image"])
    assert made[0].tobytes() == made[1].tobytes() == made[2].tobytes()
    assert np.isfinite(made[0]).all()
    assert np.abs(made[0][:, (0, -1), :]).max() > 0


def test_cores_say_what_is_in_them() -> None:
    image, network = np.random.default_rng(8).random((1, 50, 40), np.float32), convolution(1, 3)
    valid = np.ones((50, 40), bool)
    valid[:30, :30] = False
    card = card_of(LOCAL, bands=1, channels=1, output=classes_of(3))
    products = products_of(card, OutputSpec(uri="memory"))
    grid = make_grid(50, 40, card.network_geometry, Tiling(core=10, block=64))
    predictor = Predictor(
        card, EagerEngine(network, device="cpu", precision="float32"), Wanted(products=products, cells=True), batch=1
    )
    patch = pad(Patch(pixels=image, valid_mask=valid), grid, grid.block(0, 0), "reflect")
    made = predictor.predict(patch, grid, grid.block(0, 0), affine_of(card, (1.0,), (0.0,)))
    mask = made.rasters["mask"][0]
    assert sum(core.window.num_pixels for core in made.cores) == 50 * 40
    for core in made.cores:
        inside = mask[core.window.rows, core.window.cols]
        assert core.class_counts == tuple(int((inside == n).sum()) for n in range(3))
        assert core.valid_fraction == pytest.approx((inside != 255).mean())
        assert (1 / 3 < core.mean_probability <= 1) or core.valid_fraction == 0
