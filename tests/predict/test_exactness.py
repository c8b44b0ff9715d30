"""The law: tiled equals one plain pass, for any network of finite reach, whatever the sizes, cores and blocks."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from random import Random

import numpy as np
import pytest
import torch
from networks_random import random_network, random_unpadded_network
from predict.whole import card_of, plain_pass, tiled

from encdec_batch.grid import Tiling
from encdec_batch.models.reach import measure_geometry

NUM_NETWORKS = 300
CHUNK = 25
LARGEST_AREA = 60_000
"""Pixels of a scene: sides go up to 400, not both at a time."""
MOST_TILES = 40


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As in a worker; on two cores that are busy otherwise, small networks are also faster so."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def drawn_scene(draw: Random, bands: int) -> np.ndarray:
    height = draw.choice((1, 2, 3, draw.randint(1, 64), draw.randint(1, 400)))
    width = draw.randint(1, min(400, max(1, LARGEST_AREA // height)))
    if draw.random() < 0.5:
        height, width = width, height
    return np.random.default_rng(draw.randint(0, 10**6)).random((bands, height, width), np.float32)


def drawn_tiling(draw: Random, stride: int, shape: tuple[int, int]) -> Tiling:
    """Small cores and blocks, block sides that are multiples of the stride and such that are not."""
    height, width = shape
    core = draw.randint(1, 60)
    while ceil(height / core) * ceil(width / core) > MOST_TILES:
        core += 1
    block = draw.choice((stride * draw.randint(1, 30), draw.randint(stride, 150), 400))
    return Tiling(core=core, block=max(block, core, stride))


def assert_equal_to_plain_pass(network: torch.nn.Module, bands: int, draw: Random, what: str) -> None:
    geometry = measure_geometry(network, bands)
    assert geometry.exactness == "exact", what
    image = drawn_scene(draw, bands)
    tiling = drawn_tiling(draw, geometry.stride, image.shape[1:])
    channels = network(torch.zeros(1, bands, 192 + geometry.size_offset, 192 + geometry.size_offset)).shape[1]
    card = card_of(geometry, bands=bands, channels=channels)
    reference = plain_pass(network, card, image)
    result = tiled(network, card, image, tiling, batch=draw.choice((1, 3)))["image"]
    assert result.shape == reference.shape
    # torch computes bilinear source coordinates in float32: at factors that are no power of two they are rounded, more
    # so the farther a pixel is from the origin, in a tile as in the plain pass (docs/results.md).
    bilinear = max(image.shape) * geometry.scale * 2.0**-23 if "bilinear" in what else 0.0
    largest = max(float(np.ptp(reference)), 1e-3)
    worst = float(np.abs(result - reference).max())
    assert worst <= (1e-5 + bilinear) * largest, (
        f"{what}: {worst / largest:.2e} of the range on {image.shape} with {tiling}, {geometry}"
    )


@pytest.mark.integration
@pytest.mark.parametrize("first", range(0, NUM_NETWORKS, CHUNK))
def test_tiled_equals_one_plain_pass(first: int) -> None:
    for seed in range(first, first + CHUNK):
        network, description = random_network(seed)
        assert_equal_to_plain_pass(network, description.num_bands, Random(seed), str(description))


@pytest.mark.integration
@pytest.mark.parametrize("seed", range(24))
def test_networks_without_padding_equal_one_plain_pass(seed: int) -> None:
    network, description = random_unpadded_network(seed)
    assert_equal_to_plain_pass(network, description.num_bands, Random(1000 + seed), str(description))
