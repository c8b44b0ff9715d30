from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.train.dataset.mean_std import mean_and_std, merged, moments_of, pooled


def windows(seed: int, dtype: str, offset: float = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(6):
        shape = tuple(rng.integers(1, 12, 2))
        made.append(((rng.normal(offset, 40, (2, *shape))).astype(dtype), rng.random(shape) < 0.7))
    return made


@given(seed=st.integers(0, 9999), dtype=st.sampled_from(["uint8", "int16", "uint16", "float32"]))
def test_merged_in_any_order_they_are_what_numpy_says_of_all_pixels(seed, dtype):
    parts = windows(seed, dtype, 120)
    found = merged(moments_of(*part) for part in parts)
    again = merged(moments_of(*part) for part in np.random.default_rng(seed).permutation(np.array(parts, object)))
    assert [mean_and_std(band) for band in found] == [mean_and_std(band) for band in again]
    for band, pieces in enumerate(found):
        values = np.concatenate([pixels[band][valid] for pixels, valid in parts]).astype(float)
        if values.size:
            assert mean_and_std(pieces) == pytest.approx((values.mean(), values.std()), rel=1e-9, abs=1e-9)
    together = np.concatenate([pixels[:, valid].ravel() for pixels, valid in parts]).astype(float)
    if together.size:
        (pieces,) = pooled(found)
        assert mean_and_std(pieces) == pytest.approx((together.mean(), together.std()), rel=1e-9, abs=1e-9)


def test_integers_far_from_zero_lose_nothing():
    pixels = np.full((1, 500, 500), 65_000, np.uint16)
    pixels[0, ::2] += 1
    (pieces,) = moments_of(pixels, np.ones((500, 500), bool))
    assert mean_and_std(pieces) == (65_000.5, 0.5)


def test_nan_and_nothing():
    pixels = np.array([[[1, np.nan, 3]]], np.float32)
    (pieces,) = moments_of(pixels, np.ones((1, 3), bool))
    assert mean_and_std(pieces) == (2.0, 1.0)
    (pieces,) = merged([moments_of(pixels, np.zeros((1, 3), bool))])
    assert mean_and_std(pieces) == (0.0, 0.0)
