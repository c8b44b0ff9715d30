"""The U-Net of Ronneberger et al. 2015 (arXiv:1505.04597).

Suffixes: N images of a batch, C channels, H and W rows and columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from encdec_batch.networks.layers import DoubleConv, Norm, Up, check_choices, check_numbers, make_encoders, make_up


class UNet(nn.Module):
    """Contracting path, expanding path, and skips between levels of the same size.

    Args:
        in_channels: bands of the image.
        out_channels: channels of the result, no activation is applied.
        width: channels of the first level; each level below has twice as many. 64 in the paper.
        depth: how often the image is halved. 4 in the paper.
        padding: True keeps the image's size, which must then be a multiple of 2**depth. False is the paper's network
            (572 px in, 388 px out): smaller results, no invented border, only certain sizes.
        norm: "none" as in the paper, or "batch".
        up: "transposed" as in the paper (its "up-convolution"), or "bilinear" or "nearest" interpolation and a 3x3
            convolution, for which the image must be padded.

    Raises:
        ValueError: (forward) the image's size does not fit; the message names the next one that does.

    Source: Ronneberger et al. 2015, figure 1 and section 2.
    """

    def __init__(  # noqa: PLR0913 -- they are the keys of a card
        self,
        in_channels: int,
        out_channels: int,
        *,
        width: int = 64,
        depth: int = 4,
        padding: bool = True,
        norm: Norm = "batch",
        up: Up = "transposed",
    ) -> None:
        super().__init__()
        name = "a U-Net"
        check_numbers(name, in_channels=in_channels, out_channels=out_channels, width=width, depth=depth)
        check_choices(name, norm=norm, up=up)
        if not padding and up != "transposed":
            raise ValueError(f"{name} of padding=False, up={up!r} cannot be: interpolation invents a border")
        self.depth, self.padding = depth, padding
        channels = [width * 2**level for level in range(depth + 1)]
        self.encoders = make_encoders(in_channels, channels, padding=padding, norm=norm)
        self.ups = nn.ModuleList(make_up(up, 2 * num, num) for num in channels[:-1])
        self.decoders = nn.ModuleList(DoubleConv(2 * num, num, padding=padding, norm=norm) for num in channels[:-1])
        self.head = nn.Conv2d(width, out_channels, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        for side in x_NCHW.shape[2:]:
            self._check_side(int(side))
        skips: list[Tensor] = []
        for level, encoder in enumerate(self.encoders):
            x_NCHW = encoder(functional.max_pool2d(x_NCHW, 2) if level else x_NCHW)
            skips.append(x_NCHW)
        for level in reversed(range(self.depth)):
            x_NCHW = self.ups[level](x_NCHW)
            skip_NCHW = _crop_centre(skips[level], x_NCHW.shape[2], x_NCHW.shape[3])
            x_NCHW = self.decoders[level](torch.cat([skip_NCHW, x_NCHW], dim=1))
        out_NCHW: Tensor = self.head(x_NCHW)
        return out_NCHW

    def fits(self, side: int) -> bool:
        """Whether an image of this side passes: every pooling halves an even size, and something is left."""
        eaten = 0 if self.padding else 4
        for _ in range(self.depth):
            side -= eaten
            if side < 2 or side % 2:
                return False
            side //= 2
        side -= eaten
        for _ in range(self.depth):
            side = 2 * side - eaten
        return side > 0

    def _check_side(self, side: int) -> None:
        if not self.fits(side):
            larger = next(candidate for candidate in range(side + 1, side + 4096) if self.fits(candidate))
            raise ValueError(f"a side of {side} px does not pass this U-Net; the next larger one that does is {larger}")


def _crop_centre(x_NCHW: Tensor, height: int, width: int) -> Tensor:
    top, left = (x_NCHW.shape[2] - height) // 2, (x_NCHW.shape[3] - width) // 2
    return x_NCHW[:, :, top : top + height, left : left + width]
