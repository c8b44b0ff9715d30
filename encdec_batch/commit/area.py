"""How much ground the pixels of a class cover: square metres on the WGS 84 ellipsoid, whatever the CRS.

A CRS's own metres are none to rely on: Web Mercator's are 1.47 times too long at 47 degrees, which makes areas 2.15
times too large, and degrees are no unit of area. So a block's outline is mapped to longitude and latitude, and its
area there, shared by its pixels alike, is that of each of them. Within a block the scale of a CRS changes by a few
parts in a thousand at most for pixels of metres.

Source: Snyder 1987, Map Projections: A Working Manual, USGS Professional Paper 1395, equation 3-12 (authalic
latitude): the area between the equator and a latitude has a closed form, so that of a polygon is a sum over its edges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encdec_batch.commit.footprint import Ring, has_place, outlines
from encdec_batch.commit.geo import Geo
from encdec_batch.errors import UnsupportedScene
from encdec_batch.window import Window

_SEMI_MAJOR_M = 6_378_137.0
_FLATTENING = 1 / 298.257223563
_E2 = _FLATTENING * (2 - _FLATTENING)
_E = math.sqrt(_E2)


def class_areas(blocks: Sequence[tuple[Window, Sequence[int]]], geo: Geo) -> list[float] | None:
    """Square metres of each class over all blocks of a scene.

    Args:
        blocks: output window and pixels of each class, a block each.
        geo: of the output.

    Returns:
        As many as there are classes; None where the scene has no place on Earth, and where classified pixels lie in
        a block whose outline leaves it (the limb of a full disk).
    """
    try:
        if not has_place(geo):
            return None
        filled = [(window, counts) for window, counts in blocks if any(counts)]
        rings = outlines([window for window, _ in filled], geo)
    except UnsupportedScene:
        return None
    total = np.zeros(len(blocks[0][1]))
    for (window, counts), ring in zip(filled, rings, strict=True):
        if ring is None:
            return None
        total += np.asarray(counts) * (ring_area(ring) / window.num_pixels)
    return [float(area) for area in total]


def ring_area(ring: Ring) -> float:
    """Square metres inside a closed ring of longitudes and latitudes in degrees.

    Args:
        ring: (points, 2), longitudes without jumps; one that goes round a pole ends 360 degrees off and holds the pole.
    """
    longitude = np.radians(ring[:, 0])
    # Measured from a pole instead of the equator: for a ring that closes any origin will do, round a pole this one.
    pole = math.copysign(90.0, float(ring[:, 1].mean()))
    height = _area_from_equator(ring[:, 1]) - _area_from_equator(np.array([pole]))
    return abs(float(np.sum(np.diff(longitude) * (height[1:] + height[:-1]) / 2)))


def _area_from_equator(latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square metres between the equator and a latitude in degrees, for each radian of longitude."""
    sine = np.sin(np.radians(latitude))
    semi_minor2 = _SEMI_MAJOR_M**2 * (1 - _E2)
    zone: NDArray[np.float64] = semi_minor2 / 2 * (sine / (1 - _E2 * sine**2) + np.arctanh(_E * sine) / _E)
    return zone
