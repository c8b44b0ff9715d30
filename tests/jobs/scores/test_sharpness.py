from __future__ import annotations

import numpy as np
import pytest

from jobs.scores.restoration import median
from jobs.scores.sharpness import HIGH, MIDDLE, RINGS, ratio, spectrum

EVERYWHERE = np.ones((96, 128), bool)


def waves(frequency: float, angle: float) -> np.ndarray:
    """(1, 96, 128) of so many cycles a pixel."""
    rows, cols = np.mgrid[:96, :128]
    return np.sin(2 * np.pi * frequency * (rows * np.sin(angle) + cols * np.cos(angle)))[None]


@pytest.mark.parametrize("angle", [0.0, 0.6, 1.5708])
@pytest.mark.parametrize("frequency", [0.1, 0.2, 0.35])
def test_waves_lie_in_the_ring_of_their_frequency_whatever_their_direction(frequency, angle):
    found = spectrum(waves(frequency, angle) + 5, EVERYWHERE)
    # A window of 96 px makes a line 4/96 cycles wide: 5 rings, and a little beside it.
    rings = slice(int(frequency * 2 * RINGS) - 4, int(frequency * 2 * RINGS) + 5)
    assert found[rings].sum() > 0.99 * found.sum()


def test_white_noise_has_its_variance_in_every_ring():
    noise = np.random.default_rng(0).normal(3, 2, (1, 96, 128))
    found = spectrum(noise, EVERYWHERE)
    np.testing.assert_allclose(found[4:].reshape(-1, 10).mean(axis=1), 4, rtol=0.2)


def test_power_goes_with_the_square_and_a_blur_takes_the_high_part():
    noise = np.random.default_rng(1).normal(0, 1, (2, 96, 128))
    truth = spectrum(noise, EVERYWHERE)
    assert ratio(truth, truth) == 1
    assert ratio(spectrum(noise / 2 + 9, EVERYWHERE), truth) == pytest.approx(0.25)
    assert ratio(spectrum(noise / 2, EVERYWHERE), truth, MIDDLE) == pytest.approx(0.25)
    assert ratio(spectrum(noise + 9 * waves(0.05, 0.6), EVERYWHERE), truth, HIGH) == pytest.approx(1, abs=0.01)
    assert ratio(spectrum(noise + 9 * waves(0.2, 0.6), EVERYWHERE), truth, HIGH) == pytest.approx(1, abs=0.01)
    assert ratio(spectrum(noise + 9 * waves(0.2, 0.6), EVERYWHERE), truth, MIDDLE) > 10
    blurred = spectrum(median(noise, 3), EVERYWHERE)
    assert ratio(blurred, truth, HIGH) < ratio(blurred, truth, MIDDLE) < 1


def test_what_is_not_valid_adds_nothing_and_nothing_has_no_ratio():
    noise = np.random.default_rng(2).normal(0, 1, (1, 96, 128))
    valid = EVERYWHERE.copy()
    valid[:30] = False
    wild = np.where(valid, noise, 1e9)
    np.testing.assert_allclose(spectrum(wild, valid), spectrum(np.where(valid, noise, -1e9), valid))
    np.testing.assert_allclose(spectrum(noise + 100, valid), spectrum(noise, valid), atol=1e-9)
    assert np.isnan(ratio(spectrum(noise, valid & False), spectrum(noise, valid & False)))
