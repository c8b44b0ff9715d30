"""Percentiles of a scene that comes in windows, against numpy's of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from encdec_batch.read.patch import Patch
from encdec_batch.read.statistics import scene_percentiles

PERCENTAGES = (0.0, 1.0, 33.3, 50.0, 99.8, 100.0)
INTEGERS = ("uint8", "int16", "uint16")
FLOATS = ("float32", "float64")


def values(dtype: str) -> st.SearchStrategy:
    if dtype in INTEGERS:
        return hnp.arrays(dtype, st.tuples(st.just(2), st.integers(1, 9), st.integers(1, 9)))
    numbers = st.floats(-(2.0**99), 2.0**99, width=32)
    return hnp.arrays(dtype, st.tuples(st.just(2), st.integers(1, 9), st.integers(1, 9)), elements=numbers)


def windows(pixels: np.ndarray, valid: np.ndarray, cut: int, *, backwards: bool) -> list[Patch]:
    cuts = [slice(0, cut), slice(cut, pixels.shape[1])]
    made = [Patch(pixels=pixels[:, rows], valid_mask=valid[rows]) for rows in cuts]
    return made[::-1] if backwards else made


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
@given(data=st.data(), cut=st.integers(0, 9), backwards=st.booleans(), seed=st.integers(0, 99))
def test_they_are_numpys_whatever_the_windows_and_their_order(dtype, data, cut, backwards, seed):
    pixels = data.draw(values(dtype))
    valid = np.random.default_rng(seed).random(pixels.shape[1:]) < 0.7
    patches = windows(pixels, valid, cut, backwards=backwards)
    found = scene_percentiles(lambda: patches, dtype, 2, PERCENTAGES)
    for band, at in zip(pixels, found, strict=True):
        if not valid.any():
            assert at == (0.0,) * len(PERCENTAGES)
            continue
        expected = np.percentile(band[valid].astype(np.float64), PERCENTAGES)
        assert at == pytest.approx(expected, rel=1e-9, abs=1e-37)


def test_nan_in_a_band_of_a_valid_pixel_is_not_counted():
    pixels = np.array([[[1.0, np.nan, 3.0]], [[4.0, 5.0, 6.0]]], np.float32)
    patch = Patch(pixels=pixels, valid_mask=np.ones((1, 3), bool))
    assert scene_percentiles(lambda: [patch], "float32", 2, (0, 100)) == [(1.0, 3.0), (4.0, 6.0)]


def test_values_that_share_their_leading_bits_are_told_apart():
    """Heights around 1000 m: 16 bits of a float32 there are 4 m wide."""
    heights = np.linspace(1000, 1003.9, 1001, dtype=np.float32).reshape(1, 1, -1)
    patch = Patch(pixels=heights, valid_mask=np.ones((1, 1001), bool))
    ((low, high),) = scene_percentiles(lambda: [patch], "float32", 1, (10, 90))
    assert (low, high) == pytest.approx((heights.flat[100], heights.flat[900]), abs=1e-6)
