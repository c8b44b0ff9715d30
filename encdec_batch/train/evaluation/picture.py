"""A scene beside its target and its prediction, for people to look at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.models.card import Card, ClassesOutput
from encdec_batch.train.evaluation.evaluate import Seen

_MOST = 512
"""Pixels on the longer side of each of the three."""
_UNKNOWN = (128, 128, 128)


def picture_of(seen: Seen, card: Card) -> NDArray[np.uint8]:
    """(height, 3 width, 3): input, target and prediction side by side; what is not known is grey."""
    example, k = seen.example, card.geometry.scale
    step = max(1, -(-max(example.target_valid.shape) // _MOST))
    image = _stretched(example.pixels, example.valid_mask).repeat(k, 0).repeat(k, 1)
    if isinstance(card.output, ClassesOutput):
        colours = np.array([item.color for item in card.output.classes] + [_UNKNOWN], np.uint8)
        target, made = (
            colours[np.where(example.target_valid, labels, len(colours) - 1)]
            for labels in (example.target, seen.prediction)
        )
    else:
        low, high = card.output.range
        target, made = (
            _grey_where(_rgb((values.astype(np.float32) - low) / (high - low)), example.target_valid)
            for values in (example.target, seen.prediction)
        )
    return np.concatenate([part[::step, ::step] for part in (image, target, made)], axis=1)


def _stretched(pixels_CHW: NDArray[Any], valid_HW: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Between percentiles 1 and 99 of each band."""
    if not valid_HW.any():
        return np.full((*valid_HW.shape, 3), _UNKNOWN, np.uint8)
    pixels = pixels_CHW.astype(np.float32)
    ends = np.percentile(pixels[:, valid_HW], (1, 99), axis=1)
    low, span = ends[0][:, None, None], np.maximum(ends[1] - ends[0], 1e-6)[:, None, None]
    return _grey_where(_rgb((pixels - low) / span), valid_HW)


def _rgb(values_CHW: NDArray[Any]) -> NDArray[np.uint8]:
    """0 to 1 as (height, width, 3): the first three bands, or one of them three times."""
    bands = values_CHW[:3] if len(values_CHW) >= 3 else values_CHW[[0, 0, 0]]
    return np.asarray(np.rint(np.clip(np.nan_to_num(bands), 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))


def _grey_where(image_HWC: NDArray[np.uint8], valid_HW: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(valid_HW[..., None], image_HWC, np.array(_UNKNOWN, np.uint8))
