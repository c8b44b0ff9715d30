"""The pixel edges between a class and what is not of it, in a strip of a mask, and which follows which.

Edges are directed so that the class lies to their left where x and y are taken as on paper (y upwards): shells have
a positive area then, holes a negative one. Straight ones are one edge, however long. Where two pixels of the class meet
at a corner only, the outline stays with the pixel that it came along: such pixels are not connected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NONE = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StripEdges:
    """Edges that touch a strip. Horizontal ones are complete; vertical ones may come from above, or go on below."""

    horizontal: NDArray[np.int64]
    """(edges, 3): y, x of the tail, x of the head."""
    following: NDArray[np.int64]
    """The vertical edge after each horizontal one."""
    x: NDArray[np.int64]
    """Of each vertical edge."""
    is_down: NDArray[np.bool_]
    """Whether it leads to greater y."""
    from_above: NDArray[np.bool_]
    """Whether it began in an earlier strip."""
    goes_on: NDArray[np.bool_]
    """Whether it reaches the strip's last row, and so the next strip."""
    after: NDArray[np.int64]
    """The horizontal edge after each vertical one; NONE: its head is in another strip."""
    runs: NDArray[np.int64]
    """(runs, 2): the vertical edges at the left and right end of each run of the class in a row, differing ones, each
    pair once: they belong to one region."""


def strip_edges(above: NDArray[np.bool_], strip: NDArray[np.bool_], top: int) -> StripEdges:
    """The edges of a strip and of the line above it.

    Args:
        above: (width,) whether pixels of the last row before are of the class.
        strip: (height, width) the same of the strip.
        top: its first row in the mask.
    """
    height, width = strip.shape
    padded = np.zeros((height + 1, width + 2), np.int8)
    padded[0, 1:-1], padded[1:, 1:-1] = above, strip
    horizontal, is_right = _horizontal(padded, top)
    x, is_down, first, stop, runs = _vertical(padded)
    from_above, goes_on = first == 0, stop == height + 1
    # Lines where they begin and end; those of other strips are never looked at.
    y_low, y_high = first + (top - 1), stop + (top - 1)
    has_tail, has_head = np.where(is_down, ~from_above, ~goes_on), np.where(is_down, ~goes_on, ~from_above)
    y_tail, y_head = np.where(is_down, y_low, y_high), np.where(is_down, y_high, y_low)

    def at(y: NDArray[np.int64], across: NDArray[np.int64], bit: NDArray[np.bool_]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = (y * (width + 1) + across) * 2 + bit
        return found

    # One edge of each kind ends at a corner; where four meet, the bits say which follows which.
    tails, heads = np.flatnonzero(has_tail), np.flatnonzero(has_head)
    y = horizontal[:, 0]
    following = _matched(at(y, horizontal[:, 2], is_right), at(y_tail, x, is_down)[tails], tails)
    before = _matched(at(y, horizontal[:, 1], is_right), at(y_head, x, ~is_down)[heads], heads)
    after = np.full(len(x), NONE)
    after[before] = np.arange(len(horizontal))
    return StripEdges(
        horizontal=horizontal,
        following=following,
        x=x,
        is_down=is_down,
        from_above=from_above,
        goes_on=goes_on,
        after=after,
        runs=runs,
    )


def _matched(wanted: NDArray[np.int64], keys: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each key that is wanted its value; both lists of keys have the same order when they are sorted."""
    found = np.empty(len(wanted), np.int64)
    found[np.argsort(wanted)] = values[np.argsort(keys)]
    return found


def _horizontal(padded: NDArray[np.int8], top: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """y, tail, head of the edges on the lines above each row but the first; and whether they lead to greater x."""
    steps = padded[1:] - padded[:-1]
    changes = steps[:, 1:] != steps[:, :-1]
    y, start = np.nonzero(changes & (steps[:, 1:] != 0))
    _, stop = np.nonzero(changes & (steps[:, :-1] != 0))
    is_right = steps[y, start + 1] > 0
    edges = np.stack([y + top, np.where(is_right, start, stop), np.where(is_right, stop, start)], axis=1)
    return edges, is_right


def _vertical(
    padded: NDArray[np.int8],
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """x, whether it leads down, first row and the row after the last, in rows of `padded`; and `runs`."""
    steps = padded[:, 1:] - padded[:, :-1]
    row, col = np.nonzero(steps)
    order = np.argsort(col, kind="stable")
    rows, cols, signs = row[order], col[order], steps[row, col][order]
    is_first = np.ones(len(rows), np.bool_)
    is_first[1:] = (np.diff(cols) != 0) | (np.diff(rows) != 1) | (np.diff(signs) != 0)
    begins = np.flatnonzero(is_first)
    ends = np.append(begins[1:], len(rows)) - 1 if len(rows) else begins
    number = np.empty(len(rows), np.int64)
    number[order] = np.cumsum(is_first) - 1
    # In a row left and right ends take turns. The first row was looked at with the strip before.
    pairs = number[np.count_nonzero(row == 0) :].reshape(-1, 2)
    pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    return cols[begins], signs[begins] < 0, rows[begins], rows[ends] + 1, pairs
