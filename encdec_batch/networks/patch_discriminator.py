"""The discriminator of Pix2Pix, which judges each patch of an image by itself. For training only: no card names it.

Source: Isola et al. 2017 (arXiv:1611.07004), sections 3.2.2 and 6.1.2.

Suffixes: N images of a batch, C channels, H and W rows and columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from encdec_batch.networks.layers import check_numbers, draw_small_weights


class PatchDiscriminator(nn.Module):
    """Whether an image is the real one for its condition, as one logit for each patch (the paper's sigmoid is in the
    loss). C64-C128-C256-C512: with `depth=3` each sees 70x70 pixels.

    Args:
        condition_channels: bands of what was translated.
        image_channels: bands of the translation.
        width: channels of the first level; 64 in the paper. Each level below has twice as many, up to 8 times.
        depth: how often the image is halved; 3 in the paper.
    """

    def __init__(self, condition_channels: int, image_channels: int, *, width: int = 64, depth: int = 3) -> None:
        super().__init__()
        numbers = {"condition_channels": condition_channels, "image_channels": image_channels}
        check_numbers("a patch discriminator", **numbers, width=width, depth=depth)
        channels = [width * min(2**level, 8) for level in range(depth + 1)]
        layers: list[nn.Module] = [nn.Conv2d(sum(numbers.values()), width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for level in range(1, depth + 1):
            stride = 2 if level < depth else 1
            layers += [
                nn.Conv2d(channels[level - 1], channels[level], 4, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(channels[level]),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 4, padding=1))
        draw_small_weights(self)

    def forward(self, condition_NCHW: Tensor, image_NCHW: Tensor) -> Tensor:
        """(N, 1, ...): a 30x30 map of logits for 256x256 pixels."""
        logits: Tensor = self.layers(torch.cat([condition_NCHW, image_NCHW], dim=1))
        return logits
