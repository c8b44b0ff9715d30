"""From stored pixels to what the network was trained on: by constants of the card or of the scene, never of a tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from encdec_batch.models.card import Card, PercentileNormalization
from encdec_batch.read.statistics import ValueRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """value = stored * gain + bias, per band."""

    gain: tuple[float, ...]
    bias: tuple[float, ...]


def affine_of(
    card: Card, scales: Sequence[float], offsets: Sequence[float], value_range: ValueRange | None = None
) -> Affine:
    """The card's normalisation of a file's stored values, as one multiplication and one addition per band.

    Args:
        card: gives mean and standard deviation, and for each band whether they are of stored (`raw`) or of
            `scaled` values.
        scales: of the bands read, in the card's order; value = stored * scale + offset.
        offsets: likewise.
        value_range: of the scene, where the card's normalisation is by its percentiles.
    """
    constants = card.normalization
    if isinstance(constants, PercentileNormalization):
        return _stretch(value_range or ())
    gains, biases = [], []
    for band, scale, offset, mean, std in zip(card.bands, scales, offsets, constants.mean, constants.std, strict=True):
        scale, offset = (scale, offset) if band.unit == "scaled" else (1.0, 0.0)  # noqa: PLW2901
        gains.append(scale / std)
        biases.append((offset - mean) / std)
    return Affine(gain=tuple(gains), bias=tuple(biases))


def _stretch(value_range: ValueRange) -> Affine:
    """Lower percentile to 0, upper to 1; a band of one value to 0."""
    spans = [(high - low) or 1.0 for low, high in value_range]
    return Affine(
        gain=tuple(1.0 / span for span in spans),
        bias=tuple(-low / span for (low, _), span in zip(value_range, spans, strict=True)),
    )


def normalize(pixels_CHW: Tensor, valid_HW: Tensor, affine: Affine, fill: float) -> Tensor:
    """Float32 (bands, height, width); invalid pixels become `fill` in all bands, NaN in its own band, as in the
    reference pass.
    """
    shape = (-1, 1, 1)
    x_CHW = pixels_CHW.to(torch.float32, copy=True)
    x_CHW *= torch.tensor(affine.gain, device=x_CHW.device).view(shape)
    x_CHW += torch.tensor(affine.bias, device=x_CHW.device).view(shape)
    if pixels_CHW.is_floating_point():
        # A NaN in one band of a pixel that is valid by the card's rule would spread over all that it reaches.
        x_CHW.masked_fill_(x_CHW.isnan(), fill)
    # NaN times 0 is NaN: invalid pixels are replaced, not weighed down. Most blocks have none.
    return x_CHW if bool(valid_HW.all()) else x_CHW.masked_fill_(~valid_HW, fill)
