from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.spec.train_data import AugmentSpec
from encdec_batch.train.batch import IGNORE
from encdec_batch.train.dataset.normalization import Units
from encdec_batch.train.pairs.reader import Raw
from encdec_batch.train.samples.augment import Geometry, draw_geometry, draw_light, zoomed

ALL = AugmentSpec(flips=("horizontal", "vertical"), turns=True, zoom=(0.5, 2))
GEOMETRIES = st.builds(
    Geometry, horizontal=st.booleans(), vertical=st.booleans(), turns=st.integers(0, 3), zoom=st.just(1.0)
)


def coordinates(height: int, width: int) -> Raw:
    """Image and target hold the number of each pixel; every fifth is invalid."""
    number = np.arange(height * width, dtype=np.float32).reshape(height, width)
    known = number % 5 != 0
    return Raw(pixels=number[None], valid=known, target=number[None].copy(), counts=known)


@given(geometry=GEOMETRIES, height=st.integers(1, 9), width=st.integers(1, 9))
def test_image_target_and_masks_move_together_and_nothing_is_lost(geometry, height, width):
    raw = coordinates(height, width)
    moved = geometry.applied(raw)
    np.testing.assert_array_equal(moved.pixels, moved.target)
    np.testing.assert_array_equal(moved.valid, moved.pixels[0] % 5 != 0)
    np.testing.assert_array_equal(moved.counts, moved.valid)
    assert sorted(moved.pixels.ravel().tolist()) == sorted(raw.pixels.ravel().tolist())


def test_all_eight_positions_of_a_square_come_about_equally_often():
    image = np.arange(9).reshape(1, 3, 3)
    seen: dict[bytes, int] = {}
    for seed in range(4000):
        drawn = draw_geometry(ALL, square=True, rng=np.random.default_rng(seed))
        key = np.ascontiguousarray(drawn.moved(image)).tobytes()
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == 8
    assert max(abs(count - 500) for count in seen.values()) < 5 * 500**0.5


@given(seed=st.integers(0, 9999))
def test_a_window_that_is_no_square_stays_as_wide_as_it_is(seed):
    assert draw_geometry(ALL, square=False, rng=np.random.default_rng(seed)).turns in (0, 2)


@given(seed=st.integers(0, 9999))
def test_what_is_switched_off_does_not_happen_and_leaves_the_rest_as_it_was(seed):
    off, on = (
        draw_geometry(spec, square=True, rng=np.random.default_rng(seed))
        for spec in (AugmentSpec(), AugmentSpec(turns=True))
    )
    assert off == Geometry()
    every = draw_geometry(ALL, square=True, rng=np.random.default_rng(seed))
    assert on.turns == every.turns
    assert 0.5 <= every.zoom <= 2
    light = draw_light(AugmentSpec(), 3, np.random.default_rng(seed))
    assert (light.gain, light.noise, light.blur, light.shift.tolist()) == (1, 0, 0, [0, 0, 0])


def test_zooms_are_drawn_evenly_in_their_logarithm():
    zooms = [draw_geometry(ALL, square=True, rng=np.random.default_rng(seed)).zoom for seed in range(2000)]
    assert np.mean(np.log2(zooms)) == pytest.approx(0, abs=5 * (1 / 3) ** 0.5 / 2000**0.5)


@given(height=st.integers(2, 12), width=st.integers(2, 12), rows=st.integers(1, 24), cols=st.integers(1, 24))
def test_labels_of_another_size_are_labels_that_were_there(height, width, rows, cols):
    labels = (np.arange(height * width) % 3).astype(np.uint8).reshape(height, width)
    labels[0, 0] = IGNORE
    pixels = np.repeat(labels[None], 2, axis=0).astype(np.uint16)
    raw = Raw(pixels=pixels, valid=np.ones((height, width), bool), target=labels, counts=labels != IGNORE)
    made = zoomed(raw, rows, cols, labels_seen=False, labels_wanted=True)
    assert made.target is not None
    assert set(np.unique(made.target)) <= set(np.unique(labels))
    np.testing.assert_array_equal(made.counts, made.target != IGNORE)
    assert made.pixels.shape == (2, rows, cols)
    seen = zoomed(Raw(pixels=labels[None], valid=raw.valid, target=pixels, counts=raw.counts), rows, cols,
                  labels_seen=True, labels_wanted=False)  # fmt: skip
    assert set(np.unique(seen.pixels)) <= set(np.unique(labels))


def test_invalid_pixels_lend_nothing_to_their_neighbours():
    pixels = np.full((1, 8, 8), 10, np.float32)
    valid = np.ones((8, 8), bool)
    pixels[:, :, 4:], valid[:, 4:] = np.nan, False
    made = zoomed(
        Raw(pixels=pixels, valid=valid, target=None, counts=valid), 16, 16, labels_seen=False, labels_wanted=False
    )
    np.testing.assert_allclose(made.pixels[0][made.valid], 10, rtol=1e-5)
    np.testing.assert_array_equal(made.valid[:, 7:9], [[True, False]] * 16)


UNITS = Units(centre=np.array([100, 50], np.float32), spread=np.array([10, 20], np.float32))


def test_brightness_is_in_standard_deviations_of_each_band():
    light = draw_light(AugmentSpec(brightness=1), 2, np.random.default_rng(4))
    image = np.full((2, 4, 4), 90, np.float32)
    change = (light.lit(image, UNITS, "uint8") - image)[:, 0, 0]
    assert change == pytest.approx([10 * light.shift[0], 20 * light.shift[0]], abs=1e-4)
    assert 0 < abs(light.shift[0]) <= 1


def test_contrast_leaves_the_mean_where_it_is_and_the_type_bounds_all():
    light = draw_light(AugmentSpec(contrast=3), 2, np.random.default_rng(1))
    mean = np.broadcast_to(UNITS.centre.reshape(2, 1, 1), (2, 3, 3)).astype(np.float32)
    np.testing.assert_allclose(light.lit(mean, UNITS, "uint8"), mean, rtol=1e-6)
    assert 1 / 3 <= light.gain <= 3
    bright = draw_light(AugmentSpec(brightness=10), 2, np.random.default_rng(3)).lit(mean, UNITS, "uint8")
    assert bright.min() >= 0
    assert bright.max() <= 255


def test_colour_is_drawn_for_each_band():
    light = draw_light(AugmentSpec(colour=1), 3, np.random.default_rng(2))
    assert len(set(light.shift.tolist())) == 3
    assert np.abs(light.shift).max() <= 1


def test_noise_and_blur_are_as_strong_as_they_say():
    light = draw_light(AugmentSpec(noise=0.5), 1, np.random.default_rng(8))
    flat = np.zeros((1, 300, 300), np.float32)
    assert light.disturbed(flat, np.random.default_rng(0)).std() == pytest.approx(light.noise, rel=0.02)
    blur = draw_light(AugmentSpec(blur=3), 1, np.random.default_rng(9))
    point = np.zeros((1, 61, 61), np.float32)
    point[0, 30, 30] = 1
    spread = blur.disturbed(point, np.random.default_rng(0))[0]
    row = np.arange(61) - 30
    assert spread.sum() == pytest.approx(1, rel=1e-5)
    assert np.sqrt((spread.sum(axis=0) * row**2).sum()) == pytest.approx(blur.blur, rel=0.03)
    np.testing.assert_allclose(blur.disturbed(flat + 7, np.random.default_rng(0)), 7, rtol=1e-5)
