"""How sharp a made image is: its radially averaged power spectrum beside that of the true one.

Source: Durall, Keuper, Keuper 2020 (Watch your up-convolution, CVPR), section 3.1, "azimuthal integration". Blur takes
from the high frequencies: the ratio falls below 1; noise and sharpening add to them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

RINGS = 64
"""Of equal width, between 0 and 1/2 cycles a pixel."""
HIGH, MIDDLE = slice(RINGS // 2, RINGS), slice(RINGS // 4, RINGS // 2)
"""Details of 2 to 4 pixels, and of 4 to 8."""


def spectrum(image_CHW: NDArray[Any], valid_HW: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(RINGS,) mean power for each ring of frequencies, of all bands: less the mean, under a Hann window.

    What is not valid is left out of the window; compare only spectra of equal masks.
    """
    height, width = valid_HW.shape
    if not valid_HW.any():
        return np.zeros(RINGS)
    # So much wider that no pixel weighs nothing.
    taper = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]) * valid_HW
    image = np.where(valid_HW, image_CHW, 0).astype(np.float64)
    image -= (image * taper).sum(axis=(1, 2), keepdims=True) / taper.sum()
    power = np.square(np.abs(np.fft.fft2(image * taper))).sum(axis=0) / np.square(taper).sum()
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    ring = np.minimum((radius * 2 * RINGS).astype(np.intp), RINGS)
    # One ring more for the corners, which are beyond 1/2 cycles a pixel and dropped.
    total, count = (np.bincount(ring.ravel(), weight, RINGS + 1)[:RINGS] for weight in (power.ravel(), None))
    return np.divide(total, count, out=np.zeros(RINGS), where=count > 0)


def ratio(made: NDArray[np.float64], truth: NDArray[np.float64], rings: slice = HIGH) -> float:
    """Power of the made image over that of the true one, in these rings; NaN where the true one has none."""
    whole = float(truth[rings].sum())
    return float(made[rings].sum()) / whole if whole else float("nan")
