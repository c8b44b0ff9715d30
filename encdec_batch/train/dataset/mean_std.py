"""Mean and standard deviation of many pixels, counted in pieces that may come in any order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum, sqrt

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Piece:
    """Of some pixels of one band: how many, their mean, and the sum of squared deviations from it."""

    count: int
    mean: float
    squares: float


Moments = tuple[tuple[Piece, ...], ...]
"""For each band its pieces. Two of them are merged by putting the pieces together: nothing is rounded by that."""


def moments_of(pixels_CHW: NDArray[np.generic], valid_HW: NDArray[np.bool_]) -> Moments:
    """Of the valid pixels of one window; exact for integers, NaN in a band left out."""
    return tuple((_piece(band_HW[valid_HW]),) for band_HW in pixels_CHW)


def merged(all_moments: Iterable[Moments]) -> Moments:
    """Of all windows together, whatever their order."""
    bands: Iterable[tuple[tuple[Piece, ...], ...]] = zip(*all_moments, strict=True)
    return tuple(_together(band) for band in bands)


def _together(parts: Iterable[tuple[Piece, ...]]) -> tuple[Piece, ...]:
    return tuple(sorted((piece for pieces in parts for piece in pieces if piece.count), key=_order))


def pooled(moments: Moments) -> Moments:
    """One band that has the pixels of all."""
    return (tuple(piece for pieces in moments for piece in pieces),)


def mean_and_std(pieces: Sequence[Piece]) -> tuple[float, float]:
    """Over all pixels; the deviation is that of the pixels, not an estimate of a larger population's.

    Sums are rounded once (math.fsum), so that the order of pieces does not show. (0, 0) without pixels.

    Source: Chan, Golub, LeVeque 1979, equation 2.1b, for any number of parts.
    """
    count = sum(piece.count for piece in pieces)
    if not count:
        return 0.0, 0.0
    mean = fsum(piece.count * piece.mean for piece in pieces) / count
    between = fsum(piece.count * (piece.mean - mean) ** 2 for piece in pieces)
    return mean, sqrt((fsum(piece.squares for piece in pieces) + between) / count)


def _piece(values: NDArray[np.generic]) -> Piece:
    if values.dtype.kind == "f":
        wide = values[~np.isnan(values)].astype(np.float64)
        if not wide.size:
            return Piece(0, 0.0, 0.0)
        mean = float(wide.mean())
        return Piece(wide.size, mean, float(np.square(wide - mean).sum()))
    if not values.size:
        return Piece(0, 0.0, 0.0)
    # Integers of 16 bits: sums of squares of 2^31 of them fit in 63 bits, and Python's integers do the rest exactly.
    whole = values.astype(np.int64)
    count, total, squares = values.size, int(whole.sum()), int(np.square(whole).sum())
    return Piece(count, total / count, (squares * count - total * total) / count)


def _order(piece: Piece) -> tuple[float, float, int]:
    return piece.mean, piece.squares, piece.count
