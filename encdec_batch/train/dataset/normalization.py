"""From stored pixels to the network's units: constants estimated once, over the training scenes, for the card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import SpecError
from encdec_batch.models.card import ConstantNormalization, Normalization, PercentileNormalization
from encdec_batch.plan.fit import bands_said, bands_to_name
from encdec_batch.read.statistics import ValueRange
from encdec_batch.spec.train_data import DataSpec, EstimateNormalization, GivenNormalization, PercentilesNormalization
from encdec_batch.spec.train_target import LabelsInput
from encdec_batch.train.dataset.inspect import Inspected
from encdec_batch.train.dataset.mean_std import mean_and_std, merged, pooled

_DIGITS = 6
"""Significant ones that the card keeps: the constants are those that training used."""


def own_bands(num_bands: int, context_slices: int) -> slice:
    """Of all that are read with a slice, its own: those in the middle."""
    each = num_bands // (2 * context_slices + 1)
    return slice(context_slices * each, (context_slices + 1) * each)


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """value = (stored - centre) / spread, per band."""

    centre: NDArray[np.float32]
    spread: NDArray[np.float32]

    def of_own(self, context_slices: int) -> Units:
        """Those of a slice's own bands, without its neighbours'."""
        own = own_bands(len(self.centre), context_slices)
        return Units(centre=self.centre[own], spread=self.spread[own])

    def normalised(self, pixels_CHW: NDArray[np.generic]) -> NDArray[np.float32]:
        """(bands, height, width), a new array."""
        shape = (-1, 1, 1)
        x_CHW = pixels_CHW.astype(np.float32)
        x_CHW -= self.centre.reshape(shape)
        x_CHW /= self.spread.reshape(shape)
        return x_CHW


def normalization_of(data: DataSpec, train: Sequence[Inspected]) -> Normalization:
    """What the card is to say.

    Args:
        data: how it is to be found.
        train: the scenes trained on, in any order.

    Raises:
        SpecError: constants for another number of bands, or a band of one value, which no constant makes useful.
    """
    wanted, num_bands = data.normalization, num_bands_of(data, train[0].bands)
    if isinstance(data.input, LabelsInput):
        scale = 255.0 if data.input.code == "colour" else 1.0
        return ConstantNormalization(kind="constants", mean=(0.0,) * num_bands, std=(scale,) * num_bands)
    if isinstance(wanted, PercentilesNormalization):
        return PercentileNormalization(kind="percentiles", lower=wanted.lower, upper=wanted.upper)
    if isinstance(wanted, GivenNormalization):
        if len(wanted.mean) != num_bands:
            raise SpecError(
                f"data.normalization has constants of {bands_said(len(wanted.mean))}, the images have {num_bands}",
                hint=f"give as many, or say {bands_to_name(num_bands, len(wanted.mean))} in data.train.bands",
            )
        return ConstantNormalization(kind="constants", mean=wanted.mean, std=wanted.std)
    return _estimated(wanted, train, num_bands)


def _estimated(wanted: EstimateNormalization, train: Sequence[Inspected], num_bands: int) -> ConstantNormalization:
    moments = merged(one.moments for one in train)
    found = [mean_and_std(pieces) for pieces in (moments if wanted.per_band else pooled(moments))]
    if not wanted.per_band:
        found = found * num_bands
    for band, (mean, std) in enumerate(found, 1):
        if std == 0:
            raise SpecError(
                f"band {band} of the training scenes has one value, {mean:g}, wherever it is valid",
                hint="leave the band out (data.train.bands), or give data.normalization.kind: constants",
            )
    return ConstantNormalization(
        kind="constants",
        mean=tuple(_rounded(mean) for mean, _ in found),
        std=tuple(_rounded(std) for _, std in found),
    )


def num_bands_of(data: DataSpec, bands: Sequence[int]) -> int:
    """Of what the network sees.

    Args:
        data: what it is to see.
        bands: that are read of the images.
    """
    if isinstance(data.input, LabelsInput):
        return len(data.input.classes) if data.input.code == "one_hot" else 3
    return len(bands)


def units_of(normalization: Normalization, value_range: ValueRange | None) -> Units:
    """Of one scene: by the card's constants, or by its own percentiles."""
    if isinstance(normalization, ConstantNormalization):
        centre, spread = normalization.mean, normalization.std
    else:
        centre = tuple(low for low, _ in value_range or ())
        spread = tuple((high - low) or 1.0 for low, high in value_range or ())
    return Units(centre=np.array(centre, np.float32), spread=np.array(spread, np.float32))


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
