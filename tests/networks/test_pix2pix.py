"""Pix2Pix: the authors' sizes, the discriminator's patch, and what eval mode leaves out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from encdec_batch.models.architectures import ARCHITECTURES
from encdec_batch.models.reach import measure_geometry
from encdec_batch.networks.patch_discriminator import PatchDiscriminator
from encdec_batch.networks.pix2pix import Pix2Pix


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("bands", "depth", "millions"), [(3, 8, 54.414), (1, 8, 54.408), (1, 6, 29.238)], ids=["256", "256 grey", "64"]
)
def test_the_generator_has_the_parameters_of_the_authors(bands: int, depth: int, millions: float) -> None:
    """The paper gives the layers (section 6.1.1) and no sum. 54.408 M and 29.238 M, for one band, are printed by the
    authors' code: github.com/junyanz/pytorch-CycleGAN-and-pix2pix, issue 1152; for three bands it prints 54.414 M.
    """
    with torch.device("meta"):
        network = Pix2Pix(bands, bands, depth=depth)
    assert round(parameters(network) / 1e6, 3) == millions


def test_the_layers_are_those_of_the_paper() -> None:
    """Section 6.1.1: encoder C64-C128-C256-C512-C512-C512-C512-C512, decoder with skips
    CD512-CD1024-CD1024-C1024-C1024-C512-C256-C128: those are inputs of the next one, skips counted in.
    """
    with torch.device("meta"):
        network = Pix2Pix(3, 3)
    down = [layer.out_channels for layer in network.downs.modules() if isinstance(layer, nn.Conv2d)]
    assert down == [64, 128, 256, 512, 512, 512, 512, 512]
    up = [layer for layer in network.ups.modules() if isinstance(layer, nn.ConvTranspose2d)][::-1]
    assert [layer.in_channels for layer in up] == [512, 1024, 1024, 1024, 1024, 512, 256, 128]
    dropped = [any(isinstance(layer, nn.Dropout) for layer in block) for block in network.ups][::-1]
    assert dropped == [True] * 3 + [False] * 5
    # "BatchNorm is not applied to the first C64 layer in the encoder"; errata: nor to the bottleneck.
    normed = [any(isinstance(layer, nn.BatchNorm2d) for layer in block) for block in network.downs]
    assert normed == [False, *[True] * 6, False]


def test_a_256_px_image_is_one_pixel_at_the_bottom() -> None:
    torch.manual_seed(0)
    network = Pix2Pix(3, 2, width=2).eval()
    with torch.inference_mode():
        x = torch.randn(1, 3, 256, 256)
        assert nn.Sequential(*network.downs)(x).shape == (1, 16, 1, 1)
        out = network(x)
    assert out.shape == (1, 2, 256, 256)
    assert out.abs().max() <= 1


@pytest.mark.parametrize(("bands", "millions"), [(3, 2.769), (1, 2.765)])
def test_the_discriminator_has_the_parameters_of_the_authors(bands: int, millions: float) -> None:
    """Printed by the authors' code beside the generator's, for pairs of three bands and of one (issue 1152)."""
    with torch.device("meta"):
        network = PatchDiscriminator(bands, bands)
    assert round(parameters(network) / 1e6, 3) == millions


@pytest.mark.parametrize(("depth", "patch"), [(1, 16), (2, 34), (3, 70)])
def test_the_discriminator_judges_patches_of(depth: int, patch: int) -> None:
    """70 x 70 and 16 x 16: sections 6.1.2 (which derives C64-C128-C256-C512 and C64-C128) and 4.4."""
    torch.manual_seed(0)
    network = PatchDiscriminator(1, 1, width=2, depth=depth).double().eval()
    condition, image = torch.randn(2, 1, 1, 160, 160, dtype=torch.float64).unbind()
    image.requires_grad_()
    logits = network(condition, image)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert image.grad is not None
    touched = image.grad[0, 0] != 0
    assert (int(touched.any(dim=0).sum()), int(touched.any(dim=1).sum())) == (patch, patch)


def test_256_pixels_give_30_by_30_verdicts() -> None:
    with torch.device("meta"):
        image = torch.zeros(1, 3, 256, 256)
        assert PatchDiscriminator(3, 3)(image, image).shape == (1, 1, 30, 30)


@pytest.mark.parametrize(
    "network", [Pix2Pix(1, 1, width=16, depth=5), PatchDiscriminator(1, 1, width=16)], ids=["G", "D"]
)
def test_training_begins_where_the_paper_s_does(network: nn.Module) -> None:
    """ "Weights were initialized from a Gaussian distribution with mean 0 and standard deviation 0.02": section 6.2."""
    weights = [p.flatten() for name, p in network.named_parameters() if name.endswith("weight") and p.dim() == 4]
    assert float(torch.cat(weights).detach().std()) == pytest.approx(0.02, rel=0.02)


def test_no_card_names_the_discriminator() -> None:
    assert not any("discriminator" in place for place in ARCHITECTURES.values())


def test_in_eval_mode_the_result_is_one_function_of_each_image() -> None:
    """Unlike the paper's, which drops values and normalises by what it is given (section 3.3)."""
    torch.manual_seed(0)
    network = Pix2Pix(1, 1, width=4, depth=3, dropout=2)
    images = torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        assert not torch.equal(network(images), network(images))
        network.eval()
        assert torch.equal(network(images), network(images))
        torch.testing.assert_close(network(images)[:1], network(images[:1]))


@pytest.mark.parametrize(("depth", "reach"), [(3, 15), (4, 31), (5, 63)])
def test_the_reach_doubles_with_each_level(depth: int, reach: int) -> None:
    # By hand: 1 px a level down, b - 1, so b/2 - 1 and so on; up: 1 px before each doubling, b/8 - 3, ...
    torch.manual_seed(0)
    found = measure_geometry(Pix2Pix(1, 1, width=2, depth=depth, dropout=1).eval(), 1)
    assert (found.stride, found.reach, found.exactness) == (2**depth, reach, "exact")


@pytest.mark.integration
def test_the_paper_s_depth_is_measured_too() -> None:
    torch.manual_seed(0)
    found = measure_geometry(Pix2Pix(1, 1, width=2).eval(), 1)
    assert (found.stride, found.reach, found.exactness) == (256, 511, "large-reach")


@pytest.mark.parametrize("wrong", [{"depth": 3, "dropout": 3}, {"dropout": -1}, {"width": 0}])
def test_arguments_that_make_no_network_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        Pix2Pix(3, 2, **wrong)
