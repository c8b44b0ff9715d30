"""How good a prediction is: counts and sums, which add up over tiles, scenes and workers, and the scores made of them.

Shapes: K classes, C channels, H and W rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log10, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

_RADIUS, _SIGMA = 5, 1.5
"""Of the Gaussian window of SSIM: 11x11 pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """How often a pixel of one class was taken for another."""

    counts: NDArray[np.int64]
    """(K, K): row is the right class, column the predicted one."""

    @classmethod
    def of(
        cls, truth_HW: NDArray[Any], predicted_HW: NDArray[Any], known_HW: NDArray[np.bool_], num_classes: int
    ) -> Confusion:
        """Of the pixels that are known; classes are 0 to K - 1 in both."""
        pairs = truth_HW[known_HW].astype(np.int64) * num_classes + predicted_HW[known_HW]
        counts = np.bincount(pairs.ravel(), minlength=num_classes**2)
        return cls(counts=counts.reshape(num_classes, num_classes))

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(counts=self.counts + other.counts)

    @property
    def iou(self) -> NDArray[np.float64]:
        """(K,) intersection over union; NaN for a class that is neither there nor predicted."""
        return _ratio(self._hits, self._truth + self._predicted - self._hits)

    @property
    def dice(self) -> NDArray[np.float64]:
        """(K,) Dice score, which is F1; NaN as in `iou`."""
        return _ratio(2 * self._hits, self._truth + self._predicted)

    @property
    def precision(self) -> NDArray[np.float64]:
        """(K,) NaN for a class that is never predicted."""
        return _ratio(self._hits, self._predicted)

    @property
    def recall(self) -> NDArray[np.float64]:
        """(K,) NaN for a class that is not there."""
        return _ratio(self._hits, self._truth)

    @property
    def accuracy(self) -> float:
        total = int(self.counts.sum())
        return int(self._hits.sum()) / total if total else nan

    def figures(self, names: Sequence[str]) -> dict[str, float]:
        """Scores by name: means over the classes that are there or predicted, then class by class."""
        by_class = {"iou": self.iou, "dice": self.dice, "precision": self.precision, "recall": self.recall}
        means = {f"mean_{score}": mean_of(by_class[score]) for score in ("iou", "dice")}
        single = {
            f"{score}/{name}": float(value)
            for score, values in by_class.items()
            for name, value in zip(names, values, strict=True)
        }
        return {**means, "accuracy": self.accuracy, **single, "pixels": float(self.counts.sum())}

    @property
    def _hits(self) -> NDArray[np.int64]:
        return np.diagonal(self.counts)

    @property
    def _truth(self) -> NDArray[np.int64]:
        return np.asarray(self.counts.sum(axis=1))

    @property
    def _predicted(self) -> NDArray[np.int64]:
        return np.asarray(self.counts.sum(axis=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """How near an image is to the one it should be; sums over valid values, and over windows for SSIM."""

    span: float
    """From the least to the greatest value an image may have; what PSNR and SSIM are relative to."""
    squared: float
    absolute: float
    values: int
    similarity: float
    windows: int

    @classmethod
    def of(cls, truth_CHW: NDArray[Any], image_CHW: NDArray[Any], valid_HW: NDArray[np.bool_], span: float) -> Fidelity:
        """Of the valid pixels; a window of SSIM counts where all its pixels are valid and inside the image."""
        truth, image = truth_CHW.astype(np.float64), image_CHW.astype(np.float64)
        difference = (image - truth)[:, valid_HW]
        similar, windows = _similarity(truth, image, valid_HW, span)
        return cls(
            span=span,
            squared=float(np.square(difference).sum()),
            absolute=float(np.abs(difference).sum()),
            values=difference.size,
            similarity=similar,
            windows=windows,
        )

    def __add__(self, other: Fidelity) -> Fidelity:
        if self.span != other.span:
            raise ValueError(f"images of a span of {self.span} and of {other.span} have no common score")
        return Fidelity(
            span=self.span,
            squared=self.squared + other.squared,
            absolute=self.absolute + other.absolute,
            values=self.values + other.values,
            similarity=self.similarity + other.similarity,
            windows=self.windows + other.windows,
        )

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio in dB; infinite for equal images."""
        if not self.values:
            return nan
        return 10 * log10(self.span**2 * self.values / self.squared) if self.squared else inf

    @property
    def ssim(self) -> float:
        """Mean structural similarity; NaN where no window fits."""
        return self.similarity / self.windows if self.windows else nan

    def figures(self, names: Sequence[str] = ()) -> dict[str, float]:
        """Scores by name; `mae` is in the units of the image. There are no classes to be named."""
        del names
        mae = self.absolute / self.values if self.values else nan
        return {"psnr": self.psnr, "ssim": self.ssim, "mae": mae, "pixels": float(self.values)}


def mean_of(values: Sequence[float] | NDArray[np.float64]) -> float:
    """The mean of those that are numbers."""
    kept = [float(value) for value in values if not np.isnan(value)]
    return sum(kept) / len(kept) if kept else nan


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    ratio = np.full(len(whole), nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _similarity(
    truth_CHW: NDArray[np.float64], image_CHW: NDArray[np.float64], valid_HW: NDArray[np.bool_], span: float
) -> tuple[float, int]:
    """Sum of the structural similarities of all windows, and their number.

    Source: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE TIP 2004,
    equation 13 and section III-C, with its constants.
    """
    if min(valid_HW.shape) <= 2 * _RADIUS:
        return 0.0, 0
    c_1, c_2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    x, y = truth_CHW, image_CHW
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x, var_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    similarity = ((2 * mean_x * mean_y + c_1) * (2 * covariance + c_2)) / (
        (mean_x**2 + mean_y**2 + c_1) * (var_x + var_y + c_2)
    )
    whole_HW = np.lib.stride_tricks.sliding_window_view(valid_HW, (2 * _RADIUS + 1,) * 2).all(axis=(2, 3))
    counted = similarity[:, whole_HW]
    return float(counted.sum()), counted.size


def _blurred(x_CHW: NDArray[np.float64]) -> NDArray[np.float64]:
    """The Gaussian mean round each pixel whose window fits."""
    taps = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    taps /= taps.sum()
    height, width = x_CHW.shape[1] - 2 * _RADIUS, x_CHW.shape[2] - 2 * _RADIUS
    rows = sum((tap * x_CHW[:, n : n + height] for n, tap in enumerate(taps)), start=np.zeros(()))
    return np.asarray(sum((tap * rows[:, :, n : n + width] for n, tap in enumerate(taps)), start=np.zeros(())))
