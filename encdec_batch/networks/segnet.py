"""SegNet and SegNet-Basic of Badrinarayanan, Kendall and Cipolla 2017 (IEEE TPAMI 39(12), arXiv:1511.00561).

No feature map crosses from encoder to decoder: only where each largest value was, one byte for four.

Suffixes: N images of a batch, C channels, H and W rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from encdec_batch.networks.layers import check_numbers, check_sides
from encdec_batch.networks.unpool import pool, unpool

_VGG = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""Channels (in multiples of the first level's) and convolutions of each level of VGG-16: Simonyan and Zisserman 2015,
table 1, column D."""


class SegNet(nn.Module):
    """The convolutions of VGG-16, and the same in reverse, each with batch norm and ReLU; the last one classifies.

    Args:
        in_channels: bands of the image.
        out_channels: channels of the result, no activation is applied.
        width: channels of the first level; 64 in the paper. The others have 2, 4, 8 and 8 times as many.
        depth: how often the image is halved, up to 5, as in the paper.

    Raises:
        ValueError: (forward) a side is no multiple of 2**depth. (The paper's implementation rounds up where it pools;
            here an image is continued to such a size before, as the card says.)

    Source: Badrinarayanan et al. 2017, section 3 and figure 2.
    """

    def __init__(self, in_channels: int, out_channels: int, *, width: int = 64, depth: int = 5) -> None:
        super().__init__()
        check_numbers("a SegNet", in_channels=in_channels, out_channels=out_channels, width=width, depth=depth)
        if depth > len(_VGG):
            raise ValueError(f"a SegNet of depth={depth} cannot be; VGG-16 has {len(_VGG)} levels")
        self.depth = depth
        channels = [in_channels, *(width * multiple for multiple, _ in _VGG[:depth])]
        self.encoders, self.decoders = nn.ModuleList(), nn.ModuleList()
        for level, (_, convs) in enumerate(_VGG[:depth]):
            num_in, num = channels[level : level + 2]
            self.encoders.append(_stage([num_in] + [num] * convs, kernel=3, relu=True))
            # The last convolution of the first level is `head`, without norm.
            narrowed = [num_in] if level else []
            self.decoders.append(_stage([num] * convs + narrowed, kernel=3, relu=True))
        self.head = nn.Conv2d(width, out_channels, 3, padding=1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        check_sides("this SegNet", x_NCHW, 2**self.depth)
        out_NCHW: Tensor = self.head(_encode_and_decode(x_NCHW, self.encoders, self.decoders))
        return out_NCHW


class SegNetBasic(nn.Module):
    """One 7x7 convolution with batch norm a level; no biases, and no ReLU in the decoder.

    Args:
        in_channels: bands of the image.
        out_channels: channels of the result, no activation is applied.
        width: channels of every level; 64 in the paper.
        depth: how often the image is halved; 4 in the paper.

    Raises:
        ValueError: (forward) a side is no multiple of 2**depth.

    Source: Badrinarayanan et al. 2017, section 3.1.
    """

    def __init__(self, in_channels: int, out_channels: int, *, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        check_numbers("a SegNet-Basic", in_channels=in_channels, out_channels=out_channels, width=width, depth=depth)
        self.depth = depth
        inputs = [in_channels] + [width] * (depth - 1)
        self.encoders = nn.ModuleList(_stage([num_in, width], kernel=7, relu=True) for num_in in inputs)
        self.decoders = nn.ModuleList(_stage([width, width], kernel=7, relu=False) for _ in range(depth))
        self.head = nn.Conv2d(width, out_channels, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        check_sides("this SegNet-Basic", x_NCHW, 2**self.depth)
        out_NCHW: Tensor = self.head(_encode_and_decode(x_NCHW, self.encoders, self.decoders))
        return out_NCHW


def _encode_and_decode(x_NCHW: Tensor, encoders: nn.ModuleList, decoders: nn.ModuleList) -> Tensor:
    places: list[Tensor] = []
    for encoder in encoders:
        x_NCHW, place = pool(encoder(x_NCHW))
        places.append(place)
    for decoder in reversed(decoders):
        x_NCHW = decoder(unpool(x_NCHW, places.pop()))
    return x_NCHW


def _stage(channels: Sequence[int], *, kernel: int, relu: bool) -> nn.Sequential:
    """A convolution and batch norm from each of these numbers of channels to the next."""
    layers: list[nn.Module] = []
    for num_in, num_out in pairwise(channels):
        # Batch norm subtracts the mean, so that a bias before it would have no effect.
        layers += [nn.Conv2d(num_in, num_out, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(num_out)]
        if relu:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
