"""Folding changes nothing but rounding, and folds all there is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from networks_random import random_network
from torch import nn

from encdec_batch.models.fold import fold_batch_norm
from encdec_batch.networks.unet import UNet


@torch.inference_mode()
def test_a_folded_u_net_gives_what_it_gave() -> None:
    torch.manual_seed(0)
    network = UNet(3, 2, width=4, depth=3).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    x = torch.randn(1, 3, 64, 72)
    before = network(x)
    folded = fold_batch_norm(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(folded(x), before, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize(("groups", "left"), [(1, 0), (2, 1)])
def test_transposed_convolutions_are_folded_unless_grouped(groups: int, left: int) -> None:
    torch.manual_seed(0)
    up, norm = nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1, groups=groups), nn.BatchNorm2d(6)
    norm.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
    norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    network = nn.Sequential(up, norm).eval()
    x = torch.randn(1, 4, 9, 7)
    before = network(x)
    folded = fold_batch_norm(network)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules()) == left
    torch.testing.assert_close(folded(x), before, rtol=1e-4, atol=1e-5)


class NormAndReLU(nn.BatchNorm2d):
    """As timm has it: the activation is in the norm."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002
        return super().forward(input).relu()


class Standardised(nn.Conv2d):
    """Its weights are changed as it runs."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return nn.functional.conv2d(input, weight, self.bias)


class Twice(nn.Sequential):
    """Its layers are run in another order."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002
        return self[1](self[0](self[0](input)))


@torch.inference_mode()
@pytest.mark.parametrize(
    "made",
    [
        lambda: nn.Sequential(nn.Conv2d(3, 3, 1), NormAndReLU(3)),
        lambda: nn.Sequential(Standardised(3, 3, 1), nn.BatchNorm2d(3)),
        lambda: Twice(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)),
    ],
    ids=["norm", "convolution", "sequence"],
)
def test_what_is_derived_from_a_layer_may_be_something_else(made: Callable[[], nn.Sequential]) -> None:
    torch.manual_seed(0)
    network = made().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
    x = torch.randn(1, 3, 5, 5)
    before = network(x).clone()
    assert torch.equal(fold_batch_norm(network)(x), before)


@torch.inference_mode()
@pytest.mark.parametrize("seed", range(20))
def test_any_network_gives_what_it_gave(seed: int) -> None:
    network, description = random_network(seed)
    x = torch.randn(1, description.num_bands, 96, 48)
    before = network(x).clone()
    scale = float(before.abs().max())
    torch.testing.assert_close(fold_batch_norm(network)(x), before, rtol=1e-4, atol=1e-5 * max(scale, 1))
