"""Denoising and enlarging without a network, and fidelity as papers of these tasks count it.

Shapes: C bands, H and W rows and columns, k the scale.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.filters import median as median_filter
from skimage.restoration import denoise_nl_means

from encdec_batch.train.evaluation.metrics import Fidelity
from encdec_batch.train.samples.resample import enlarge

_LUMA, _OFFSET = (65.481, 128.553, 24.966), 16.0


def median(pixels_CHW: NDArray[Any], side: int) -> NDArray[np.float32]:
    """(C, H, W) the median of `side` x `side` pixels, band by band; the border is mirrored."""
    window = np.ones((side, side), bool)
    return np.stack([median_filter(band, window, mode="reflect") for band in pixels_CHW.astype(np.float32)])


def nl_means(pixels_CHW: NDArray[Any], sigma: float) -> NDArray[np.float32]:
    """(C, H, W) non-local means, all bands together, told the standard deviation of the noise.

    Source: Buades, Coll, Morel 2005 (A non-local algorithm for image denoising); the fast variant, sizes and `h` are
    those of scikit-image's example `plot_nonlocal_means`.
    """
    noisy = pixels_CHW.astype(np.float32)
    if sigma <= 0:
        return noisy
    sizes = {"patch_size": 5, "patch_distance": 6, "h": 0.6 * sigma, "sigma": sigma, "preserve_range": True}
    # One band as an image without bands: scikit-image would drop the axis.
    one = len(noisy) == 1
    made = denoise_nl_means(noisy[0] if one else noisy, channel_axis=None if one else 0, **sizes)
    return np.asarray(made, np.float32).reshape(noisy.shape)


def bicubic(pixels_CHW: NDArray[Any], scale: int) -> NDArray[np.float32]:
    """(C, kH, kW) by the cubic kernel that small images were made with: what published figures call bicubic."""
    return enlarge(pixels_CHW.astype(np.float32), scale)


def as_file(pixels_CHW: NDArray[Any], dtype: str) -> NDArray[np.float64]:
    """Rounded and clipped to what a file of this type holds; floats as they are.

    Published figures of denoising and super-resolution compare 8-bit images: im2uint8 before the PSNR (Zhang et al.
    2017, Demo_Test_DnCNN.m), uint8 in and out (Dong et al. 2014).
    """
    values = pixels_CHW.astype(np.float64)
    if np.dtype(dtype).kind == "f":
        return values
    held = np.iinfo(np.dtype(dtype))
    return np.clip(np.floor(values + 0.5), held.min, held.max)


def luma(pixels_CHW: NDArray[Any]) -> NDArray[np.float64]:
    """(1, H, W) Y of red, green and blue from 0 to 255, rounded; one band is taken for Y.

    Source: ITU-R BT.601, with MATLAB's rgb2ycbcr for uint8: Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255.
    """
    values = pixels_CHW.astype(np.float64)
    if len(values) == 1:
        return values
    return np.floor(_OFFSET + np.tensordot(_LUMA, values, 1)[None] / 255 + 0.5)


def shaved(
    truth_CHW: NDArray[Any], made_CHW: NDArray[Any], valid_HW: NDArray[np.bool_], *, border: int, span: float
) -> Fidelity:
    """PSNR and SSIM without the outermost `border` pixels.

    As papers of super-resolution count: on Y, without as many pixels of the border as the scale (Timofte et al. 2014,
    A+; Lim et al. 2017, EDSR).
    """
    inside = (slice(border, -border or None),) * 2
    return Fidelity.of(truth_CHW[:, *inside], made_CHW[:, *inside], valid_HW[inside], span)
