from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.spec.train_target import Gaussian, PoissonGaussian, Speckle, Ultrasound
from encdec_batch.train.samples.noise import add_noise, quantised

NUMBER = 200_000
MODELS = {
    # For a constant signal x: the variance that the cited source gives.
    "gaussian": (Gaussian(kind="gaussian", sigma=25), lambda x: 625),
    "poisson": (PoissonGaussian(kind="poisson_gaussian", gain=2, sigma=0), lambda x: 2 * x),
    "poisson_gaussian": (PoissonGaussian(kind="poisson_gaussian", gain=0.5, sigma=3), lambda x: 0.5 * x + 9),
    "no_photons": (PoissonGaussian(kind="poisson_gaussian", gain=0, sigma=4), lambda x: 16),
    "speckle": (Speckle(kind="speckle", looks=4), lambda x: x * x / 4),
    "ultrasound": (Ultrasound(kind="ultrasound", sigma=2), lambda x: 4 * x),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("value", [3.0, 120.0])
def test_mean_and_variance_are_those_of_the_model(name, value):
    noise, variance = MODELS[name]
    noisy, level = add_noise(np.full(NUMBER, value, np.float32), noise, np.random.default_rng(5))
    std = np.sqrt(variance(value))
    # Five standard errors; fourth moments of none of these exceed ten times the squared variance.
    assert noisy.mean(dtype=float) == pytest.approx(value, abs=5 * std / np.sqrt(NUMBER))
    assert noisy.std(dtype=float) == pytest.approx(std, rel=5 * 3 / np.sqrt(NUMBER))
    assert level == pytest.approx(std, rel=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_the_level_is_the_root_of_the_mean_variance_of_an_image(name):
    noise, _ = MODELS[name]
    clean = np.random.default_rng(1).uniform(0, 255, NUMBER).astype(np.float32)
    noisy, level = add_noise(clean, noise, np.random.default_rng(2))
    assert float(np.sqrt(np.mean(np.square(noisy - clean, dtype=float)))) == pytest.approx(level, rel=0.02)


@given(seed=st.integers(0, 10_000), low=st.floats(0, 50), span=st.floats(0, 50))
def test_a_strength_is_drawn_between_its_bounds_and_known(seed, low, span):
    clean = np.zeros((1, 4, 4), np.float32)
    noise = Gaussian(kind="gaussian", sigma=(low, low + span))
    one, two = (add_noise(clean, noise, np.random.default_rng(seed)) for _ in range(2))
    assert low <= one.level <= low + span
    assert one.level == two.level
    np.testing.assert_array_equal(one.pixels, two.pixels)
    assert one.pixels.dtype == np.float32


@pytest.mark.parametrize("name", MODELS)
def test_below_zero_there_is_no_light_and_no_fault(name):
    noisy, level = add_noise(np.full((1, 9, 9), -5, np.float32), MODELS[name][0], np.random.default_rng(0))
    assert np.isfinite(noisy).all()
    assert np.isfinite(level)


def test_quantised_values_are_those_a_file_could_hold():
    values = np.array([-1, 0.4, 0.5, 254.6, 300], np.float32)
    np.testing.assert_array_equal(quantised(values, "uint8"), [0, 0, 1, 255, 255])
    np.testing.assert_array_equal(quantised(values, "float32"), values)
