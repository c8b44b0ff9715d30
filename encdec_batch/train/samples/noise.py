"""Noise of known strength, added to clean images.

Sources: Gaussian and Poisson-Gaussian: Foi, Trimeche, Katkovnik, Egiazarian 2008 (Practical Poissonian-Gaussian noise
modeling), equation 2. Speckle of SAR intensity: Goodman 1976 (Some fundamental properties of speckle). Ultrasound:
Loupas, McDicken, Allan 1989 (An adaptive weighted median filter for speckle suppression), equation 8.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encdec_batch.spec.train_target import Gaussian, Noise, PoissonGaussian, Speckle


class Noisy(NamedTuple):
    """An image with noise."""

    pixels: NDArray[np.float32]
    level: float
    """Standard deviation in stored units; where it depends on the signal, the root of the mean variance."""


def add_noise(clean: NDArray[np.float32], noise: Noise, rng: np.random.Generator) -> Noisy:
    """The image with noise on it, not clipped.

    Args:
        clean: any shape, stored units; where variance grows with the signal, negative values have that of 0.
        noise: its kind and strength.
        rng: draws the strength first, where the spec gives a range, then the noise.
    """
    if isinstance(noise, Gaussian):
        sigma = _drawn(noise.sigma, rng)
        return Noisy(clean + np.float32(sigma) * _normal(clean.shape, rng), sigma)
    if isinstance(noise, PoissonGaussian):
        gain, sigma = _drawn(noise.gain, rng), _drawn(noise.sigma, rng)
        signal = np.maximum(clean, 0)
        photons = gain * rng.poisson(signal / gain).astype(np.float32) + np.minimum(clean, 0) if gain else clean
        level = float(np.sqrt(gain * signal.mean(dtype=np.float64) + sigma**2))
        return Noisy((photons + np.float32(sigma) * _normal(clean.shape, rng)).astype(np.float32), level)
    if isinstance(noise, Speckle):
        looks = _drawn(noise.looks, rng)
        factor = rng.standard_gamma(looks, clean.shape, dtype=np.float32) / np.float32(looks)
        return Noisy(clean * factor, float(np.sqrt(np.mean(np.square(clean, dtype=np.float64)) / looks)))
    sigma = _drawn(noise.sigma, rng)
    signal = np.maximum(clean, 0)
    noisy = clean + np.float32(sigma) * np.sqrt(signal) * _normal(clean.shape, rng)
    return Noisy(noisy, sigma * float(np.sqrt(signal.mean(dtype=np.float64))))


def quantised(pixels: NDArray[np.float32], dtype: str) -> NDArray[np.float32]:
    """Rounded, halves up, and clipped to what an integer type holds; floats as they are."""
    if np.dtype(dtype).kind == "f":
        return pixels
    held = np.iinfo(np.dtype(dtype))
    rounded: NDArray[np.float32] = np.clip(np.floor(pixels + np.float32(0.5)), held.min, held.max)
    return rounded.astype(np.float32, copy=False)


def _drawn(amount: float | tuple[float, float], rng: np.random.Generator) -> float:
    return float(rng.uniform(*amount)) if isinstance(amount, tuple) else amount


def _normal(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.standard_normal(shape, dtype=np.float32)
