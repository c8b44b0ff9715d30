from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.scores.thresholds import best_threshold, brighter_class, otsu, otsu_minority


def things(seed: int, *, dark: int, bright: int, share: float = 0.2):
    """(1, 40, 50) noise round two values, and where it is bright."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((40, 50)) < share).astype(np.int64)
    return np.where(truth, bright, dark)[None] + rng.normal(0, 2, (1, 40, 50)), truth


def differ(made, wanted) -> float:
    """The share of pixels; scikit-image's threshold lies at the end of the dark heap: a little noise is above it."""
    return float(np.mean(made != wanted))


def test_otsu_parts_two_heaps_and_names_the_bright_one():
    image, truth = things(0, dark=40, bright=160)
    everywhere = np.ones(truth.shape, bool)
    assert differ(otsu(image, everywhere, above=1), truth) < 0.002
    assert differ(otsu(image, everywhere, above=0), 1 - truth) < 0.002


def test_otsu_looks_at_valid_pixels_alone():
    image, truth = things(0, dark=40, bright=160)
    valid = np.ones(truth.shape, bool)
    valid[:20] = False
    image[:, :20] = 600_000
    assert differ(otsu(image, valid, above=1)[20:], truth[20:]) < 0.002
    assert differ(otsu(image, np.ones_like(valid), above=1)[20:], truth[20:]) > 0.1
    assert otsu(image, np.zeros_like(valid), above=1).shape == truth.shape


@pytest.mark.parametrize("rare", [0, 1])
def test_the_smaller_side_is_the_rare_class_whether_dark_or_bright(rare):
    for dark, bright, share in ((40, 160, 0.2), (40, 160, 0.8)):
        image, truth = things(1, dark=dark, bright=bright, share=share)
        smaller = truth if share < 0.5 else 1 - truth
        made = otsu_minority(image, np.ones(truth.shape, bool), rare=rare)
        assert differ(made, smaller if rare == 1 else 1 - smaller) < 0.002


def test_the_best_threshold_finds_band_side_and_value_in_spite_of_unknown_pixels():
    rng = np.random.default_rng(2)
    scenes = []
    for _ in range(2):
        image = rng.integers(0, 256, (3, 30, 30)).astype(np.uint8)
        labels = (image[1] < 100).astype(np.int64)
        known = rng.random((30, 30)) < 0.3
        scenes.append((image, np.where(known, labels, 1 - labels), known))
    found = best_threshold(lambda: scenes)
    assert (found.band, found.above) == (1, 0)
    for image, labels, known in scenes:
        np.testing.assert_array_equal(found(image)[known], labels[known])


@settings(max_examples=30)
@given(seed=st.integers(0, 999))
def test_no_other_threshold_is_better(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 16, (1, 12, 12))
    labels = rng.integers(0, 2, (12, 12))
    known = np.ones(labels.shape, bool)

    def mean_iou(made):
        return np.mean(
            [np.sum((made == c) & (labels == c)) / max(np.sum((made == c) | (labels == c)), 1) for c in (0, 1)]
        )

    tried = [mean_iou(np.where(image[0] > cut, a, 1 - a)) for cut in np.arange(-0.5, 16) for a in (0, 1)]
    assert mean_iou(best_threshold(lambda: [(image, labels, known)])(image)) == pytest.approx(max(tried))


def test_the_brighter_class_is_that_of_the_mean_not_of_the_sum():
    image, truth = things(3, dark=100, bright=120, share=0.1)
    known = np.ones(truth.shape, bool)
    assert brighter_class(lambda: [(image, truth, known)]) == 1
    assert brighter_class(lambda: [(image, 1 - truth, known)]) == 0
