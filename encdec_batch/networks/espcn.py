"""ESPCN: features at low resolution, enlarged at the very end by sub-pixel convolution.

Source: Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
Network", CVPR 2016, section 3.1 and equations 1 to 4.
"""

from __future__ import annotations

from torch import Tensor, nn


class ESPCN(nn.Module):
    """Three convolutions and a pixel shuffle.

    Args:
        in_channels: bands of the input.
        out_channels: bands of the output.
        scale: output pixels per input pixel, along each axis.
        width: features of the first layer, n_1 of the paper (64); the second has half as many.
    """

    def __init__(self, in_channels: int, out_channels: int, *, scale: int, width: int = 64) -> None:
        super().__init__()
        if scale < 1 or width < 2:
            raise ValueError(f"scale {scale} and width {width}: at least 1 and 2")
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, width, 5, padding=2),
            nn.Tanh(),
            nn.Conv2d(width, width // 2, 3, padding=1),
            nn.Tanh(),
        )
        self.enlarge = nn.Sequential(
            nn.Conv2d(width // 2, out_channels * scale**2, 3, padding=1),
            nn.PixelShuffle(scale),
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, out_channels, height * scale, width * scale)."""
        enlarged: Tensor = self.enlarge(self.features(x_NCHW))
        return enlarged
