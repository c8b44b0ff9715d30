"""Scores against a count pixel by pixel, and the law that parts add up to the whole."""

from __future__ import annotations

from math import exp, inf, isnan, log10

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.train.evaluation.metrics import Confusion, Fidelity, mean_of

SIDES = st.integers(1, 12)
SCIKIT_IMAGE = (24.83948521531941, 0.8530230349500973)
"""PSNR and SSIM of the two images below."""


@st.composite
def labelled(draw):
    """Right and predicted classes of a few pixels, and which are known."""
    shape, classes = (draw(SIDES), draw(SIDES)), draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    truth = rng.integers(0, classes, shape)
    known = rng.random(shape) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    return np.where(known, truth, 255), rng.integers(0, classes, shape), known, classes


@given(labelled())
def test_scores_of_classes_are_those_of_sets_of_pixels(case):
    truth, predicted, known, classes = case
    found = Confusion.of(truth, predicted, known, classes)
    for k in range(classes):
        right = {tuple(p) for p in np.argwhere(known & (truth == k))}
        said = {tuple(p) for p in np.argwhere(known & (predicted == k))}
        scores = {
            "iou": (len(right & said), len(right | said)),
            "dice": (2 * len(right & said), len(right) + len(said)),
            "precision": (len(right & said), len(said)),
            "recall": (len(right & said), len(right)),
        }
        for name, (part, whole) in scores.items():
            value = getattr(found, name)[k]
            assert value == pytest.approx(part / whole) if whole else isnan(value)
    hits = sum(int(t == p) for t, p, w in zip(truth.flat, predicted.flat, known.flat, strict=True) if w)
    assert found.accuracy == pytest.approx(hits / known.sum()) if known.any() else isnan(found.accuracy)


@given(labelled(), st.integers(0, 12))
def test_counts_add_up_over_tiles(case, cut):
    truth, predicted, known, classes = case
    parts = [Confusion.of(truth[s], predicted[s], known[s], classes) for s in (np.s_[:cut], np.s_[cut:])]
    assert np.array_equal((parts[0] + parts[1]).counts, Confusion.of(truth, predicted, known, classes).counts)


def test_figures_are_named_by_class_and_absent_classes_have_no_part_in_means():
    found = Confusion(counts=np.array([[6, 2, 0], [0, 4, 0], [0, 0, 0]]))
    figures = found.figures(["sky", "road", "ship"])
    assert figures["iou/sky"] == pytest.approx(6 / 8)
    assert figures["iou/road"] == pytest.approx(4 / 6)
    assert isnan(figures["iou/ship"])
    assert figures["mean_iou"] == pytest.approx((6 / 8 + 4 / 6) / 2)
    assert figures["pixels"] == 12


def slow_ssim(x, y, valid, span):
    """Window by window, as the paper's equation 13 is written."""
    weights = np.array([[exp(-(i * i + j * j) / (2 * 1.5**2)) for j in range(-5, 6)] for i in range(-5, 6)])
    weights /= weights.sum()
    c1, c2, values = (0.01 * span) ** 2, (0.03 * span) ** 2, []
    for channel_x, channel_y in zip(x, y, strict=True):
        for row in range(x.shape[1] - 10):
            for col in range(x.shape[2] - 10):
                window = np.s_[row : row + 11, col : col + 11]
                if not valid[window].all():
                    continue
                a, b = channel_x[window], channel_y[window]
                mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
                var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
                both = (weights * (a - mean_a) * (b - mean_b)).sum()
                top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
                values.append(top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))
    return np.mean(values)


@pytest.mark.parametrize("holes", [False, True])
def test_similarity_is_the_papers(holes):
    rng = np.random.default_rng(3)
    truth = rng.random((2, 17, 23)) * 255
    image = truth + rng.normal(0, 25, truth.shape)
    valid = np.ones((17, 23), bool)
    valid[3, 4] = not holes
    found = Fidelity.of(truth, image, valid, 255)
    assert found.ssim == pytest.approx(slow_ssim(truth, image, valid, 255), rel=1e-9)
    squares = [(a - b) ** 2 for a, b in zip(truth[:, valid].flat, image[:, valid].flat, strict=True)]
    assert found.psnr == pytest.approx(10 * log10(255**2 / (sum(squares) / len(squares))))


def test_similarity_and_psnr_are_those_of_scikit_image():
    """scikit-image 0.25.2, gaussian_weights, sigma 1.5, use_sample_covariance false, data_range 255."""
    rows, cols = np.mgrid[:32, :40]
    truth = (127 + 100 * np.sin(rows / 3) * np.cos(cols / 5))[None]
    image = truth + 20 * np.cos(rows * cols / 7)[None]
    found = Fidelity.of(truth, image, np.ones((32, 40), bool), 255)
    assert (found.psnr, found.ssim) == pytest.approx(SCIKIT_IMAGE, rel=1e-9)


def test_equal_images_and_images_too_small_for_a_window():
    image = np.random.default_rng(0).random((1, 16, 16))
    valid = np.ones((16, 16), bool)
    same = Fidelity.of(image, image, valid, 1)
    assert (same.psnr, same.ssim) == (inf, pytest.approx(1))
    small = Fidelity.of(image[:, :10], image[:, :10], valid[:10], 1)
    assert isnan(small.ssim)
    assert isnan(Fidelity.of(image, image, ~valid, 1).psnr)


def test_sums_of_scenes_add_up():
    rng = np.random.default_rng(5)
    scenes = [(rng.random((1, 20, 20)), rng.random((1, 20, 20))) for _ in range(2)]
    valid = np.ones((20, 20), bool)
    one, two = (Fidelity.of(a, b, valid, 1) for a, b in scenes)
    both = one + two
    mse = np.mean([(a - b) ** 2 for a, b in scenes])
    assert both.psnr == pytest.approx(10 * log10(1 / mse))
    assert both.ssim == pytest.approx((one.ssim + two.ssim) / 2)
    with pytest.raises(ValueError, match="no common score"):
        one + Fidelity.of(*scenes[0], valid, 2)


def test_a_mean_without_numbers_is_none():
    assert mean_of([1.0, float("nan"), 2.0]) == 1.5
    assert isnan(mean_of([]))
