from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import label
from skimage.metrics import adapted_rand_error
from skimage.segmentation import expand_labels

from jobs.scores.overlap import paper_way, rand, weighted


def test_classes_weigh_as_many_pixels_as_they_have():
    """By hand, as sklearn 1.x defines average="weighted"."""
    found = weighted(np.array([[6, 2], [1, 1]]))
    assert found == {
        "precision": pytest.approx(0.8 * 6 / 7 + 0.2 * 1 / 3),
        "recall": pytest.approx(0.7),
        "jaccard": pytest.approx(0.8 * 6 / 9 + 0.2 * 1 / 4),
    }


def test_a_class_that_is_never_predicted_has_precision_0_and_one_that_is_not_there_no_weight():
    assert weighted(np.array([[3, 0], [1, 0]]))["precision"] == pytest.approx(0.75 * 3 / 4)
    assert weighted(np.array([[3, 1], [0, 0]])) == pytest.approx({"precision": 1, "recall": 0.75, "jaccard": 0.75})


def test_f1_is_the_harmonic_mean_of_two_means():
    images = [
        {"precision": 1.0, "recall": 0.5, "jaccard": 0.2},
        {"precision": 0.5, "recall": 0.9, "jaccard": 0.4},
    ]
    found = paper_way(images)
    assert found["weighted_f1"] == pytest.approx(2 * 0.75 * 0.7 / 1.45)
    assert found["weighted_jaccard"] == pytest.approx(0.3)
    # Not the mean of the images' own.
    assert found["weighted_f1"] != pytest.approx((2 / 3 + 2 * 0.45 / 1.4) / 2)


def test_f1_of_the_published_figures():
    """metrics_3d.csv of the paper's repository: precision .9571, recall .9473, F1 .9522."""
    assert paper_way([{"precision": 0.9571, "recall": 0.9473, "jaccard": 0}])["weighted_f1"] == pytest.approx(
        0.9522, abs=5e-5
    )


def walls(*columns: int, width: int = 1, rows: int | None = None) -> np.ndarray:
    """(20, 41) True on membranes that begin at these columns, along all rows or the first ones."""
    found = np.zeros((20, 41), bool)
    for col in columns:
        found[:rows, col : col + width] = True
    return found


EVERYWHERE = np.ones((20, 41), bool)


def test_a_membrane_that_is_missed_merges_and_one_that_is_made_up_splits():
    truth = walls(20)
    assert rand(truth, truth, EVERYWHERE) == {"rand_split": 1, "rand_merge": 1, "rand": 1}
    missed = rand(truth, walls(), EVERYWHERE)
    # Two regions of one half: sum of squares 1/2 against 1.
    assert (missed["rand_split"], missed["rand_merge"]) == (1, pytest.approx(0.5))
    assert missed["rand"] == pytest.approx(2 / 3)
    made_up = rand(walls(), truth, EVERYWHERE)
    # The membrane's own column goes to one of its sides: 20 and 21 columns.
    assert (made_up["rand_split"], made_up["rand_merge"]) == (pytest.approx((20**2 + 21**2) / 41**2), 1)
    # A membrane with a gap divides nothing.
    assert rand(truth, walls(20, rows=19), EVERYWHERE)["rand_merge"] == pytest.approx(0.5)


def test_a_membrane_that_is_too_wide_is_not_punished():
    assert rand(walls(20), walls(18, width=5), EVERYWHERE)["rand"] == 1


def test_what_is_not_known_and_the_right_membrane_do_not_count():
    truth, made = walls(20), walls(20, 30)
    left = EVERYWHERE.copy()
    left[:, 21:] = False
    assert rand(truth, made, EVERYWHERE)["rand_split"] < 1
    assert rand(truth, made, left)["rand"] == 1
    assert rand(truth, ~walls(), EVERYWHERE) == {
        "rand_split": 1,
        "rand_merge": pytest.approx(0.5),
        "rand": pytest.approx(2 / 3),
    }


def test_scikit_image_says_the_same_with_the_two_in_each_others_place():
    rng = np.random.default_rng(0)
    truth, made = rng.random((150, 150)) < 0.42, rng.random((150, 150)) < 0.39
    found = rand(truth, made, np.ones(truth.shape, bool))
    grown = expand_labels(label(~made, connectivity=1), distance=300)
    error, first, second = adapted_rand_error(label(~truth, connectivity=1), grown)
    # It counts pairs of different pixels, the paper all pairs.
    assert found["rand_split"] == pytest.approx(first, abs=2e-3)
    assert found["rand_merge"] == pytest.approx(second, abs=2e-3)
    assert found["rand"] == pytest.approx(1 - error, abs=2e-3)
    assert abs(first - second) > 0.02
