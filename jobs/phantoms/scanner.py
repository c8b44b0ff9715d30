"""A CT scanner of parallel beams, as the textbooks have it: Beer and Lambert, Poisson, filtered back-projection.

Source: Kak and Slaney, Principles of Computerized Tomographic Imaging, 1988, chapters 3 and 4. Left out are the
hardening of the beam, scatter, and the cone and helix of the machines of today.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.transform import iradon, radon

WATER_PER_MM = 0.02
"""Attenuation of water at some 60 keV, by millimetre."""
ANGLES = 180
ELECTRONS = 8.0
"""Standard deviation of what the detector adds, in photons."""


def scan(
    units: NDArray[np.float32], *, pixel_mm: float, photons: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a scanner makes of a slice at a low dose, and what it would make of it without noise.

    Args:
        units: (side, side) in Hounsfield units.
        pixel_mm: side of a pixel.
        photons: of each beam, before the body.
        rng: of the noise.

    Returns:
        Two slices of the same shape, in Hounsfield units.
    """
    theta = np.linspace(0, 180, ANGLES, endpoint=False)
    # Beams of the corners too: the square is set into one that holds it whichever way it is turned.
    lines = radon((units.astype(np.float64) / 1000 + 1).clip(0), theta, circle=False) * pixel_mm * WATER_PER_MM
    counted = rng.poisson(photons * np.exp(-lines)) + rng.normal(0, ELECTRONS, lines.shape)
    noisy = -np.log(counted.clip(1) / photons)
    low, clean = (_reconstructed(one / (pixel_mm * WATER_PER_MM), theta, len(units)) for one in (noisy, lines))
    return low, clean


def _reconstructed(lines: NDArray[np.float64], theta: NDArray[np.float64], side: int) -> NDArray[np.float32]:
    attenuation = iradon(lines, theta, output_size=side, filter_name="ramp", circle=False)
    units: NDArray[np.float32] = ((attenuation - 1) * 1000).astype(np.float32)
    return units
