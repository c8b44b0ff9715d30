"""From image to image without a network, and the vegetation index of a made near infrared.

Shapes: B bands of the input, C of the target, H and W rows and columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Paired = tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]
"""An image (B, H, W), its target (C, H, W), and where it counts (H, W)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """target = weights image + offset, pixel by pixel."""

    weights: NDArray[np.float64]
    """(C, B)."""
    offset: NDArray[np.float64]
    """(C,)."""

    def __call__(self, pixels_BHW: NDArray[Any]) -> NDArray[np.float32]:
        """(C, H, W)."""
        made = np.tensordot(self.weights, pixels_BHW.astype(np.float64), 1) + self.offset[:, None, None]
        return made.astype(np.float32)


def fit(scenes: Iterable[Paired]) -> tuple[Linear, Linear]:
    """The mean of each band of the target, and the least squares of it on the input's bands, over all these scenes.

    Sums of products of all pixels, in float64; bands that depend on each other (one-hot classes) are no harm.
    """
    normal: NDArray[np.float64] = np.zeros((0, 0))
    moment: NDArray[np.float64] = np.zeros((0, 0))
    for pixels, target, counts in scenes:
        x = np.concatenate([pixels[:, counts].astype(np.float64), np.ones((1, int(counts.sum())))])
        y = target[:, counts].astype(np.float64)
        normal = x @ x.T + (normal if normal.size else 0)
        moment = x @ y.T + (moment if moment.size else 0)
    solved = np.linalg.lstsq(normal, moment, rcond=1e-12)[0]
    mean = moment[-1] / max(normal[-1, -1], 1)
    return (
        Linear(weights=np.zeros((moment.shape[1], len(normal) - 1)), offset=mean),
        Linear(weights=solved[:-1].T, offset=solved[-1]),
    )


def ndvi(nir: NDArray[Any], red: NDArray[Any]) -> NDArray[np.float64]:
    """(NIR - red) / (NIR + red), of numbers as stored; NaN where both are 0.

    Source: Rouse et al. 1973 (Monitoring vegetation systems in the Great Plains with ERTS).
    """
    above, total = nir.astype(np.float64) - red, nir.astype(np.float64) + red
    return np.divide(above, total, out=np.full(total.shape, np.nan), where=total != 0)


def agreement(made: NDArray[np.float64], truth: NDArray[np.float64]) -> tuple[float, float]:
    """Mean absolute error and Pearson's correlation where both are numbers; NaN where one of them is constant."""
    known = np.isfinite(made) & np.isfinite(truth)
    made, truth = made[known], truth[known]
    if not made.size:
        return np.nan, np.nan
    error = float(np.abs(made - truth).mean())
    if not made.std() or not truth.std():
        return error, np.nan
    return error, float(np.corrcoef(made, truth)[0, 1])
