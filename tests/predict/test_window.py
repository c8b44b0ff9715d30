"""A window on a tile of its own is what one plain pass over the whole scene says there: another tiling than a job's."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch
from networks_random import random_network, random_unpadded_network
from predict.whole import card_of, plain_pass

from encdec_batch.grid import NetworkGeometry
from encdec_batch.models.card import Card
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


def predicted(ready: ReadyNetwork, image: np.ndarray, valid: np.ndarray, window: Window) -> np.ndarray:
    context = context_of(window, image.shape[1:], ready.card.network_geometry)
    assert context.contains(window)
    patch = Patch(
        pixels=image[:, context.rows, context.cols].copy(), valid_mask=valid[context.rows, context.cols].copy()
    )
    affine = affine_of(ready.card, (1.0,) * len(image), (0.0,) * len(image))
    return predict_window(ready, patch, affine, window.shift(-context.row_off, -context.col_off))[ready.product.name]


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
        made, expected = predicted(ready, image, valid, window), reference[:, place.rows, place.cols]
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


def test_no_more_is_read_than_the_network_sees() -> None:
    geometry = NetworkGeometry(reach=94, stride=16)
    window = Window(5000, 7000, 64, 64)
    context = context_of(window, (10**5, 10**5), geometry)
    assert context == Window(5000 - 8 - 96, 7000 - 8 - 96, 272, 272)
