"""A U-Net that predicts the noise, and takes it away.

Source: residual learning, x = y - R(y): Zhang et al., "Beyond a Gaussian Denoiser", IEEE TIP 26(7), 2017, section III.
The noise level as one more channel: Zhang, Zuo and Zhang, "FFDNet", IEEE TIP 27(9), 2018, equation 6; in a U-Net:
Zhang et al., "Plug-and-Play Image Restoration with Deep Denoiser Prior" (DRUNet), IEEE TPAMI 44(10), 2022, section 3.

Suffixes: N images of a batch, C channels, H and W rows and columns.
"""

from __future__ import annotations

from math import isfinite

import torch
from torch import Tensor, nn

from encdec_batch.networks.layers import Norm, Up
from encdec_batch.networks.unet import UNet


class UNetDenoiser(nn.Module):
    """The image less what a U-Net takes for its noise.

    Blind with `noise_level=None`. With a number the U-Net has one channel more, filled with the noise level; the number
    is the level that is assumed where none is given, so in a package: packages for several levels have the same weights
    and differ in this argument of their cards. A training gives each image its own (`forward`).

    Args:
        in_channels: bands of the image.
        out_channels: as many.
        width, depth, norm, up: of the U-Net.
        noise_level: standard deviation of the noise, in units of the normalised image: sigma / std of the card. A card
            with several bands has one std for all of them, or the number means another noise in each.

    Raises:
        ValueError: (forward) a side is no multiple of 2**depth.
    """

    def __init__(  # noqa: PLR0913 -- they are the keys of a card
        self,
        in_channels: int,
        out_channels: int,
        *,
        width: int = 64,
        depth: int = 4,
        norm: Norm = "batch",
        up: Up = "transposed",
        noise_level: float | None = None,
    ) -> None:
        super().__init__()
        if in_channels != out_channels:
            raise ValueError(f"a denoiser gives the bands it takes, not {out_channels} for {in_channels}")
        if noise_level is not None and not _is_level(noise_level):
            raise ValueError(f"noise_level is None or a number, 0 or more, not {noise_level!r}")
        self.noise_level = noise_level
        num_in = in_channels + (noise_level is not None)
        self.unet = UNet(num_in, out_channels, width=width, depth=depth, norm=norm, up=up)

    def forward(self, x_NCHW: Tensor, level_N: Tensor | None = None) -> Tensor:
        """The clean image; `level_N` (N,) replaces `noise_level`, image by image."""
        if self.noise_level is None:
            if level_N is not None:
                raise ValueError("this denoiser is blind: it was made with noise_level=None and takes no level")
            return self._without_noise(x_NCHW, x_NCHW)
        level_N111 = x_NCHW.new_tensor(self.noise_level) if level_N is None else level_N.to(x_NCHW)[:, None, None, None]
        map_N1HW = level_N111.expand(x_NCHW.shape[0], 1, *x_NCHW.shape[2:])
        return self._without_noise(x_NCHW, torch.cat([x_NCHW, map_N1HW], dim=1))

    def _without_noise(self, x_NCHW: Tensor, seen_NCHW: Tensor) -> Tensor:
        out_NCHW: Tensor = x_NCHW - self.unet(seen_NCHW)
        return out_NCHW


def _is_level(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value >= 0
