from __future__ import annotations

import numpy as np
import pytest

from jobs.scores.translation import agreement, fit, ndvi


def test_least_squares_find_what_is_linear_and_the_mean_beside_it():
    rng = np.random.default_rng(0)
    weights, offset = np.array([[0.5, -2.0, 0.25], [0.0, 1.0, 3.0]]), np.array([7.0, -1.0])
    scenes = []
    for _ in range(3):
        image = rng.integers(0, 256, (3, 8, 9)).astype(np.uint8)
        target = (np.tensordot(weights, image, 1) + offset[:, None, None]).astype(np.float32)
        counts = rng.random((8, 9)) < 0.8
        scenes.append((image, np.where(counts, target, np.float32(1e6)), counts))
    mean, linear = fit(scenes)
    np.testing.assert_allclose(linear.weights, weights, atol=1e-6)
    np.testing.assert_allclose(linear.offset, offset, atol=1e-4)
    known = np.concatenate([target[:, counts] for _, target, counts in scenes], axis=1)
    made = mean(scenes[0][0])
    assert made.shape == (2, 8, 9)
    np.testing.assert_allclose(made[:, 0, 0], known.mean(axis=1), rtol=1e-5)
    assert np.ptp(made[0]) == 0


def test_of_classes_as_bands_it_is_the_mean_of_each_class():
    labels = np.array([[0, 0, 1], [1, 2, 2]])
    seen = (labels[None] == np.arange(4)[:, None, None]).astype(np.float32)
    target = np.array([[[10.0, 20.0, 5.0], [7.0, 1.0, 3.0]]])
    _, linear = fit([(seen, target, np.ones(labels.shape, bool))])
    np.testing.assert_allclose(linear(seen)[0], np.array([[15, 15, 6], [6, 2, 2]]), atol=1e-5)


def test_the_index_of_known_numbers():
    found = ndvi(np.array([3, 1, 0, 200], np.uint8), np.array([1, 3, 0, 200], np.uint8))
    np.testing.assert_array_equal(found, [0.5, -0.5, np.nan, 0])


def test_agreement_is_of_what_both_know():
    truth = np.array([0.1, 0.4, np.nan, -0.2, 0.5])
    error, correlation = agreement(np.array([0.2, 0.5, 0.9, -0.1, 0.6]), truth)
    assert (error, correlation) == (pytest.approx(0.1), pytest.approx(1))
    assert agreement(-truth, truth)[1] == pytest.approx(-1)
    error, correlation = agreement(np.zeros(5), truth)
    assert error == pytest.approx(0.3)
    assert np.isnan(correlation)
    assert np.isnan(agreement(np.full(2, np.nan), np.zeros(2))).all()
