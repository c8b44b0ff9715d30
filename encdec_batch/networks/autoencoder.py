"""A convolutional denoising autoencoder: the image comes through the bottleneck or not at all.

Source: Vincent, Larochelle, Bengio and Manzagol, "Extracting and Composing Robust Features with Denoising
Autoencoders", ICML 2008, section 2.3 (an image x is corrupted to x~, and g(f(x~)) is taught to be x); convolutional,
with pooling, as in Gondara, "Medical image denoising using convolutional denoising autoencoders", ICDM Workshops 2016,
section IV.

Suffixes: N images of a batch, C channels, H and W rows and columns.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from encdec_batch.networks.layers import (
    DoubleConv,
    Norm,
    Up,
    check_choices,
    check_numbers,
    check_sides,
    make_encoders,
    make_up,
)


class Autoencoder(nn.Module):
    """Two convolutions a level, down by max-pooling and up again; a U-Net without its skips.

    Args:
        in_channels: bands of the image.
        out_channels: bands of the result: the clean image itself, no activation is applied.
        width: channels of the first level; each level below has twice as many.
        depth: how often the image is halved. Details that the deepest level cannot hold are lost.
        norm: "none", or "batch": batch norm after each convolution but the last.
        up: "transposed" convolutions, or "bilinear" or "nearest" interpolation and a convolution.

    Raises:
        ValueError: (forward) a side is no multiple of 2**depth.
    """

    def __init__(  # noqa: PLR0913 -- they are the keys of a card
        self,
        in_channels: int,
        out_channels: int,
        *,
        width: int = 64,
        depth: int = 2,
        norm: Norm = "batch",
        up: Up = "transposed",
    ) -> None:
        super().__init__()
        name = "an autoencoder"
        check_numbers(name, in_channels=in_channels, out_channels=out_channels, width=width, depth=depth)
        check_choices(name, norm=norm, up=up)
        self.depth = depth
        channels = [width * 2**level for level in range(depth + 1)]
        self.encoders = make_encoders(in_channels, channels, padding=True, norm=norm)
        self.ups = nn.ModuleList(make_up(up, 2 * num, num) for num in channels[:-1])
        self.decoders = nn.ModuleList(DoubleConv(num, num, padding=True, norm=norm) for num in channels[:-1])
        self.head = nn.Conv2d(width, out_channels, 3, padding=1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        check_sides("this autoencoder", x_NCHW, 2**self.depth)
        for level, encoder in enumerate(self.encoders):
            x_NCHW = encoder(functional.max_pool2d(x_NCHW, 2) if level else x_NCHW)
        for up, decoder in zip(reversed(self.ups), reversed(self.decoders), strict=True):
            x_NCHW = decoder(up(x_NCHW))
        out_NCHW: Tensor = self.head(x_NCHW)
        return out_NCHW
