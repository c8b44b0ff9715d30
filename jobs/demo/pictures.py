"""Arrays to pictures: uint8 (H, W, 3), as they are shown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.scores.restoration import as_file

NUCLEUS, BACKGROUND, MISSED, WRONG = (255, 196, 0), (20, 20, 40), (86, 180, 233), (213, 94, 0)
_INDEX_STOPS = ((-0.4, (84, 48, 5)), (0.0, (246, 232, 195)), (0.2, (199, 234, 229)), (0.6, (0, 90, 50)))
"""Vegetation index to colour, brown to green, told apart with any colour vision (Brewer's BrBG)."""


def photo(pixels_CHW: NDArray[Any]) -> NDArray[np.uint8]:
    """Red, green and blue; one band as grey."""
    held = as_file(pixels_CHW[:3], "uint8").astype(np.uint8)
    return np.moveaxis(np.broadcast_to(held, (3, *held.shape[1:])), 0, -1)


def stretched(grey_HW: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey from black to its 99.8th percentile: images of fluorescence are dark."""
    top = max(float(np.percentile(grey_HW, 99.8)), 1.0)
    return photo(np.minimum(grey_HW * (255 / top), 255)[None])


def mask(found_HW: NDArray[Any], truth_HW: NDArray[Any]) -> NDArray[np.uint8]:
    """A mask of nuclei, its faults in colours of their own."""
    found, truth = found_HW > 0, truth_HW > 0
    colours = np.array([BACKGROUND, WRONG, MISSED, NUCLEUS], np.uint8)
    return colours[truth * 2 + found]


def index_map(index_HW: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The vegetation index; black where it is not known."""
    stops, colours = zip(*_INDEX_STOPS, strict=True)
    bands = [np.interp(index_HW, stops, [colour[band] for colour in colours]) for band in range(3)]
    return np.nan_to_num(np.stack(bands, axis=-1)).astype(np.uint8)
