"""The scanner that the CT denoiser's slices went through."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.phantoms.__main__ import invented
from jobs.phantoms.body import AIR, draw_body
from jobs.phantoms.scanner import scan

SIDE = 64


def disc(units: float) -> np.ndarray:
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    return np.where(x**2 + y**2 < (0.35 * SIDE) ** 2, units, AIR).astype(np.float32)


def scanned(units, photons, seed=0, pixel_mm=4.0):
    return scan(disc(units), pixel_mm=pixel_mm, photons=photons, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("units", [-100.0, 0.0, 60.0])
def test_without_noise_a_tissue_keeps_its_hounsfield_units(units):
    _, clean = scanned(units, 1e5)
    middle = slice(SIDE // 2 - 8, SIDE // 2 + 8)
    assert clean[middle, middle].mean() == pytest.approx(units, abs=12)
    assert clean[:4, :4].mean() == pytest.approx(AIR, abs=12)


def test_noise_falls_with_the_root_of_the_photons():
    few, many = (np.std(np.subtract(*scanned(0.0, photons))) for photons in (1e5, 1.6e6))
    assert few / many == pytest.approx(4, rel=0.15)


def test_a_slice_is_the_same_whatever_was_drawn_before():
    (alone,), (*_, last) = invented(3, 1, "train"), invented(0, 4, "train")
    assert alone.name == last.name
    assert alone.pixel_mm == last.pixel_mm
    np.testing.assert_array_equal(alone.units, last.units)


def test_bodies_are_of_air_fat_and_bone():
    body = draw_body(np.random.default_rng(1), SIDE)
    assert body.min() == AIR
    assert body[SIDE // 2, SIDE // 2] > AIR
    assert (body > 300).any()
