"""What several networks are built of.

Suffixes: N images of a batch, C channels, H and W rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor, nn

Norm = Literal["none", "batch"]
Up = Literal["transposed", "bilinear", "nearest"]
MOST_LEVELS = 16
"""Each halves the image."""
MOST_LAYERS = 512
"""Of a network that stacks as many as its card asks for: a card is made before its weights are compared with it."""


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions, each followed by ReLU; with `norm="batch"` each is normalised before it."""

    def __init__(self, in_channels: int, out_channels: int, *, padding: bool, norm: Norm) -> None:
        layers: list[nn.Module] = []
        for num_in in (in_channels, out_channels):
            # Batch norm subtracts the mean, so that a bias before it would have no effect.
            layers.append(nn.Conv2d(num_in, out_channels, 3, padding=int(padding), bias=norm == "none"))
            if norm == "batch":
                layers.append(nn.BatchNorm2d(out_channels))
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


def make_encoders(in_channels: int, channels: Sequence[int], *, padding: bool, norm: Norm) -> nn.ModuleList:
    """A double convolution a level: from the image, and from each level to the one below it."""
    inputs = (in_channels, *channels[:-1])
    return nn.ModuleList(
        DoubleConv(num_in, num_out, padding=padding, norm=norm)
        for num_in, num_out in zip(inputs, channels, strict=True)
    )


def make_up(kind: Up, in_channels: int, out_channels: int) -> nn.Module:
    """A layer that doubles the sides.

    `transposed` is learnt as a whole and may leave a chequerboard, the others interpolate and then convolve.

    Source: Odena, Dumoulin and Olah, "Deconvolution and Checkerboard Artifacts", Distill 2016.
    """
    if kind == "transposed":
        return nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode=kind, align_corners=False if kind == "bilinear" else None),
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
    )


def check_numbers(network: str, **numbers: int) -> None:
    """Raise ValueError unless each is at least 1, and `depth` at most MOST_LEVELS."""
    if min(numbers.values()) < 1 or numbers.get("depth", 1) > MOST_LEVELS:
        said = ", ".join(f"{name}={value}" for name, value in numbers.items())
        raise ValueError(f"{network} of {said} cannot be; the numbers are at least 1, depth at most {MOST_LEVELS}")


def check_choices(network: str, *, norm: str = "none", up: str = "transposed") -> None:
    """Raise ValueError unless they are a `Norm` and an `Up`."""
    for name, value, known in (("norm", norm, get_args(Norm)), ("up", up, get_args(Up))):
        if value not in known:
            raise ValueError(f"{network} of {name}={value!r} cannot be; {name} is one of {', '.join(map(repr, known))}")


def check_sides(network: str, x_NCHW: Tensor, multiple: int) -> None:
    """Raise ValueError unless both sides are multiples; the message names the next larger one that is."""
    for side in map(int, x_NCHW.shape[2:]):
        if side < 1 or side % multiple:
            larger = (side // multiple + 1) * multiple
            raise ValueError(f"a side of {side} px does not pass {network}; the next larger one that does is {larger}")


def draw_small_weights(network: nn.Module) -> None:
    """Weights of all convolutions anew, from a normal distribution with a standard deviation of 0.02.

    Source: Isola et al. 2017, section 6.2; after Radford, Metz and Chintala 2016 (DCGAN), section 4.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=0.02)
