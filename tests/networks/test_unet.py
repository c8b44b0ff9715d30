from __future__ import annotations

import pytest
import torch
from torch import nn

from encdec_batch.models.reach import measure_geometry
from encdec_batch.networks.unet import UNet


def test_the_network_of_the_paper_has_its_size_and_parameters():
    with torch.device("meta"):
        network = UNet(1, 2, width=64, depth=4, padding=False, norm="none")
    # 31.03 M: what figure 1 (page 2) adds up to, with biases; the paper states no sum.
    assert sum(parameter.numel() for parameter in network.parameters()) == 31_030_658
    # "In total the network has 23 convolutional layers": section 2, page 4. The up-convolutions are among them.
    assert sum(isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) for layer in network.modules()) == 23


def test_without_padding_572_pixels_become_388():
    """Figure 1, page 2."""
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


@pytest.mark.parametrize("up", ["transposed", "bilinear", "nearest"])
def test_every_way_up_doubles(up):
    torch.manual_seed(0)
    network = UNet(1, 2, width=2, depth=2, up=up).eval()
    kinds = {type(layer) for layer in network.ups.modules()}
    assert (nn.ConvTranspose2d in kinds) == (up == "transposed")
    assert (nn.Upsample in kinds) == (up != "transposed")
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 16, 24)).shape == (1, 2, 16, 24)


@pytest.mark.parametrize(("up", "reach"), [("transposed", 22), ("bilinear", 28), ("nearest", 25)])
def test_interpolation_and_its_convolution_reach_farther(up, reach):
    """Beyond the 22 px by hand of tests/models: nearest, from b/4 - 4 to b/2 - 8, 1 px for the convolution, 2 more; to
    b - 22, 3 more. Bilinear: 1 px more at each doubling, before it doubles again.
    """
    torch.manual_seed(1)
    assert measure_geometry(UNet(1, 1, width=2, depth=2, up=up).eval(), 1).reach == reach


def test_interpolation_without_padding_is_refused():
    with pytest.raises(ValueError, match="interpolation invents a border"):
        UNet(1, 1, padding=False, up="nearest")


def test_norm_is_what_was_asked_for():
    kinds = {type(module).__name__ for module in UNet(1, 1, width=1, depth=1, norm="none").modules()}
    assert "BatchNorm2d" not in kinds
    assert "BatchNorm2d" in {type(module).__name__ for module in UNet(1, 1, width=1, depth=1).modules()}


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"width": 0}, {"norm": "layer"}, {"up": "area"}, {"depth": 17}])
def test_arguments_that_make_no_network_are_refused(wrong):
    with pytest.raises(ValueError, match="cannot be"):
        UNet(3, 2, **wrong)
