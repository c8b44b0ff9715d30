"""EDSR in its baseline size: SRResNet without its batch norms. Features at low resolution, enlarged at the end.

Source: Lim, Son, Kim, Nah and Lee, "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPR Workshops
2017 (arXiv:1707.02921), sections 3.1 and 3.2, figures 2c and 3, table 1; after Ledig et al., "Photo-Realistic Single
Image Super-Resolution Using a Generative Adversarial Network", CVPR 2017, figure 4.

Suffixes: N images of a batch, C channels, H and W rows and columns.
"""

from __future__ import annotations

from torch import Tensor, nn

from encdec_batch.networks.layers import check_numbers

_STEPS = {2: (2,), 3: (3,), 4: (2, 2)}
"""Scale to the enlargements that make it."""


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out_NCHW: Tensor = x_NCHW + self.body(x_NCHW)
        return out_NCHW


class EDSR(nn.Module):
    """Residual blocks inside one long skip, then sub-pixel convolutions.

    Args:
        in_channels: bands of the image.
        out_channels: bands of the result, no activation is applied.
        scale: output pixels per input pixel, along each axis: 2, 3 or 4.
        width: channels; 64 in the baseline.
        blocks: residual blocks; 16 in the baseline. (The large EDSR, of width 256, also scales its residuals.)
    """

    def __init__(self, in_channels: int, out_channels: int, *, scale: int, width: int = 64, blocks: int = 16) -> None:
        super().__init__()
        check_numbers("an EDSR", in_channels=in_channels, out_channels=out_channels, width=width, blocks=blocks)
        if scale not in _STEPS:
            raise ValueError(f"an EDSR of scale={scale} cannot be; scale is 2, 3 or 4")
        self.head = nn.Conv2d(in_channels, width, 3, padding=1)
        body = [ResidualBlock(width) for _ in range(blocks)]
        self.body = nn.Sequential(*body, nn.Conv2d(width, width, 3, padding=1))
        enlarge: list[nn.Module] = []
        for step in _STEPS[scale]:
            enlarge += [nn.Conv2d(width, width * step**2, 3, padding=1), nn.PixelShuffle(step)]
        self.enlarge = nn.Sequential(*enlarge, nn.Conv2d(width, out_channels, 3, padding=1))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, out_channels, height * scale, width * scale)."""
        x_NCHW = self.head(x_NCHW)
        out_NCHW: Tensor = self.enlarge(x_NCHW + self.body(x_NCHW))
        return out_NCHW
