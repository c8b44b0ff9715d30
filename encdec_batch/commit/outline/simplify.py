"""Fewer points in a ring: none of those left out is further from the line than a tolerance.

Source: Douglas and Peucker 1973, Algorithms for the reduction of the number of points required to represent a digitized
line or its caricature.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encdec_batch.commit.outline.region import Ring


def simplified(ring: Ring, tolerance: float) -> Ring:
    """The points that stay, in their order; all of them where fewer than three would.

    Each ring is looked at by itself: rings that nearly touch may cross by up to the tolerance.

    Args:
        ring: (points, 2).
        tolerance: pixels; 0 leaves every ring as it is.
    """
    if tolerance <= 0 or len(ring) < 4:
        return ring
    far = int(((ring - ring[0]) ** 2).sum(axis=1).argmax())
    # Closed, so that the last part has an end.
    points = np.concatenate([ring, ring[:1]]).astype(np.float64)
    stays = np.zeros(len(points), np.bool_)
    stays[[0, far, -1]] = True
    parts = [(0, far), (far, len(ring))]
    while parts:
        start, stop = parts.pop()
        if stop - start < 2:
            continue
        distance = _distances(points[start + 1 : stop], points[start], points[stop])
        furthest = int(distance.argmax())
        if distance[furthest] > tolerance:
            middle = start + 1 + furthest
            stays[middle] = True
            parts += [(start, middle), (middle, stop)]
    found = ring[stays[:-1]]
    return found if len(found) >= 3 else ring


def _distances(
    points: NDArray[np.float64], start: NDArray[np.float64], stop: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of points to the line between two others: to where it ends, if it ends before."""
    along = stop - start
    length = float(along @ along)
    share = np.clip((points - start) @ along / length, 0, 1) if length else np.zeros(len(points))
    away = points - start - share[:, None] * along
    found: NDArray[np.float64] = np.hypot(away[:, 0], away[:, 1])
    return found
