from __future__ import annotations

from pathlib import Path

import pytest
import torch
from networks_random import random_network, random_unpadded_network
from torch import Tensor, nn

from encdec_batch.errors import ModelError
from encdec_batch.models.card import GeometryCard
from encdec_batch.models.forward import prepare
from encdec_batch.models.golden import keeps
from encdec_batch.models.network import build_network
from encdec_batch.models.package import load_package
from encdec_batch.models.reach import measure_geometry
from encdec_batch.models.tolerance import measure_tolerance, measure_tolerances
from encdec_batch.predict.resolve import device_for

PACKAGES = Path(__file__).parents[2] / "jobs/packages"

PIXELWISE = GeometryCard(scale=1, stride=1, reach=0, exactness="exact")
ALL_ON_CPU = {"cpu/float32", "cpu/bfloat16", "cpu/float16"}


class Shaped(nn.Module):
    """Differs by a known amount between shapes, as another kernel would."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1e-3 * (x.shape[2] % 7)


class Spectral(nn.Module):
    """torch has a Fourier transform on the CPU for float32 and no shorter type."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(x))


class Loud(nn.Module):
    """Beyond 65504, the largest value of float16."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 1e6


@pytest.mark.parametrize("seed", [0, 5, 23])
def test_rounding_is_small_and_not_nothing(seed):
    network, said = random_network(seed)
    geometry = measure_geometry(network, said.num_bands)
    found = measure_tolerances(network, said.num_bands, geometry)
    assert set(found) >= ALL_ON_CPU
    coarse, middle, fine = (found[f"cpu/{precision}"] for precision in ("bfloat16", "float16", "float32"))
    assert 0 < fine.value < 1e-3
    assert fine.value < middle.value < coarse.value
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


@pytest.mark.parametrize(
    ("network", "left_out", "why"),
    [(Spectral(), {"cpu/bfloat16", "cpu/float16"}, "type"), (Loud(), {"cpu/float16"}, "not finite in float16")],
)
def test_a_precision_it_cannot_be_run_in_is_left_out_and_the_log_says_why(network, left_out, why, caplog):
    torch.manual_seed(0)
    # What has no weights is never converted.
    found = measure_tolerances(nn.Sequential(nn.Conv2d(1, 1, 1), network).eval(), 1, PIXELWISE)
    assert ALL_ON_CPU - set(found) == left_out
    assert {f"{record.device}/{record.precision}" for record in caplog.records} == left_out
    assert all(why in record.reason for record in caplog.records)


def test_what_float32_cannot_do_is_an_error():
    network = nn.Conv2d(1, 1, 1)
    nn.init.constant_(network.weight, float("nan"))
    with pytest.raises(ModelError, match="not finite in float32"):
        measure_tolerances(network.eval(), 1, PIXELWISE)


def test_auto_takes_no_precision_that_the_card_leaves_out():
    card = load_package(str(PACKAGES / "nuclei-segnet")).card
    card = card.model_copy(update={"tolerance": {"cpu/float32": card.tolerance["cpu/float32"]}})
    assert device_for(card, "cpu", "auto", "auto").precision == "float32"
    assert device_for(card, "cpu", "bfloat16", "auto").precision == "bfloat16"


def test_a_precision_in_which_the_golden_output_is_not_given_is_left_out():
    package = load_package(str(PACKAGES / "nuclei-segnet"))
    network = build_network(package)
    assert keeps(package.golden, prepare(network, precision="float32"))
    # Rounded, its pooling remembers other pixels; of float16 less is allowed than of bfloat16.
    assert not keeps(package.golden, prepare(network, precision="float16"))
    assert "cpu/float16" not in package.card.tolerance
