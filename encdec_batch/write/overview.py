"""Overviews, defined: level i is made from level i - 1 as written, 2 x 2, from valid pixels only.

Classes by majority, ties to the smallest id; images by the mean in float32, rounded half up for
integers; without a valid pixel: nodata. One function for workers and commit, so that an overview
is the same whichever block, worker or pass made it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from encdec_batch.plan.product import Product

TILE = 512
"""Side of a tile of the output, pixels; the smallest overview fits in one."""

_Array = NDArray[np.generic]


def overview_shapes(height: int, width: int) -> tuple[tuple[int, int], ...]:
    """(height, width) of every level, the full one first, until the larger side is at most 512 px."""
    shapes = [(height, width)]
    while max(shapes[-1]) > TILE:
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    return tuple(shapes)


def reduce(pixels: _Array, product: Product) -> _Array:
    """The next level: (bands, height, width) to (bands, ceil(height / 2), ceil(width / 2)), same dtype."""
    _, height, width = pixels.shape
    if height % 2 or width % 2:
        # A repeated border pixel counts twice what counts once: neither majority nor mean can change.
        pixels = np.pad(pixels, ((0, 0), (0, height % 2), (0, width % 2)), "edge")
    quads = [np.ascontiguousarray(pixels[:, row::2, col::2]) for row in (0, 1) for col in (0, 1)]
    if product.kind == "classes":
        return _majority(quads, product)
    if pixels.dtype.kind == "f":
        return _mean_of_floats(quads, product.nodata)
    return _mean_of_integers(quads, product.nodata)


def _majority(quads: list[_Array], product: Product) -> _Array:
    """The commonest valid id of four; the smallest of those equally common."""
    nodata, dtype = product.nodata, quads[0].dtype
    if nodata is None or nodata > max(product.class_ids, default=-1):
        return _majority_below(quads, None if nodata is None else int(nodata))
    # Among the ids, nodata would take part in the order: it becomes the largest value of a wider type.
    top = np.iinfo(np.uint32).max
    wide: list[_Array] = [np.where(quad == nodata, np.uint32(top), quad.astype(np.uint32)) for quad in quads]
    found = _majority_below(wide, int(top))
    return np.asarray(np.where(found == np.uint32(top), int(nodata), found).astype(dtype))


def _majority_below(quads: list[_Array], nodata: int | None) -> _Array:
    """The same where every id is below `nodata`, so that invalid pixels sort to the end."""
    a, b, c, d = quads
    low, high = np.minimum(a, b), np.maximum(a, b)
    low2, high2 = np.minimum(c, d), np.maximum(c, d)
    first, fourth = np.minimum(low, low2), np.maximum(high, high2)
    inner, inner2 = np.maximum(low, low2), np.minimum(high, high2)
    second, third = np.minimum(inner, inner2), np.maximum(inner, inner2)
    middle = second == third
    last = (third == fourth) & (first != second)
    if nodata is not None:
        middle &= second != nodata
        last &= third != nodata
    found = first
    np.copyto(found, third, where=last)
    np.copyto(found, second, where=middle)
    return found


def _mean_of_integers(quads: list[_Array], nodata: float | None) -> _Array:
    """Rounded half up, in integers: equal to floor(float32 mean + 0.5), whose sums of 16 bits are exact."""
    dtype = quads[0].dtype
    total = np.zeros(quads[0].shape, np.uint32)
    if nodata is None or all(not (quad == nodata).any() for quad in quads):
        for quad in quads:
            total += quad.astype(np.uint32)
        total += 2
        total >>= 2
        return total.astype(dtype)
    count = np.zeros(quads[0].shape, np.uint32)
    for quad in quads:
        valid = quad != nodata
        total += np.where(valid, quad, 0).astype(np.uint32)
        count += valid
    mean = (2 * total + count) // np.maximum(2 * count, 1)
    return np.where(count == 0, int(nodata), mean).astype(dtype)


def _mean_of_floats(quads: list[_Array], nodata: float | None) -> _Array:
    filled, valid = [], []
    for quad in quads:
        good = ~np.isnan(quad.astype(np.float32, copy=False))
        if nodata is not None and not math.isnan(nodata):
            good &= quad != np.float32(nodata)
        valid.append(good)
        filled.append(np.where(good, quad, np.float32(0)).astype(np.float32, copy=False))
    count = valid[0].astype(np.float32) + valid[1] + valid[2] + valid[3]
    with np.errstate(over="ignore", invalid="ignore"):
        # In pairs: doubled border pixels then give the very bits of the single ones.
        total = (filled[0] + filled[1]) + (filled[2] + filled[3])
        mean = total / np.maximum(count, np.float32(1))
    return np.where(count == 0, np.float32(math.nan if nodata is None else nodata), mean).astype(np.float32, copy=False)
