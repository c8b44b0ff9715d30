"""DnCNN: no encoder and no decoder, but what denoisers are measured by.

Source: Zhang, Zuo, Chen, Meng and Zhang, "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image
Denoising", IEEE TIP 26(7), 2017 (arXiv:1608.03981), section III and figure 1.
"""

from __future__ import annotations

from torch import Tensor, nn

from encdec_batch.networks.layers import check_numbers


class DnCNN(nn.Module):
    """The image less its noise, x = y - R(y), where R is a stack of 3x3 convolutions at full size.

    Args:
        in_channels: bands of the image.
        out_channels: as many.
        width: channels of every layer; 64 in the paper.
        depth: number of convolutions; 17 in the paper for one noise level, 20 where it is not known.
    """

    def __init__(self, in_channels: int, out_channels: int, *, width: int = 64, depth: int = 17) -> None:
        super().__init__()
        check_numbers("a DnCNN", in_channels=in_channels, out_channels=out_channels, width=width)
        if in_channels != out_channels or depth < 2:
            raise ValueError(
                f"a DnCNN of depth={depth} from {in_channels} to {out_channels} bands cannot be; it has at least 2 "
                "convolutions and gives the bands it takes"
            )
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers += [
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
        self.noise = nn.Sequential(*layers, nn.Conv2d(width, out_channels, 3, padding=1))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out_NCHW: Tensor = x_NCHW - self.noise(x_NCHW)
        return out_NCHW
