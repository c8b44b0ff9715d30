"""Denoisers and super-resolution: the papers' sizes, what comes out, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from encdec_batch.models.architectures import construct
from encdec_batch.networks.autoencoder import Autoencoder
from encdec_batch.networks.denoiser import UNetDenoiser
from encdec_batch.networks.dncnn import DnCNN
from encdec_batch.networks.edsr import EDSR
from encdec_batch.networks.unet import UNet


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("scale", "wanted"), [(2, 1_369_859), (3, 1_554_499), (4, 1_517_571)])
def test_edsr_has_the_parameters_of_the_baseline(scale: int, wanted: int) -> None:
    """1.5 M: Lim et al. 2017, table 1, "Baseline (single-scale)": 16 residual blocks of 64 filters."""
    with torch.device("meta"):
        network = EDSR(3, 3, scale=scale)
    assert parameters(network) == wanted
    assert wanted == pytest.approx(1.5e6, rel=0.1)
    # Figure 3: one convolution, B blocks of two, one; one for each enlargement; one.
    assert sum(isinstance(layer, nn.Conv2d) for layer in network.modules()) == 1 + 2 * 16 + 1 + (scale == 4) + 1 + 1
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_edsr_enlarges(scale: int) -> None:
    network = EDSR(1, 2, scale=scale, width=4, blocks=1).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 7, 5)).shape == (1, 2, 7 * scale, 5 * scale)


def test_sub_pixel_convolution_is_that_of_the_paper() -> None:
    """Shi et al. 2016, equation 4: channel C * r * (y mod r) + C * (x mod r) + c of the pixel below goes to (x, y)."""
    shuffle = nn.PixelShuffle(3)
    low = torch.arange(9.0 * 4 * 5).reshape(1, 9, 4, 5)
    high = shuffle(low)
    assert all(high[0, 0, y, x] == low[0, 3 * (y % 3) + x % 3, y // 3, x // 3] for y in range(12) for x in range(15))


def test_dncnn_has_the_layers_of_the_paper() -> None:
    """Section III-A: depth 17; 64 filters of 3x3; batch norm in all but the first and the last layer."""
    with torch.device("meta"):
        network = DnCNN(1, 1)
    assert parameters(network) == 64 * 9 + 64 + 15 * (64 * 64 * 9 + 128) + 64 * 9 + 1
    assert sum(isinstance(layer, nn.Conv2d) for layer in network.modules()) == 17
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()) == 15


@pytest.mark.parametrize(("depth", "field"), [(17, 35), (20, 41)])
def test_dncnn_sees_what_the_paper_says(depth: int, field: int) -> None:
    """Receptive field (2 d + 1) x (2 d + 1), 35 x 35 for depth 17: section III-A."""
    torch.manual_seed(0)
    network = DnCNN(1, 1, width=2, depth=depth).eval()
    image = torch.full((1, 1, 5, 81), torch.nan)
    finite = torch.zeros(1, 1, 5, 81)
    with torch.inference_mode():
        seen = sum(
            bool(network(torch.where(torch.arange(81) == col, image, finite))[0, 0, 2, 40].isnan()) for col in range(81)
        )
    assert seen == field


@pytest.mark.parametrize("make", [DnCNN, UNetDenoiser])
def test_a_denoiser_that_sees_no_noise_gives_the_image_back(make: Any) -> None:
    network = make(1, 1, width=2, depth=2).eval()
    last = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)][-1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    image = torch.randn(1, 1, 16, 16)
    with torch.inference_mode():
        assert torch.equal(network(image), image)


def test_a_level_is_one_more_channel_and_its_default_is_the_card_s() -> None:
    torch.manual_seed(0)
    network = UNetDenoiser(2, 2, width=2, depth=2, noise_level=0.25).eval()
    assert parameters(network) == parameters(UNet(3, 2, width=2, depth=2))
    images = torch.randn(3, 2, 16, 16)
    with torch.inference_mode():
        fixed = network(images)
        assert torch.equal(network(images, torch.tensor([0.25, 0.25, 0.25])), fixed)
        mixed = network(images, torch.tensor([0.25, 2.0, 0.25]))
    differs = (mixed != fixed).flatten(1).any(dim=1)
    assert differs.tolist() == [False, True, False]


def test_cards_for_two_levels_take_the_same_weights() -> None:
    arguments = {"in_channels": 1, "out_channels": 1, "width": 2, "depth": 1}
    low, high = (construct("unet-denoiser", arguments | {"noise_level": level}).eval() for level in (0.1, 3))
    high.load_state_dict(low.state_dict())
    image = torch.randn(1, 1, 8, 8)
    with torch.inference_mode():
        assert not torch.equal(low(image), high(image))


def test_a_blind_one_takes_no_level() -> None:
    with pytest.raises(ValueError, match="blind"):
        UNetDenoiser(1, 1, width=2, depth=1)(torch.zeros(1, 1, 8, 8), torch.tensor([0.1]))


def test_an_autoencoder_has_no_way_round_its_bottleneck() -> None:
    """What the deepest level does not hold is not in the result: it is the same wherever that is all zero."""
    torch.manual_seed(0)
    network = Autoencoder(1, 1, width=2, depth=2, norm="none").eval()
    for layer in network.encoders[-1]:
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, -1.0)
    with torch.inference_mode():
        one, other = network(torch.randn(2, 1, 16, 16))
    assert torch.equal(one, other)


def test_an_autoencoder_s_parameters_by_hand() -> None:
    """No paper has a number: width 64 and depth 2 are between Gondara's (section IV) and a U-Net."""
    levels = [(1, 64), (64, 128), (128, 256)]
    encoders = sum(9 * (a * b + b * b) + 4 * b for a, b in levels)
    ups = sum(4 * 2 * n * n + n for n in (64, 128))
    decoders = sum(9 * 2 * n * n + 4 * n for n in (64, 128))
    with torch.device("meta"):
        assert parameters(Autoencoder(1, 1)) == encoders + ups + decoders + 9 * 64 + 1


@pytest.mark.parametrize("up", ["transposed", "bilinear", "nearest"])
def test_an_autoencoder_keeps_the_size(up: Any) -> None:
    network = Autoencoder(2, 3, width=2, depth=2, up=up).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 2, 12, 20)).shape == (1, 3, 12, 20)
    with pytest.raises(ValueError, match=r"side of 13 px .* 16$"):
        network(torch.zeros(1, 2, 13, 20))


@pytest.mark.parametrize(
    ("make", "wrong", "says"),
    [
        (EDSR, {"scale": 5}, "scale is 2, 3 or 4"),
        (EDSR, {"scale": 2, "blocks": 0}, "cannot be"),
        (DnCNN, {"out_channels": 2}, "gives the bands it takes"),
        (DnCNN, {"depth": 1}, "at least 2"),
        (UNetDenoiser, {"out_channels": 3}, "gives the bands it takes"),
        (UNetDenoiser, {"noise_level": -1.0}, "0 or more"),
        (UNetDenoiser, {"noise_level": True}, "0 or more"),
        (Autoencoder, {"depth": 0}, "cannot be"),
        (Autoencoder, {"up": "bicubic"}, "up is one of"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_arguments_that_make_no_network_are_refused(make: Any, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make(**({"in_channels": 1, "out_channels": 1} | wrong))
