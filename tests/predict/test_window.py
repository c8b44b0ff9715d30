"""A window on a tile of its own is what one plain pass over the whole scene says there: another tiling than a job's."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch
from networks_random import random_network, random_unpadded_network
from predict.whole import card_of, plain_pass
from torch import nn

from encdec_batch.grid import NetworkGeometry
from encdec_batch.models.card import Card, ClassCard, ClassesOutput, ImageOutput
from encdec_batch.models.reach import measure_geometry
from encdec_batch.plan.products import products_of
from encdec_batch.predict.eager import EagerEngine
from encdec_batch.predict.normalize import affine_of
from encdec_batch.predict.window import ReadyNetwork, context_of, predict_window
from encdec_batch.read.patch import Patch
from encdec_batch.spec.output import OutputSpec
from encdec_batch.window import Window

pytestmark = pytest.mark.integration


def drawn_window(draw: Random, shape: tuple[int, int]) -> Window:
    """Often at a border."""
    spans = []
    for side in shape:
        length = draw.randint(1, min(side, 40))
        start = draw.choice((0, side - length, draw.randint(0, side - length)))
        spans.append((start, start + length))
    return Window.from_bounds(*spans)


def predicted(ready: ReadyNetwork, image: np.ndarray, valid: np.ndarray, window: Window) -> dict[str, np.ndarray]:
    context = context_of(window, image.shape[1:], ready.card.network_geometry)
    assert context.contains(window)
    patch = Patch(
        pixels=image[:, context.rows, context.cols].copy(), valid_mask=valid[context.rows, context.cols].copy()
    )
    affine = affine_of(ready.card, (1.0,) * len(image), (0.0,) * len(image))
    return predict_window(ready, patch, affine, window.shift(-context.row_off, -context.col_off))


def assert_windows_equal_the_plain_pass(network: torch.nn.Module, bands: int, draw: Random, what: str) -> None:
    geometry = measure_geometry(network, bands)
    shape = draw.randint(1, 300), draw.randint(1, 300)
    image = np.random.default_rng(draw.randint(0, 10**6)).random((bands, *shape), np.float32)
    channels = network(torch.zeros(1, bands, 192 + geometry.size_offset, 192 + geometry.size_offset)).shape[1]
    multiple = draw.choice((None, 4 * geometry.stride))
    card: Card = card_of(geometry, bands=bands, channels=channels, pad_multiple=multiple)
    valid = np.ones(shape, bool)
    valid[: shape[0] // 3, : shape[1] // 2] = draw.random() < 0.5
    reference = plain_pass(network, card, image, valid=valid)
    engine = EagerEngine(network, device="cpu", precision="float32")
    ready = ReadyNetwork(engine=engine, card=card, product=products_of(card, OutputSpec(uri="memory"))[0])
    bilinear = max(shape) * geometry.scale * 2.0**-23 if "bilinear" in what else 0.0
    largest = max(float(np.ptp(reference)), 1e-3)
    for _ in range(6):
        window = drawn_window(draw, shape)
        place = window.scale(geometry.scale)
        made, expected = predicted(ready, image, valid, window)["image"], reference[:, place.rows, place.cols]
        hidden = ~valid[window.rows, window.cols].repeat(geometry.scale, 0).repeat(geometry.scale, 1)
        np.testing.assert_array_equal(np.isnan(made), np.broadcast_to(hidden, made.shape))
        worst = float(np.abs(made - expected)[:, ~hidden].max(initial=0.0))
        assert worst <= (1e-5 + bilinear) * largest, f"{what}: {worst} at {window} of {shape}, {geometry}, {multiple}"


@pytest.mark.parametrize("seed", range(30))
def test_padded_networks(seed: int) -> None:
    network, description = random_network(seed)
    assert_windows_equal_the_plain_pass(network, description.num_bands, Random(seed), str(description))


@pytest.mark.parametrize("seed", range(12))
def test_networks_without_padding(seed: int) -> None:
    network, description = random_unpadded_network(seed)
    assert_windows_equal_the_plain_pass(network, description.num_bands, Random(500 + seed), str(description))


@pytest.mark.parametrize(("channels", "activation"), [(1, "sigmoid"), (2, "softmax"), (5, "softmax")])
def test_of_classes_comes_by_how_much_the_first_leads(channels: int, activation: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, channels, 3, padding=1)).eval()
    with torch.no_grad():  # no class is everywhere
        network[2].bias -= network(torch.randn(1, 2, 99, 99) / 4).mean((0, 2, 3))
    ids = range(10, 10 + max(channels, 2))
    cards = tuple(ClassCard(id=number, name=str(number), color=(0, 0, 0)) for number in ids)
    output = ClassesOutput(kind="classes", activation=activation, classes=cards)
    card = card_of(measure_geometry(network, 2), bands=2, channels=channels, output=output)
    image = np.random.default_rng(1).random((2, 120, 90), np.float32)
    valid = np.ones((120, 90), bool)
    valid[:50, :40] = False
    logits = plain_pass(network, card, image, valid=valid)
    logits = np.concatenate([np.zeros_like(logits), logits]) if channels == 1 else logits
    ordered = np.sort(logits, 0)
    engine = EagerEngine(network, device="cpu", precision="float32")
    ready = ReadyNetwork(engine=engine, card=card, product=products_of(card, OutputSpec(uri="memory"))[0])
    window = Window(20, 30, 64, 64)
    made, inside = predicted(ready, image, valid, window), valid[window.rows, window.cols]
    mask, leads = made["mask"][0], (ordered[-1] - ordered[-2])[window.rows, window.cols]
    assert (made.keys(), mask.dtype, made["margin"].dtype) == ({"mask", "margin"}, np.uint8, np.float32)
    assert (mask[~inside] == 255).all()
    assert np.isnan(made["margin"][0][~inside]).all()
    clear = inside & (leads > 1e-4)
    assert len(np.unique(mask[clear])) > 1
    np.testing.assert_array_equal(mask[clear], 10 + logits.argmax(0)[window.rows, window.cols][clear])
    np.testing.assert_allclose(made["margin"][0][inside], leads[inside], atol=1e-5)


def test_of_a_quantised_image_come_the_values_before() -> None:
    torch.manual_seed(0)
    network = nn.Conv2d(1, 1, 3, padding=1).eval()
    output = ImageOutput(kind="image", band_names=("a",), dtype="uint8", range=(0, 0.25))
    card = card_of(measure_geometry(network, 1), bands=1, channels=1, output=output)
    image, window = np.random.default_rng(1).random((1, 90, 80), np.float32), Window(0, 13, 64, 64)
    engine = EagerEngine(network, device="cpu", precision="float32")
    ready = ReadyNetwork(engine=engine, card=card, product=products_of(card, OutputSpec(uri="memory"))[0])
    made = predicted(ready, image, np.ones((90, 80), bool), window)
    assert made["image"].dtype == np.float32
    np.testing.assert_allclose(made["image"], plain_pass(network, card, image)[:, window.rows, window.cols], atol=1e-5)


def test_no_more_is_read_than_the_network_sees() -> None:
    geometry = NetworkGeometry(reach=94, stride=16)
    window = Window(5000, 7000, 64, 64)
    context = context_of(window, (10**5, 10**5), geometry)
    assert context == Window(5000 - 8 - 96, 7000 - 8 - 96, 272, 272)
