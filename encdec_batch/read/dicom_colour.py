"""Colours as RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_RGB_OF_YBR = np.array([[1, 0, 1.402], [1, -0.114 * 1.772 / 0.587, -0.299 * 1.402 / 0.587], [1, 1.772, 0]], np.float32)
_PIXELS_AT_ONCE = 1 << 18
"""In floats they take eight times their room."""


def rgb_of_ybr(ybr_SHW: NDArray[Any]) -> NDArray[np.uint8]:
    """YBR_FULL as RGB, (3, height, width), uint8, rounded half up: DICOM PS3.3, C.7.6.3.1.2; ITU T.871, section 7."""
    found = np.empty(ybr_SHW.shape, np.uint8)
    rows = max(1, _PIXELS_AT_ONCE // max(1, ybr_SHW.shape[2]))
    for first in range(0, ybr_SHW.shape[1], rows):
        centred = ybr_SHW[:, first : first + rows].astype(np.float32)
        centred[1:] -= 128
        rgb: NDArray[np.float32] = np.einsum("ij,jhw->ihw", _RGB_OF_YBR, centred)
        found[:, first : first + rows] = np.floor(rgb + np.float32(0.5)).clip(0, 255)
    return found


def expanded_422(cells_HN: NDArray[Any], columns: int) -> NDArray[Any]:
    """(3, height, columns) of rows in which two pixels share their colour: Y, Y, Cb, Cr (PS3.3, C.7.6.3.1.2)."""
    quads = cells_HN.reshape(len(cells_HN), columns // 2, 4)
    luma_HW = quads[..., :2].reshape(len(cells_HN), columns)
    return np.stack([luma_HW, *(np.repeat(quads[..., sample], 2, axis=1) for sample in (2, 3))])
