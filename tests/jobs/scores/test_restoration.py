from __future__ import annotations

import numpy as np
import pytest

from jobs.scores.restoration import as_file, bicubic, luma, median, nl_means, shaved


def test_a_median_takes_away_what_is_smaller_than_half_its_window():
    image = np.full((2, 20, 30), 50, np.uint8)
    image[0, 5, 5] = image[1, 0, 0] = 255
    np.testing.assert_array_equal(median(image, 3), 50)
    image[:, 10:12, 10:13] = 255
    assert median(image, 3).max() == 255
    np.testing.assert_array_equal(median(image, 5), 50)


@pytest.mark.parametrize("bands", [1, 3])
def test_non_local_means_keep_an_edge_and_lose_most_of_the_noise(bands):
    clean = np.full((bands, 40, 40), 60.0, np.float32)
    clean[..., 20:] = 180
    noisy = clean + np.random.default_rng(0).normal(0, 20, clean.shape).astype(np.float32)
    made = nl_means(noisy, 20)
    assert made.shape == clean.shape
    assert np.sqrt(np.mean((made - clean) ** 2)) < 20 / 3
    # A blur of the same strength would not.
    assert np.abs(made - clean)[..., 19:21].mean() < 10
    np.testing.assert_array_equal(nl_means(noisy, 0), noisy)


def test_bicubic_goes_on_with_a_slope_where_pixels_have_their_centres():
    ramp = np.tile(np.arange(12, dtype=np.uint8)[None, None], (1, 12, 1))
    made = bicubic(ramp, 2)
    assert made.shape == (1, 24, 24)
    np.testing.assert_allclose(made[0, 5, 4:-4], np.arange(4, 20) / 2 - 0.25, atol=1e-5)


def test_files_hold_whole_numbers_within_their_type():
    values = np.array([[[-3.0, 7.4, 7.5, 300.0]]])
    assert as_file(values, "uint8").ravel().tolist() == [0, 7, 8, 255]
    assert as_file(values, "float32").ravel().tolist() == [-3.0, 7.4, 7.5, 300.0]


def test_luma_is_that_of_matlab():
    colours = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]).T[:, None]
    assert luma(colours).ravel().tolist() == [16, 235, 81, 145, 41]
    np.testing.assert_array_equal(luma(colours[:1]), colours[:1])


def test_a_border_is_left_out():
    truth = np.random.default_rng(0).uniform(0, 255, (1, 30, 30))
    made, valid = truth.copy(), np.ones((30, 30), bool)
    made[:, :2] += 9
    made[..., -2:] -= 9
    assert shaved(truth, made, valid, border=2, span=255).psnr == np.inf
    wrong = shaved(truth, made, valid, border=1, span=255)
    # 28 pixels of a row and a column each, one of them twice.
    assert (wrong.values, wrong.absolute) == (28 * 28, pytest.approx(9 * 54))
    assert shaved(truth, made, valid, border=0, span=255).values == 900
