from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from encdec_batch.train.samples.resample import enlarge, nearest, resized, shrink


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


@given(seed=st.integers(0, 999), rows=st.integers(6, 15), cols=st.integers(6, 15), scale=st.integers(2, 4))
def test_pillow_shrinks_so_away_from_the_border(seed, rows, cols, scale):
    image = noise(seed, 1, rows * scale, cols * scale)
    # Pillow's bicubic is that of Keys with a = -1/2 too, widened in the same way; only its border differs.
    theirs = np.asarray(Image.fromarray(image[0]).resize((cols, rows), Image.Resampling.BICUBIC))
    ours = shrink(image, scale)[0]
    np.testing.assert_allclose(ours[2:-2, 2:-2], theirs[2:-2, 2:-2], atol=2e-3)


@given(seed=st.integers(0, 999), rows=st.integers(6, 15), cols=st.integers(6, 15), scale=st.integers(2, 4))
def test_pillow_enlarges_so_away_from_the_border(seed, rows, cols, scale):
    image = noise(seed, 1, rows, cols)
    theirs = np.asarray(Image.fromarray(image[0]).resize((cols * scale, rows * scale), Image.Resampling.BICUBIC))
    inside = (slice(2 * scale, -2 * scale),) * 2
    np.testing.assert_allclose(enlarge(image, scale)[0][inside], theirs[inside], atol=2e-3)


def test_the_weights_of_a_half_are_those_that_matlab_prints():
    """As in `contributions` of imresize.m for scale 1/2, to 8 digits."""
    image = np.zeros((1, 2, 32), np.float32)
    image[..., 16] = 1
    response = shrink(image, 2)[0, 0]
    wanted = {5: 0, 6: -0.01171875, 7: 0.11328125, 8: 0.43359375, 9: -0.03515625, 10: 0}
    assert {at: float(response[at]) for at in wanted} == pytest.approx(wanted, abs=1e-8)


@given(seed=st.integers(0, 999), side=st.integers(1, 9), scale=st.integers(2, 4))
def test_beyond_the_border_the_image_is_mirrored_with_its_border_pixel(seed, side, scale):
    image = noise(seed, 2, side * scale, (side + 1) * scale)
    wide = np.pad(image, ((0, 0), (3 * scale, 3 * scale), (3 * scale, 3 * scale)), mode="symmetric")
    np.testing.assert_allclose(shrink(image, scale), shrink(wide, scale)[:, 3:-3, 3:-3], atol=1e-3)


@given(seed=st.integers(0, 999), scale=st.integers(2, 4))
def test_mirrors_and_turns_may_come_before_or_after(seed, scale):
    image = noise(seed, 1, 5 * scale, 7 * scale)
    for moved in (lambda x: x[..., ::-1], lambda x: x[..., ::-1, :], lambda x: np.rot90(x, 2, (-2, -1))):
        np.testing.assert_allclose(shrink(moved(image), scale), moved(shrink(image, scale)), atol=1e-3)


@pytest.mark.parametrize(("value", "dtype", "wanted"), [(300, "uint8", 255), (-3, "uint8", 0), (7.5, "uint8", 8)])
def test_integers_are_rounded_halves_up_and_clipped(value, dtype, wanted):
    image = np.full((1, 8, 8), value, np.float32)
    np.testing.assert_array_equal(shrink(image, 2, dtype=dtype), wanted)
    np.testing.assert_allclose(shrink(image, 2, dtype="float32"), value, rtol=1e-6)


@given(seed=st.integers(0, 99), rows=st.integers(1, 40), cols=st.integers(1, 40))
def test_another_size_keeps_what_is_constant_and_labels_that_were_there(seed, rows, cols):
    np.testing.assert_allclose(resized(np.full((2, 17, 23), 9, np.float32), rows, cols), 9, rtol=1e-5)
    labels = np.random.default_rng(seed).choice([3, 7, 255], (17, 23)).astype(np.uint8)
    assert set(np.unique(nearest(labels, rows, cols))) <= {3, 7, 255}
    np.testing.assert_array_equal(nearest(labels, 17, 23), labels)
    np.testing.assert_array_equal(nearest(labels, 34, 46), labels.repeat(2, 0).repeat(2, 1))


def test_pillow_resizes_so():
    image = noise(3, 1, 40, 60)
    for rows, cols in ((20, 30), (80, 90), (13, 71)):
        theirs = np.asarray(Image.fromarray(image[0]).resize((cols, rows), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(resized(image, rows, cols)[0, 4:-4, 4:-4], theirs[4:-4, 4:-4], atol=2e-3)
