from __future__ import annotations

import pytest
import torch
from networks_random import random_network, random_unpadded_network
from torch import Tensor, nn

from encdec_batch.models.reach import measure_geometry
from encdec_batch.models.tolerance import measure_tolerance


class Shaped(nn.Module):
    """Differs by a known amount between shapes, as another kernel would."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1e-3 * (x.shape[2] % 7)


@pytest.mark.parametrize("seed", [0, 5, 23])
def test_rounding_is_small_and_not_nothing(seed):
    network, said = random_network(seed)
    geometry = measure_geometry(network, said.num_bands)
    coarse = measure_tolerance(network, said.num_bands, geometry, "bfloat16")
    fine = measure_tolerance(network, said.num_bands, geometry)
    assert 0 < fine.value < 1e-3
    assert fine.value < coarse.value
    assert fine.margin == 2 * fine.value


def test_unpadded_networks_have_one_too():
    network, said = random_unpadded_network(2)
    assert 0 < measure_tolerance(network, said.num_bands, measure_geometry(network, said.num_bands)).value < 1e-3


def test_the_largest_difference_counts_four_times():
    network = Shaped().eval()
    geometry = measure_geometry(nn.Identity(), 1)
    # Sides 256 (rest 4), 32 (4), 96 (5), 160 (6): at most 2 steps of 1e-3 apart.
    found = measure_tolerance(network, 1, geometry)
    assert found.value == pytest.approx(4 * 2e-3, rel=1e-3)


def test_a_global_network_is_given_the_least():
    network = nn.InstanceNorm2d(1).eval()
    geometry = measure_geometry(network, 1)
    assert measure_tolerance(network, 1, geometry).value < 10 * torch.finfo(torch.float32).eps
