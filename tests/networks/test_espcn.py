"""ESPCN: shapes, parameters, reach."""

from __future__ import annotations

import pytest
import torch

from encdec_batch.models.reach import measure_geometry
from encdec_batch.networks.espcn import ESPCN


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_output_is_scale_times_the_input(scale: int) -> None:
    network = ESPCN(1, 1, scale=scale, width=8).eval()
    assert network(torch.zeros(1, 1, 11, 17)).shape == (1, 1, 11 * scale, 17 * scale)
    geometry = measure_geometry(network, 1)
    # 5x5, 3x3 and 3x3 convolutions at low resolution: 2 + 1 + 1 pixels.
    assert (geometry.scale, geometry.stride, geometry.reach, geometry.exactness) == (scale, 1, 4, "exact")


def test_parameters_are_those_of_the_layers_of_the_paper() -> None:
    """(f1, n1) = (5, 64), (f2, n2) = (3, 32), f3 = 3 (section 3.2), for one band at scale 3."""
    layers = [(5, 1, 64), (3, 64, 32), (3, 32, 9)]
    wanted = sum(side * side * num_in * num_out + num_out for side, num_in, num_out in layers)
    assert sum(parameter.numel() for parameter in ESPCN(1, 1, scale=3).parameters()) == wanted


def test_a_scale_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="scale 0"):
        ESPCN(1, 1, scale=0)
