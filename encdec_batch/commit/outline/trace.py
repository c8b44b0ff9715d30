"""Outlines of one class of a mask that comes strip by strip.

In memory are one strip and the outlines of what reaches its last row. Of what has more corners than that, as noise
may, all that is open is closed at that row: it goes on below as other polygons, which share the line. Rasterised they
are the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain as joined

import numpy as np
from numpy.typing import NDArray

from encdec_batch.commit.outline.edges import NONE, StripEdges, strip_edges
from encdec_batch.commit.outline.region import Polygon, Region

MAX_HELD = 1 << 20
"""Of regions that are open: horizontal edges, and what rings and pieces of them take beside. Some 300 MB when all that
becomes one polygon."""
_RING, _PIECE = 16, 4
"""What an array takes, in edges."""
STRIP_PIXELS = 1 << 20
"""Looked at together: what a strip of noise takes at most is some 300 bytes a pixel."""


class _Chain:
    """A part of an outline, both of whose ends go on below the last row."""

    __slots__ = ("end_x", "into", "pieces", "region", "start_x")

    def __init__(self, start_x: int) -> None:
        self.start_x = self.end_x = start_x
        self.pieces: deque[NDArray[np.int64]] = deque()
        self.region = Region()
        self.into: _Chain = self

    def root(self) -> _Chain:
        """The chain that this one has become part of."""
        found = self
        while found.into is not found:
            found.into = found.into.into
            found = found.into
        return found

    def lead_into(self, other: _Chain) -> None:
        """`other` begins where this one ends."""
        if len(self.pieces) < len(other.pieces):
            other.pieces.extendleft(reversed(self.pieces))
            self.pieces = other.pieces
        else:
            self.pieces.extend(other.pieces)
        self.end_x = other.end_x
        self.region.join(other.region)
        other.into = self

    def edges(self) -> NDArray[np.int64]:
        return np.concatenate(list(self.pieces))


class Tracer:
    """Takes a mask of one class from top to bottom, and gives each polygon once it is closed."""

    def __init__(self, width: int, *, max_held: int = MAX_HELD) -> None:
        self._max_held = max_held
        self._above = np.zeros(width, np.bool_)
        self._row = 0
        self._chains: list[_Chain] = []
        self.cuts: list[int] = []
        """Rows at which all that was open was closed."""

    def push(self, strip: NDArray[np.bool_]) -> Iterator[Polygon]:
        """The next rows, (any, width)."""
        height = max(1, STRIP_PIXELS // max(1, strip.shape[1]))
        for top in range(0, len(strip), height):
            piece = strip[top : top + height]
            yield from self._take(piece)
            if self._held() > self._max_held:
                yield from self._cut()
                self.cuts.append(self._row)

    def close(self) -> Iterator[Polygon]:
        """There are no more rows."""
        yield from self._cut()

    def _held(self) -> int:
        regions = {id(found): found for found in (chain.region.root() for chain in self._chains)}
        closed = sum(len(ring) + _RING for region in regions.values() for ring in region.rings)
        return closed + sum(len(piece) + _PIECE for chain in self._chains for piece in chain.pieces)

    def _cut(self) -> Iterator[Polygon]:
        """As if what follows were not of the class."""
        row = self._row
        yield from self._take(np.zeros((1, len(self._above)), np.bool_))
        self._row = row

    def _take(self, strip: NDArray[np.bool_]) -> Iterator[Polygon]:
        if self._chains or strip.any():
            found = self._join(strip_edges(self._above, strip, self._row))
            yield from sorted(found, key=lambda polygon: (polygon.rings[0][0, 1], polygon.rings[0][0, 0]))
        self._above = strip[-1].copy()
        self._row += len(strip)

    def _join(self, edges: StripEdges) -> list[Polygon]:
        walks, label = _walks(edges)
        by_start = {chain.start_x: chain for chain in self._chains}
        by_end = {chain.end_x: chain for chain in self._chains}
        regions, closed, begun = list[Region](), list[Region](), list[_Chain]()
        for first, walk, last in walks:
            pieces = edges.horizontal[walk]
            if first == NONE:
                ring = Region()
                ring.rings.append(pieces)
                regions.append(ring)
                closed.append(ring)
                continue
            x = int(edges.x[first])
            if edges.from_above[first]:
                chain = by_end[x].root()
            else:
                chain = _Chain(x)
                begun.append(chain)
            chain.pieces.append(pieces)
            regions.append(chain.region)
            x = int(edges.x[last])
            if edges.goes_on[last]:
                chain.end_x = x
            elif (onward := by_start[x].root()) is not chain:
                chain.lead_into(onward)
            else:
                region = chain.region.root()
                region.rings.append(chain.edges())
                closed.append(region)
                chain.pieces.clear()
        passing = {
            number: by_end if edges.is_down[number] else by_start for number in np.flatnonzero(label == NONE).tolist()
        }
        for left, right in edges.runs.tolist():
            one, two = (
                passing[number][int(edges.x[number])].region if number in passing else regions[label[number]]
                for number in (left, right)
            )
            one.join(two)
        self._chains = [chain for chain in joined(self._chains, begun) if chain.into is chain and chain.pieces]
        open_regions = {id(chain.region.root()) for chain in self._chains}
        ended = {id(region): region for region in (one.root() for one in closed)}
        return [region.polygon() for key, region in ended.items() if key not in open_regions]


_Walk = tuple[int, list[int], int]
"""The vertical edge that leads into it, horizontal edges, the vertical one that leads out; NONE for a closed ring."""


def _walks(edges: StripEdges) -> tuple[list[_Walk], NDArray[np.int64]]:
    """Outlines as far as they lie in a strip; and of each vertical edge the number of its own, NONE if it passes."""
    following, after = edges.following.tolist(), edges.after.tolist()
    walks: list[_Walk] = []
    is_seen = bytearray(len(following))

    def follow(first: int, start: int) -> None:
        walk, at, last = [], start, NONE
        while at != NONE and not is_seen[at]:
            is_seen[at] = 1
            walk.append(at)
            last = following[at]
            at = after[last]
        walks.append((first, walk, last if at == NONE else NONE))

    label = np.full(len(after), NONE)
    has_tail = np.zeros(len(after), np.bool_)
    has_tail[edges.following] = True
    for first in np.flatnonzero(~has_tail & (edges.after != NONE)).tolist():
        label[first] = len(walks)
        follow(first, after[first])
    for start in range(len(following)):
        if not is_seen[start]:
            follow(NONE, start)
    for number, (_, walk, _) in enumerate(walks):
        label[edges.following[walk]] = number
    return walks, label
