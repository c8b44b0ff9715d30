"""Segmentation without a network: one threshold on grey values, or the class that a place mostly has.

Shapes: C bands, H and W rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from encdec_batch.train.samples.resample import nearest

_BINS = 1024
_PLACES = 48
"""Squares a side that an image is divided into, whatever its size."""

Labelled = tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]
"""An image (C, H, W), its channels (H, W), and where they are known (H, W). Of thresholds: channels 0 and 1."""
Scenes = Callable[[], Iterable[Labelled]]
"""Scenes with their labels, from the first one on at each call."""


def grey(pixels_CHW: NDArray[Any]) -> NDArray[np.float32]:
    """(H, W) the mean of all bands."""
    mean: NDArray[np.float32] = pixels_CHW.mean(axis=0, dtype=np.float32)
    return mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Two classes told apart by one value."""

    value: float
    above: int
    """The channel where it is brighter."""
    band: int | None = None
    """The band that is looked at, counted from 0; None: the mean of all."""

    def __call__(self, pixels_CHW: NDArray[Any]) -> NDArray[np.int64]:
        return _split(_seen(pixels_CHW, self.band), self.value, self.above)


def otsu(pixels_CHW: NDArray[Any], valid_HW: NDArray[np.bool_], *, above: int) -> NDArray[np.int64]:
    """(H, W) channel `above` where the grey value exceeds Otsu's threshold of this image's valid pixels.

    Source: Otsu 1979 (A threshold selection method from gray-level histograms), as scikit-image has it.
    """
    seen = grey(pixels_CHW)
    return _split(seen, float(threshold_otsu(seen[valid_HW])) if valid_HW.any() else 0.0, above)


def otsu_minority(pixels_CHW: NDArray[Any], valid_HW: NDArray[np.bool_], *, rare: int) -> NDArray[np.int64]:
    """(H, W) as `otsu`, the smaller side of each image being channel `rare`: for things now bright, now dark."""
    brighter = otsu(pixels_CHW, valid_HW, above=1)
    share = brighter[valid_HW].mean() if valid_HW.any() else 0.0
    return brighter if (share <= 0.5) == (rare == 1) else 1 - brighter


def best_threshold(scenes: Scenes) -> Threshold:
    """The one threshold, of one band or of the mean of all, with the best mean IoU on these scenes."""
    num_bands, low, high = _ends(scenes())
    bands = [*range(num_bands), None] if num_bands > 1 else [0]
    edges = np.linspace(low, high, _BINS + 1)
    counts = {band: np.zeros((2, _BINS), np.int64) for band in bands}
    for pixels, labels, known in scenes():
        for band, table in counts.items():
            seen = _seen(pixels, band)
            for channel in (0, 1):
                table[channel] += np.histogram(seen[known & (labels == channel)], edges)[0]
    found = [(*_best(table), band) for band, table in counts.items()]
    _, number, above, band = max(found, key=lambda one: one[0])
    return Threshold(value=float(edges[number + 1]), above=above, band=band)


def brighter_class(scenes: Scenes) -> int:
    """The channel whose mean grey value is the higher one, over all known pixels of these scenes."""
    sums, counts = np.zeros(2), np.zeros(2)
    for pixels, labels, known in scenes():
        seen = grey(pixels)
        for channel in (0, 1):
            chosen = known & (labels == channel)
            sums[channel] += seen[chosen].sum(dtype=np.float64)
            counts[channel] += chosen.sum()
    return int(np.argmax(sums / np.maximum(counts, 1)))


def usual_classes(scenes: Scenes, num_classes: int) -> NDArray[np.int64]:
    """(_PLACES, _PLACES) the most frequent channel of each square of an image, over all of these scenes.

    Squares that are never known have the channel that is most frequent of all.
    """
    counts = np.zeros((num_classes, _PLACES * _PLACES), np.int64)
    for _, labels, known in scenes():
        rows, cols = (np.arange(side) * _PLACES // side for side in labels.shape)
        square = rows[:, None] * _PLACES + cols
        np.add.at(counts, (labels[known], square[known]), 1)
    found = np.where(counts.any(axis=0), counts.argmax(axis=0), counts.sum(axis=1).argmax())
    return found.reshape(_PLACES, _PLACES)


def as_usual(usual: NDArray[np.int64], height: int, width: int) -> NDArray[np.int64]:
    """(H, W) of `usual_classes`."""
    return nearest(usual, height, width)


def _best(counts: NDArray[np.int64]) -> tuple[float, int, int]:
    """Mean IoU of the best cut of two histograms (2, bins), the last bin below it, and the channel above it."""
    below = counts.cumsum(axis=1)
    above = below[:, -1:] - below
    scored = []
    for bright in (0, 1):
        dark = 1 - bright
        wrong = above[dark] + below[bright]
        hits = np.stack([below[dark], above[bright]])
        iou = np.where(hits > 0, hits / np.maximum(hits + wrong, 1), 0.0).mean(axis=0)
        scored.append((float(iou.max()), int(iou.argmax()), bright))
    return max(scored)


def _ends(scenes: Iterable[Labelled]) -> tuple[int, float, float]:
    """Number of bands, least and greatest value."""
    num_bands, low, high = 0, np.inf, -np.inf
    for pixels, _, known in scenes:
        num_bands = len(pixels)
        if known.any():
            low, high = min(low, float(pixels[:, known].min())), max(high, float(pixels[:, known].max()))
    return num_bands, low, high


def _seen(pixels_CHW: NDArray[Any], band: int | None) -> NDArray[np.float32]:
    return grey(pixels_CHW) if band is None else pixels_CHW[band].astype(np.float32)


def _split(seen_HW: NDArray[np.float32], value: float, above: int) -> NDArray[np.int64]:
    return np.where(seen_HW > value, above, 1 - above).astype(np.int64)
