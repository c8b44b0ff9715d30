"""What is counted of a network's memory: by hand for a small one, and never more than a process really took."""

from __future__ import annotations

import pytest
import torch
from models.made import network
from torch import Tensor, nn
from torch.nn import functional

from encdec_batch.models.card import GeometryCard
from encdec_batch.models.memory import measure_memory
from encdec_batch.models.reach import measure_geometry

PLAIN = GeometryCard(scale=1, stride=1, reach=1, exactness="exact")


class TwoConvolutions(nn.Module):
    """3 -> 8 -> relu -> 4 channels; the result of the first is needed until the ReLU's is there."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x_NCHW)))


class Skip(TwoConvolutions):
    """The first convolution's result is needed again at the end."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        early = self.first(x_NCHW)
        return torch.cat([self.second(torch.relu(early)), early], dim=1)


class Indices(nn.Module):
    """Max-pooling gives int64 indices, which are needed until they were added."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        values, indices = functional.max_pool2d(x_NCHW, 2, return_indices=True)
        return values + indices.float()


def test_whole_numbers_count_as_beside_bfloat16():
    # Image, pooled, indices of four times two bytes, the same as values, and the sum.
    assert measure_memory(Indices(), 4, PLAIN).activations == 4 + 1 + 4 * 1 + 1 + 1


def test_values_are_counted_while_they_live():
    counted = measure_memory(TwoConvolutions(), 3, PLAIN)
    assert counted.parameters == 3 * 8 * 9 + 8 + 8 * 4 + 4
    assert counted.activations == 3 + 8 + 8


def test_what_a_skip_keeps_stays_counted():
    assert measure_memory(Skip(), 3, PLAIN).activations == 3 + 8 + 4 + 12


@pytest.mark.parametrize("width", [2, 4])
def test_a_wider_network_holds_more_in_proportion(width: int):
    def held(of: int) -> float:
        made = network(width=of)
        return measure_memory(made, 2, measure_geometry(made, 2)).activations

    assert held(2 * width) == pytest.approx(2 * held(width), rel=0.2)
