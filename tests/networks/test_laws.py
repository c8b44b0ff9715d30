"""Every architecture a card can name, in a small size: tiles, precisions, folding, packages."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from models.made import declared
from predict.whole import card_of, plain_pass, tiled
from torch import nn

import encdec_batch as eb
from encdec_batch.grid import Tiling, make_grid, round_up
from encdec_batch.models.architectures import ARCHITECTURES, construct
from encdec_batch.models.card import ImageOutput
from encdec_batch.models.fold import fold_batch_norm
from encdec_batch.models.publish import publish_package
from encdec_batch.models.reach import measure_geometry
from encdec_batch.models.tolerance import measure_tolerances

BANDS = 2
SMALL: list[tuple[str, dict[str, Any]]] = [
    ("autoencoder", {"width": 4}),
    ("autoencoder", {"width": 4, "up": "nearest"}),
    ("dncnn", {"width": 8, "depth": 5}),
    ("edsr", {"width": 8, "blocks": 2, "scale": 2}),
    ("edsr", {"width": 8, "blocks": 1, "scale": 3}),
    ("edsr", {"width": 8, "blocks": 1, "scale": 4}),
    ("espcn", {"width": 8, "scale": 2}),
    ("pix2pix", {"width": 4, "depth": 3, "dropout": 1}),
    ("pix2pix", {"width": 4, "depth": 5}),
    ("segnet", {"width": 8, "depth": 2}),
    ("segnet", {"width": 4, "depth": 3}),
    ("segnet", {"width": 4, "depth": 4}),
    ("segnet-basic", {"width": 8, "depth": 2}),
    ("unet", {"width": 4, "depth": 2}),
    ("unet", {"width": 4, "depth": 2, "up": "bilinear"}),
    ("unet", {"width": 4, "depth": 2, "padding": False, "norm": "none"}),
    ("unet-denoiser", {"width": 4, "depth": 2}),
    ("unet-denoiser", {"width": 4, "depth": 2, "noise_level": 0.5}),
]


def trained(name: str, arguments: dict[str, Any], seed: int = 0) -> nn.Module:
    """Random weights, and batch norms that have seen something: fresh ones would fold to nothing."""
    torch.manual_seed(seed)
    network = construct(name, {"in_channels": BANDS, "out_channels": BANDS} | arguments).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return network


every = pytest.mark.parametrize(
    ("name", "arguments"), SMALL, ids=[f"{name}-{'-'.join(map(str, made.values()))}" for name, made in SMALL]
)


def test_every_architecture_is_here() -> None:
    assert {name for name, _ in SMALL} == set(ARCHITECTURES)


@every
def test_folding_changes_rounding_alone_and_leaves_no_norm(name: str, arguments: dict[str, Any]) -> None:
    network = trained(name, arguments)
    image = torch.randn(1, BANDS, 92, 60) if arguments.get("padding") is False else torch.randn(1, BANDS, 96, 64)
    with torch.inference_mode():
        before = network(image).clone()
        folded = fold_batch_norm(network)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
        torch.testing.assert_close(folded(image), before, rtol=1e-4, atol=1e-5 * max(1, float(before.abs().max())))


@pytest.mark.integration
@every
def test_tiles_give_the_plain_pass_in_float32(name: str, arguments: dict[str, Any]) -> None:
    network = trained(name, arguments)
    geometry = measure_geometry(network, BANDS)
    assert geometry.exactness == "exact"
    card = card_of(geometry, bands=BANDS, channels=BANDS)
    s, context = geometry.stride, 2 * (card.network_geometry.halo + geometry.margin)
    for core, block, odd in ((24, 2000, 3), (40, 5 * s + 64, 7), (33, 70, 1)):
        # Longer than a tile and a quarter: what is shorter is one tile.
        height, width = 2 * (round_up(core, s) + context) + odd, context // 2 + odd
        if odd == 7:
            height, width = width, height
        image = np.random.default_rng(height).random((BANDS, height, width), np.float32) * 4
        reference = plain_pass(network, card, image)
        tiling = Tiling(core=core, block=max(block, core, s))
        made = tiled(network, card, image, tiling)["image"]
        assert made.shape == reference.shape
        grid = make_grid(height, width, card.network_geometry, tiling)
        assert len(list(grid.blocks())) > 1 or len(list(grid.block(0, 0).tiles())) > 1, "one tile shows nothing"
        assert np.abs(made - reference).max() <= 1e-5 * np.ptp(reference)


@pytest.mark.integration
@every
def test_tiles_keep_the_tolerance_in_every_precision(name: str, arguments: dict[str, Any]) -> None:
    """bfloat16 above all, in which a SegNet's two largest values of a square are often equal."""
    network = trained(name, arguments, seed=1)
    geometry = measure_geometry(network, BANDS)
    tolerances = measure_tolerances(network, BANDS, geometry)
    assert set(tolerances) >= {"cpu/float32", "cpu/bfloat16", "cpu/float16"}
    card = card_of(geometry, bands=BANDS, channels=BANDS)
    image = np.random.default_rng(7).random((BANDS, 150, 170), np.float32) * 4
    for precision in ("bfloat16", "float16"):
        whole = tiled(copy.deepcopy(network), card, image, Tiling(core=1000, block=1000), precision=precision)
        parts = tiled(copy.deepcopy(network), card, image, Tiling(core=48, block=400), precision=precision)
        worst = float(np.abs(parts["image"] - whole["image"]).max())
        assert worst <= tolerances[f"cpu/{precision}"].value
        # A tolerance that forgives everything shows nothing.
        assert tolerances[f"cpu/{precision}"].value < 0.5 * np.ptp(whole["image"])


@pytest.mark.integration
@every
def test_it_becomes_a_package_that_predicts(tmp_path: Any, name: str, arguments: dict[str, Any]) -> None:
    network = trained(name, arguments)
    output = ImageOutput(kind="image", band_names=("a", "b"), dtype="float32", range=(-1, 1))
    arguments = {"in_channels": BANDS, "out_channels": BANDS} | arguments
    made = declared(architecture=name, arguments=arguments, output=output, task="test", dtypes=("float32",))
    image = np.random.default_rng(1).random((BANDS, 260, 240), np.float32) * 200
    package = publish_package(str(tmp_path / name), network, made, image)
    result = eb.predict_array(package, image[:, :120, :100], core=32, precision="float32")
    k = package.card.geometry.scale
    assert result.shape == (BANDS, 120 * k, 100 * k)
    assert np.isfinite(result).all()
    assert float(np.ptp(result)) > 0


@pytest.mark.parametrize("name", ["segnet", "segnet-basic"])
def test_unpooling_across_tile_borders_is_equal_to_the_last_bit(name: str) -> None:
    """In arithmetic without rounding: small whole numbers, so that many squares have their largest value twice."""
    torch.manual_seed(0)
    network = construct(name, {"in_channels": 1, "out_channels": 2, "width": 4, "depth": 2}).double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
        if isinstance(module, nn.Conv2d):
            module.weight.data = torch.randint(-1, 2, module.weight.shape).double()
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    halo, core = 24, 40
    assert measure_geometry(network, 1).reach <= halo
    image = torch.randint(0, 4, (1, 1, 160, 160)).double()
    with torch.inference_mode():
        whole = network(image)
        assert 1e3 < float(whole.abs().max()) < 2**53
        for row, col in ((24, 60), (48, 24), (84, 92)):
            tile = image[:, :, row - halo : row + core + halo, col - halo : col + core + halo]
            made = network(tile)[:, :, halo : halo + core, halo : halo + core]
            assert torch.equal(made, whole[:, :, row : row + core, col : col + core])
