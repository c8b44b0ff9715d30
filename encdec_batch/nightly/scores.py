"""Figures of many sums of scenes at once. Suffixes: R rows, K classes.

A row is what `evaluate` counts of a scene (`Evaluation.counted`), or the sum of such rows, weighted or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What rows mean."""

    classes: tuple[str, ...] = ()
    """Names in the order of the network's channels; none: images."""
    span: float = 1.0
    """Of images: from the least to the greatest value."""


def scores_of(rows: NDArray[np.float64], metric: str, scale: Scale) -> NDArray[np.float64]:
    """(R,) the metric of each row; NaN where it has none.

    Args:
        rows: (R, numbers).
        metric: as `judge.metric` of the spec has it.
        scale: of the rows.
    """
    if not scale.classes:
        return _of_images(rows, metric, scale.span)
    kind, _, name = metric.partition("/")
    counts_RKK = rows.reshape(len(rows), len(scale.classes), len(scale.classes))
    hits_RK = np.diagonal(counts_RKK, axis1=1, axis2=2)
    if kind == "accuracy":
        return _ratio(hits_RK.sum(axis=1), counts_RKK.sum(axis=(1, 2)))
    both_RK = counts_RKK.sum(axis=1) + counts_RKK.sum(axis=2)
    by_class_RK = _ratio(hits_RK, both_RK - hits_RK) if kind.endswith("iou") else _ratio(2 * hits_RK, both_RK)
    if name:
        return by_class_RK[:, scale.classes.index(name)]
    there_RK = ~np.isnan(by_class_RK)
    return _ratio(np.where(there_RK, by_class_RK, 0).sum(axis=1), there_RK.sum(axis=1))


def shown(classes: Sequence[str]) -> tuple[str, ...]:
    """Figures that a page shows beside the metric."""
    return ("mean_iou", "mean_dice", "accuracy") if classes else ("psnr", "ssim")


def _of_images(rows: NDArray[np.float64], metric: str, span: float) -> NDArray[np.float64]:
    squared, _, values, similarity, windows = rows.T
    if metric == "ssim":
        return _ratio(similarity, windows)
    with np.errstate(divide="ignore"):
        return np.where(values > 0, 10 * np.log10(span**2 / _ratio(squared, values)), np.nan)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    ratio = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
