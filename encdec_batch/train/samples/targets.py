"""From a window of a pair to what the network sees and what it is to give: one function for each kind of target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.spec.train_data import DataSpec
from encdec_batch.spec.train_target import CleanTarget, HighResolutionTarget, ImageTarget, LabelsInput, MaskTarget
from encdec_batch.train.batch import IGNORE
from encdec_batch.train.dataset.normalization import Units, own_bands
from encdec_batch.train.pairs.labels import coded
from encdec_batch.train.pairs.reader import Raw
from encdec_batch.train.samples.noise import add_noise, quantised
from encdec_batch.train.samples.resample import shrink


@dataclass(frozen=True, slots=True, kw_only=True)
class Posed:
    """A task for the network; stored units on its side, the network's on the other."""

    seen: NDArray[Any]
    """(bands, height, width), stored units, not normalised."""
    valid: NDArray[np.bool_]
    """(height, width) of `seen`."""
    target: NDArray[Any]
    """As in `Batch`, of one sample; classes as uint8."""
    counts: NDArray[np.bool_]
    """(k height, k width)."""
    level: float = 0.0
    """Of noise, in units of the normalised image."""


def pose(raw: Raw, data: DataSpec, units: Units, dtype: str, rng: np.random.Generator) -> Posed:
    """What is asked of the network here.

    Args:
        raw: image and target; for super-resolution its sides are multiples of the scale.
        data: kind of target.
        units: of the normalised image.
        dtype: of the image's file.
        rng: draws noise, where the kind has some.
    """
    target = data.target
    if isinstance(target, CleanTarget):
        posed = _clean(raw, target, units, dtype, rng)
        return replace(posed, target=_own(posed.target, data.context_slices))
    if isinstance(target, HighResolutionTarget):
        posed = _high_resolution(raw, target, units, dtype)
        return replace(posed, target=_own(posed.target, data.context_slices))
    seen = coded(raw.pixels[0], data.input) if isinstance(data.input, LabelsInput) else raw.pixels
    if isinstance(target, MaskTarget):
        # Where the image is invalid the result will be nodata, whatever the label says.
        wanted = np.where(raw.counts, _read(raw), np.uint8(IGNORE))
    else:
        own = units.of_own(data.context_slices)
        in_units = own.normalised(_read(raw)) if target.in_units_of_input else _stretched(_read(raw), target)
        wanted = _masked(in_units, raw.counts)
    return Posed(seen=seen, valid=raw.valid, target=wanted, counts=raw.counts)


def _own(bands_CHW: NDArray[Any], context_slices: int) -> NDArray[Any]:
    """The bands of the slice itself, without those of its neighbours."""
    return bands_CHW[own_bands(len(bands_CHW), context_slices)]


def _read(raw: Raw) -> NDArray[Any]:
    if raw.target is None:
        raise AssertionError("targets of this kind are read with the image")
    return raw.target


def _stretched(pixels: NDArray[Any], target: ImageTarget) -> NDArray[np.float32]:
    if isinstance(target.to, str):
        raise TypeError("a target in units of the input is normalised as that is")
    (low, high), (first, last) = target.range, target.to
    gain = (last - first) / (high - low)
    return pixels.astype(np.float32) * np.float32(gain) + np.float32(first - low * gain)


def _clean(raw: Raw, target: CleanTarget, units: Units, dtype: str, rng: np.random.Generator) -> Posed:
    clean = raw.pixels.astype(np.float32)
    # A grey image that stands for several bands has one noise.
    one = len(clean) > 1 and all(np.array_equal(clean[0], band, equal_nan=True) for band in clean[1:])
    filled = np.where(raw.valid, clean, units.centre.reshape(-1, 1, 1))
    noisy, level = add_noise(filled[:1] if one else filled, target.noise, rng)
    if target.quantise:
        noisy = quantised(noisy, dtype)
    return Posed(
        seen=np.broadcast_to(noisy, clean.shape) if one else noisy,
        valid=raw.valid,
        target=_masked(units.normalised(filled), raw.valid),
        counts=raw.valid,
        level=level / float(units.spread[0]),
    )


def _high_resolution(raw: Raw, target: HighResolutionTarget, units: Units, dtype: str) -> Posed:
    k = target.scale
    height, width = raw.valid.shape
    filled = np.where(raw.valid, raw.pixels.astype(np.float32), units.centre.reshape(-1, 1, 1))
    whole: NDArray[np.bool_] = np.all(raw.valid.reshape(height // k, k, width // k, k), axis=(1, 3))
    return Posed(
        seen=shrink(filled, k, dtype=dtype if target.quantise else None),
        valid=whole,
        target=_masked(units.normalised(filled), raw.valid),
        counts=raw.valid,
    )


def _masked(values_CHW: NDArray[np.float32], counts_HW: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Zero where nothing is known, NaN included."""
    return values_CHW if counts_HW.all() else np.where(counts_HW, values_CHW, np.float32(0))
