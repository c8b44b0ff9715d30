"""One multiplication and one addition stand for scale, offset, mean and standard deviation."""

from __future__ import annotations

import numpy as np
import torch
from predict.whole import card_of

from encdec_batch.models.card import BandCard, Card, GeometryCard
from encdec_batch.predict.normalize import affine_of, normalize

GEOMETRY = GeometryCard(scale=1, stride=1, reach=1, exactness="exact")
SCALES, OFFSETS = (0.01, 0.5, 2.0), (-3.0, 60.0, 0.0)


def card_with(*units: str) -> Card:
    constants = {"kind": "constants", "mean": (10.0, 20.0, 30.0), "std": (4.0, 5.0, 8.0)}
    card = card_of(GEOMETRY, bands=3, channels=1, normalization=constants)
    return card.model_copy(update={"bands": tuple(BandCard(name=unit, unit=unit) for unit in units)})


def test_scale_and_offset_count_for_bands_that_are_scaled_and_for_no_others() -> None:
    card = card_with("scaled", "raw", "scaled")
    stored = np.random.default_rng(0).integers(-900, 900, (3, 7, 9)).astype(np.int16)
    affine = affine_of(card, SCALES, OFFSETS)
    made = normalize(torch.from_numpy(stored), torch.ones(7, 9, dtype=torch.bool), affine, 0.0).numpy()
    seen = stored.astype(np.float64)
    seen[0] = seen[0] * 0.01 - 3
    seen[2] = seen[2] * 2
    mean, std = (np.array(values)[:, None, None] for values in ((10, 20, 30), (4, 5, 8)))
    np.testing.assert_allclose(made, (seen - mean) / std, rtol=1e-5, atol=1e-5)


def test_a_file_that_scales_by_nothing_is_the_same_either_way() -> None:
    plain = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
    assert affine_of(card_with("scaled", "scaled", "scaled"), *plain) == affine_of(
        card_with("raw", "raw", "raw"), *plain
    )
