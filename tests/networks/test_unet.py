from __future__ import annotations

import pytest
import torch

from encdec_batch.networks.unet import UNet


def test_the_network_of_the_paper_has_its_size_and_parameters():
    network = UNet(1, 2, width=64, depth=4, padding=False, norm="none")
    # 31.03 M, as the paper's figure 1 adds up to with biases.
    assert sum(parameter.numel() for parameter in network.parameters()) == 31_030_658


def test_without_padding_572_pixels_become_388():
    network = UNet(1, 2, width=2, depth=4, padding=False, norm="none").eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 572, 188)).shape == (1, 2, 388, 4)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_padding_keeps_the_size(depth):
    network = UNet(3, 4, width=2, depth=depth).eval()
    side = 2**depth
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, side, 3 * side)).shape == (2, 4, side, 3 * side)


@pytest.mark.parametrize(("padding", "side", "larger"), [(True, 17, 32), (False, 571, 572), (False, 12, 188)])
def test_a_side_that_does_not_fit_names_one_that_does(padding, side, larger):
    network = UNet(1, 1, width=1, depth=4, padding=padding)
    with pytest.raises(ValueError, match=rf"side of {side} px .* {larger}$"):
        network(torch.zeros(1, 1, side, side))


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("padding", [True, False])
def test_fits_says_what_runs(depth, padding):
    network = UNet(1, 1, width=1, depth=depth, padding=padding, norm="none").eval()
    fitting = next(side for side in range(1, 400) if network.fits(side))
    for side in range(fitting, fitting + 2 * 2**depth + 1):
        if network.fits(side):
            with torch.inference_mode():
                out = network(torch.zeros(1, 1, side, fitting))
            assert out.shape[2] == (side if padding else side - fitting + out.shape[3])


def test_norm_is_what_was_asked_for():
    kinds = {type(module).__name__ for module in UNet(1, 1, width=1, depth=1, norm="none").modules()}
    assert "BatchNorm2d" not in kinds
    assert "BatchNorm2d" in {type(module).__name__ for module in UNet(1, 1, width=1, depth=1).modules()}


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"width": 0}, {"norm": "layer"}])
def test_arguments_that_make_no_network_are_refused(wrong):
    with pytest.raises(ValueError, match="cannot be"):
        UNet(3, 2, **wrong)
