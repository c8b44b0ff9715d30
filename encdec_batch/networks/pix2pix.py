"""The generator of Pix2Pix: a U-Net of strided 4x4 convolutions, down to one pixel for the size it is trained on.

Source: Isola, Zhu, Zhou and Efros, "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017
(arXiv:1611.07004), sections 3.2 and 6.1.1; equation 4 is what it is trained for, with networks/patch_discriminator.py.

Suffixes: N images of a batch, C channels, H and W rows and columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from encdec_batch.networks.layers import check_numbers, check_sides, draw_small_weights


class Pix2Pix(nn.Module):
    """The U-Net generator: C64-C128-C256-C512-C512-C512-C512-C512 down, and up again with skips.

    It runs in eval mode, where the paper leaves dropout on and normalises by the statistics of the test image itself
    (section 3.3). Neither can be tiled: dropout gives another result each time, and with statistics of the image every
    pixel depends on all others. Here batch norm uses the statistics of the training, so results are smoother than the
    paper's and the same each time.

    Args:
        in_channels: bands of the image.
        out_channels: bands of the result, which lies between -1 and 1 (tanh).
        width: channels of the first level; 64 in the paper. Each level below has twice as many, up to 8 times.
        depth: how often the image is halved; 8 in the paper, for images of 256 px. The reach doubles with each: what it
            costs is in docs/networks.md.
        dropout: how many decoders, from the deepest on, drop half of their values in training; 3 in the paper.

    Raises:
        ValueError: (forward) a side is no multiple of 2**depth.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, width: int = 64, depth: int = 8, dropout: int = 3
    ) -> None:
        super().__init__()
        name = "a Pix2Pix generator"
        check_numbers(name, in_channels=in_channels, out_channels=out_channels, width=width, depth=depth)
        if not 0 <= dropout < depth:
            raise ValueError(f"{name} of depth={depth}, dropout={dropout} cannot be; dropout is at most depth - 1")
        self.depth = depth
        channels = [width * min(2**level, 8) for level in range(depth)]
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, num in enumerate(channels):
            deepest = level == depth - 1
            self.downs.append(_down(channels[level - 1] if level else in_channels, num, level=level, deepest=deepest))
            # Above the deepest level the skip comes beside what was enlarged.
            num_in = num if deepest else 2 * num
            if level:
                self.ups.append(_up(num_in, channels[level - 1], dropout=level >= depth - dropout))
            else:
                last = nn.ConvTranspose2d(num_in, out_channels, 4, stride=2, padding=1)
                self.ups.append(nn.Sequential(nn.ReLU(), last, nn.Tanh()))
        draw_small_weights(self)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        check_sides("this Pix2Pix generator", x_NCHW, 2**self.depth)
        skips: list[Tensor] = []
        for down in self.downs:
            x_NCHW = down(x_NCHW)
            skips.append(x_NCHW)
        x_NCHW = self.ups[-1](skips.pop())
        for up in reversed(self.ups[:-1]):
            x_NCHW = up(torch.cat([skips.pop(), x_NCHW], dim=1))
        return x_NCHW


def _down(num_in: int, num_out: int, *, level: int, deepest: bool) -> nn.Sequential:
    """Half the sides. The first level has no batch norm; nor has the deepest, in the authors' code as in the paper's
    errata (section 6.1): it would be zeroed there, where it is one pixel of one image.
    """
    layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if level else []
    layers.append(nn.Conv2d(num_in, num_out, 4, stride=2, padding=1, bias=False))
    if level and not deepest:
        layers.append(nn.BatchNorm2d(num_out))
    return nn.Sequential(*layers)


def _up(num_in: int, num_out: int, *, dropout: bool) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.ReLU(),
        nn.ConvTranspose2d(num_in, num_out, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(num_out),
    ]
    return nn.Sequential(*layers, nn.Dropout(0.5)) if dropout else nn.Sequential(*layers)
