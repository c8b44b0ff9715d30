"""Outlines of random masks, whatever the strips: rasterised they are the mask, and they are valid polygons."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy import ndimage

from encdec_batch.commit.outline.region import Polygon
from encdec_batch.commit.outline.trace import Tracer

Mask = NDArray[np.bool_]

SADDLES = np.array([[0, 1, 1, 1], [1, 0, 0, 1], [1, 1, 0, 1], [0, 1, 1, 0]], bool)
"""Two pixels that meet at a corner and are connected elsewhere: the shell comes back to that corner."""


@st.composite
def masks(draw: st.DrawFn) -> Mask:
    shape = draw(st.tuples(st.integers(1, 40), st.integers(1, 24)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    grown = ndimage.uniform_filter(rng.random(shape), draw(st.integers(1, 4)))
    return grown > np.quantile(grown, draw(st.floats(0, 1)))


def in_strips(mask: Mask, height: int, **options: int) -> list[Polygon]:
    tracer = Tracer(mask.shape[1], **options)

    def found() -> Iterator[Polygon]:
        for top in range(0, len(mask), height):
            yield from tracer.push(mask[top : top + height])
        yield from tracer.close()

    return list(found())


def shape_of(polygon: Polygon) -> shapely.Polygon:
    shell, *holes = polygon.rings
    return shapely.Polygon(shell, holes)


def burnt(polygons: list[Polygon], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """How often a pixel is in a polygon."""
    total = np.zeros(shape, np.int64)
    for polygon in polygons:
        total += rasterize([shape_of(polygon)], shape)
    return total


@given(mask=masks() | hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7)), height=st.integers(1, 40))
@example(mask=SADDLES, height=2)
@example(mask=~SADDLES, height=1)
@settings(max_examples=60)
def test_rasterised_they_are_the_mask(mask: Mask, height: int) -> None:
    polygons = in_strips(mask, height)
    np.testing.assert_array_equal(burnt(polygons, mask.shape), mask)
    assert len(polygons) == ndimage.label(mask)[1]
    for polygon in polygons:
        shape = shape_of(polygon)
        assert shapely.is_valid(shape), shapely.is_valid_reason(shape)
        assert shape.exterior.is_ccw
        assert shape.area == polygon.area
        for ring in polygon.rings:
            along = np.diff(ring, axis=0, append=ring[:1])
            assert (np.count_nonzero(along, axis=1) == 1).all()
            assert ((along[:, 0] == 0) ^ (np.roll(along, 1, axis=0)[:, 0] == 0)).all(), "a point between corners"


@given(mask=masks(), heights=st.tuples(st.integers(1, 9), st.integers(10, 40)))
@settings(max_examples=30)
def test_strips_change_no_polygon(mask: Mask, heights: tuple[int, int]) -> None:
    one, two = (
        sorted([ring.tolist() for ring in polygon.rings] for polygon in in_strips(mask, height)) for height in heights
    )
    assert one == two


@given(mask=masks(), height=st.integers(1, 9), held=st.integers(0, 30))
@settings(max_examples=30)
def test_what_is_cut_for_want_of_memory_covers_the_same(mask: Mask, height: int, held: int) -> None:
    polygons = in_strips(mask, height, max_held=held)
    np.testing.assert_array_equal(burnt(polygons, mask.shape), mask)


def test_a_region_that_holds_too_much_is_cut_and_the_rows_are_told() -> None:
    comb = np.zeros((40, 21), bool)
    comb[0], comb[:, ::2] = True, True
    steps = np.indices((40, 21)).sum(axis=0) % 3 > 0
    for mask, cuts in ((comb, []), (steps, [10, 20, 30, 40])):
        tracer = Tracer(21, max_held=60)
        polygons = list(chain.from_iterable(tracer.push(mask[top : top + 10]) for top in range(0, 40, 10)))
        assert tracer.cuts == cuts
        assert bool(polygons) == bool(cuts)
