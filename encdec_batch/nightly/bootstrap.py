"""How sure it is that one network is better than another: a paired bootstrap over scenes.

Scenes are drawn with replacement, the same for both, and the figure is taken of their sum. What differs from scene to
scene, but not between the two networks, falls out; pixels of one scene are never taken for independent.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3 (percentile interval); dividing the
error among the nights that were judged: Bonferroni.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

Score = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From (R, numbers), sums of rows, to (R,)."""
_IN_THE_TAIL = 20
"""Resamples beyond the bound, at least: else it would be that of a few draws."""
_NUMBERS_AT_A_TIME = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Bounds of a difference, each of the same confidence."""

    lower: float
    upper: float
    resamples: int


def level_of(confidence: float, nights: int) -> float:
    """The confidence that each of so many nights is asked for, so that all of them together err no oftener than one."""
    return 1 - (1 - confidence) / max(1, nights)


def interval(differences: NDArray[np.float64], level: float) -> Interval:
    """One-sided bounds of resampled differences: each a value that was drawn, the farther of two."""
    tail = 1 - level
    return Interval(
        lower=float(np.quantile(differences, tail, method="lower")),
        upper=float(np.quantile(differences, 1 - tail, method="higher")),
        resamples=len(differences),
    )


def resamples_for(level: float, least: int) -> int:
    """How many draws a bound of this confidence needs."""
    return max(least, ceil(_IN_THE_TAIL / (1 - level)))


def differences(
    ours: tuple[NDArray[np.float64], Score], theirs: tuple[NDArray[np.float64], Score], *, resamples: int, seed: int
) -> NDArray[np.float64]:
    """(resamples,) score of ours less score of theirs, on the same scenes drawn anew each time.

    Where a draw has no score for either, as that of a class which is in none of its scenes, it says nothing: 0.

    Args:
        ours: (scenes, numbers) what was counted of each scene, and the score of sums of it.
        theirs: the same scenes in the same order.
        resamples: how many.
        seed: equal seeds draw the same scenes.
    """
    (rows, score), (others, other_score) = ours, theirs
    if len(rows) != len(others) or not len(rows):
        raise ValueError(f"{len(rows)} scenes of one network and {len(others)} of the other are no pairs")
    rng = np.random.default_rng(seed)
    share = np.full(len(rows), 1 / len(rows))
    found = np.empty(resamples)
    step = max(1, _NUMBERS_AT_A_TIME // (len(rows) + rows.shape[1] + others.shape[1]))
    for begin in range(0, resamples, step):
        size = min(step, resamples - begin)
        times = rng.multinomial(len(rows), share, size=size).astype(np.float64)
        with np.errstate(invalid="ignore"):
            found[begin : begin + size] = score(times @ rows) - other_score(times @ others)
    return np.where(np.isnan(found), 0.0, found)
