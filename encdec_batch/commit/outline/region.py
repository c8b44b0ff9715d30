"""Connected pixels of a class while their outline is found: rings that are closed, and the wish to become one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.int64]
"""(points, 2) of x and y: corners of pixels; not closed, the last is followed by the first."""


class Polygon(NamedTuple):
    """Connected pixels of a class: their outline, and those of what they surround."""

    rings: list[Ring]
    """The shell first. Rings may touch in a point, and cross nowhere."""
    area: int
    """Pixels."""


class Region:
    """What is known of connected pixels so far. Of two that turn out to be one, one points to the other."""

    __slots__ = ("into", "rings")

    def __init__(self) -> None:
        self.into = self
        self.rings: list[NDArray[np.int64]] = []
        """Each as horizontal edges in order, (edges, 3): y, x of the tail, x of the head."""

    def root(self) -> Region:
        """The one that stands for all that are one with it."""
        found = self
        while found.into is not found:
            found.into = found.into.into
            found = found.into
        return found

    def join(self, other: Region) -> None:
        """From now on both are one."""
        one, two = self.root(), other.root()
        if one is two:
            return
        if len(one.rings) < len(two.rings):
            one, two = two, one
        one.rings += two.rings
        two.rings = []
        two.into = one

    def polygon(self) -> Polygon:
        """Once all its rings are closed."""
        rings, total = [], 0
        for edges in self.rings:
            # Green's theorem; horizontal edges alone count.
            total += int((edges[:, 0] * (edges[:, 1] - edges[:, 2])).sum())
            rings += _simple_rings(edges)
        # The shell has the topmost corner of all, and of those the leftmost.
        return Polygon(rings=sorted(rings, key=lambda ring: (ring[0, 1], ring[0, 0])), area=total)


def _simple_rings(edges: NDArray[np.int64]) -> list[Ring]:
    """A ring that comes back to a corner is several, which touch there: GeoJSON's rings do not touch themselves."""
    points = np.empty((2 * len(edges), 2), np.int64)
    points[0::2, 0], points[1::2, 0] = edges[:, 1], edges[:, 2]
    points[0::2, 1] = points[1::2, 1] = edges[:, 0]
    keys = [(int(x), int(y)) for x, y in points.tolist()]
    if len(set(keys)) == len(keys):
        return [_from_top(points)]
    found, path, place = [], list[tuple[int, int]](), dict[tuple[int, int], int]()
    for key in keys:
        if key in place:
            loop = path[place[key] :]
            found.append(_from_top(np.array(loop)))
            for passed in loop:
                del place[passed]
            del path[len(path) - len(loop) :]
        place[key] = len(path)
        path.append(key)
    found.append(_from_top(np.array(path)))
    return found


def _from_top(ring: Ring) -> Ring:
    """Where a ring begins must not hang on the strips in which it was found."""
    return np.roll(ring, -int(np.lexsort((ring[:, 0], ring[:, 1]))[0]), axis=0)
