from __future__ import annotations

from collections import Counter

import pytest
import torch
from networks_random import (
    ACTIVATIONS,
    BODIES,
    DOWNS,
    HEADS,
    SCALES,
    SKIPS,
    STRIDES,
    UPS,
    random_network,
    random_unpadded_network,
)

SEEDS = range(300)


@pytest.mark.integration
def test_300_seeds_hold_every_operation_often():
    descriptions = [random_network(seed)[1] for seed in SEEDS]
    seen = Counter(op for description in descriptions for op in description.ops)
    lists = {"down": DOWNS, "up": UPS, "body": BODIES, "skip": SKIPS, "activation": ACTIVATIONS, "head": HEADS}
    for name, kinds in lists.items():
        assert min(seen[f"{name}:{kind}"] for kind in kinds) >= 25, (name, seen)
    strides = Counter(description.stride for description in descriptions)
    assert set(strides) == set(STRIDES)
    assert max(strides.values()) - min(strides.values()) <= 1
    scales = Counter(description.scale for description in descriptions)
    assert min(scales[scale] for scale in SCALES) >= 30
    assert min(Counter(description.depth for description in descriptions)[depth] for depth in (1, 2, 3, 4)) >= 20


def test_a_seed_is_a_network():
    for seed in (3, 17):
        (first, said), (second, again) = random_network(seed), random_network(seed)
        image = torch.randn(1, said.num_bands, 48, 48)
        assert said == again
        assert torch.equal(first(image), second(image))


def test_results_are_finite_and_of_the_size_that_is_said():
    for seed in range(0, 300, 7):
        network, said = random_network(seed)
        with torch.inference_mode():
            out = network(torch.randn(1, said.num_bands, 48, 96))
        assert out.shape[2:] == (48 * said.scale, 96 * said.scale)
        assert torch.isfinite(out).all()
        assert float(out.std()) > 1e-3


def test_unpadded_networks_take_something_off():
    for seed in range(6):
        network, said = random_unpadded_network(seed)
        side = 188 if said.stride == 1 else next(n for n in range(1, 400) if network.fits(n))
        with torch.inference_mode():
            assert network(torch.randn(1, said.num_bands, side, side)).shape[2] < side
