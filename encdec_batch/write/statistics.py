"""What can be said of a product of one block in a few numbers; they add up over blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encdec_batch.plan.product import Product


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Of one product. A valid value is not nodata and finite, so that sums stay numbers."""

    valid_pixels: int
    """Pixels with a valid value in at least one band."""
    class_counts: tuple[int, ...] = ()
    """Pixels of each class, in the order of the product's ids; empty for images."""
    minimum: tuple[float | None, ...] = ()
    """Per band, None without a valid value; empty for classes, as are the next two."""
    maximum: tuple[float | None, ...] = ()
    total: tuple[float, ...] = ()
    """Sum of the valid values of each band, in float64."""
    count: tuple[int, ...] = ()
    """Valid values of each band."""


def measure(pixels: NDArray[np.generic], product: Product) -> Statistics:
    """The statistics of (bands, height, width)."""
    if product.kind == "classes":
        counts = tuple(int(np.count_nonzero(pixels[0] == number)) for number in product.class_ids)
        return Statistics(valid_pixels=sum(counts), class_counts=counts)
    valid = _valid(pixels, product.nodata)
    minimum: list[float | None] = []
    maximum: list[float | None] = []
    total: list[float] = []
    count: list[int] = []
    for band in range(pixels.shape[0]):
        values = pixels[band] if valid is None else pixels[band][valid[band]]
        count.append(int(values.size))
        minimum.append(float(values.min()) if values.size else None)
        maximum.append(float(values.max()) if values.size else None)
        total.append(float(np.sum(values, dtype=np.float64)))
    num_valid = pixels[0].size if valid is None else int(np.count_nonzero(valid.any(axis=0)))
    return Statistics(
        valid_pixels=num_valid, minimum=tuple(minimum), maximum=tuple(maximum), total=tuple(total), count=tuple(count)
    )


def add(statistics: Iterable[Statistics]) -> Statistics:
    """Of all blocks together; the order matters to the last bit of `total` alone."""
    items = list(statistics)
    return Statistics(
        valid_pixels=sum(item.valid_pixels for item in items),
        class_counts=tuple(map(sum, zip(*(item.class_counts for item in items), strict=True))),
        minimum=tuple(_extreme(min, band) for band in zip(*(item.minimum for item in items), strict=True)),
        maximum=tuple(_extreme(max, band) for band in zip(*(item.maximum for item in items), strict=True)),
        total=tuple(map(sum, zip(*(item.total for item in items), strict=True))),
        count=tuple(map(sum, zip(*(item.count for item in items), strict=True))),
    )


def _extreme(choose: Callable[[list[float]], float], values: tuple[float | None, ...]) -> float | None:
    known = [value for value in values if value is not None]
    return choose(known) if known else None


def _valid(pixels: NDArray[np.generic], nodata: float | None) -> NDArray[np.bool_] | None:
    """None where every value is valid, which is cheaper to know than to index by."""
    if pixels.dtype.kind == "f":
        valid = np.isfinite(pixels.astype(np.float32, copy=False))
        if nodata is not None and not math.isnan(nodata):
            valid &= pixels != np.float32(nodata)
    elif nodata is None:
        return None
    else:
        valid = pixels != nodata
    return None if valid.all() else valid
