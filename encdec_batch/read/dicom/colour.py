"""Colours as RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# In whole numbers, so that a half is one.
_CENTRED = np.arange(256) - 128
_RED_OF_CR = ((2 * 1402 * _CENTRED + 1000) // 2000).astype(np.int16)
_BLUE_OF_CB = ((2 * 1772 * _CENTRED + 1000) // 2000).astype(np.int16)
_GREEN_OF_CB_CR = (
    (587_000 - 2 * (114 * 1772 * _CENTRED[:, None] + 299 * 1402 * _CENTRED[None, :])) // (2 * 587_000)
).astype(np.int16)
_PIXELS_AT_ONCE = 1 << 16
"""Between the passes they stay in the processor's cache."""


def rgb_of_ybr(ybr_SHW: NDArray[Any]) -> NDArray[np.uint8]:
    """YBR_FULL as RGB, (3, height, width), uint8, rounded half up: DICOM PS3.3, C.7.6.3.1.2; ITU T.871, section 7."""
    found = np.empty(ybr_SHW.shape, np.uint8)
    rows = max(1, _PIXELS_AT_ONCE // max(1, ybr_SHW.shape[2]))
    for first in range(0, ybr_SHW.shape[1], rows):
        part = slice(first, first + rows)
        luma, cb, cr = (np.ascontiguousarray(plane[part]) for plane in ybr_SHW)
        raised = luma.astype(np.int16)
        index = cb.astype(np.uint16) << 8 | cr
        for sample, change in enumerate((_RED_OF_CR[cr], _GREEN_OF_CB_CR.reshape(-1)[index], _BLUE_OF_CB[cb])):
            found[sample, part] = np.clip(raised + change, 0, 255)
    return found


def expanded_422(cells_HN: NDArray[Any], columns: int) -> NDArray[Any]:
    """(3, height, columns) of rows in which two pixels share their colour: Y, Y, Cb, Cr (PS3.3, C.7.6.3.1.2)."""
    quads = cells_HN.reshape(len(cells_HN), columns // 2, 4)
    luma_HW = quads[..., :2].reshape(len(cells_HN), columns)
    return np.stack([luma_HW, *(np.repeat(quads[..., sample], 2, axis=1) for sample in (2, 3))])
