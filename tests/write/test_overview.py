from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from commit.scenes import MASK, image_product
from hypothesis import given, settings
from hypothesis import strategies as st

from encdec_batch.plan.product import Product
from encdec_batch.write.overview import overview_shapes, reduce

UINT16_MASK = Product(
    name="mask", kind="classes", dtype="uint16", band_names=("class",), nodata=65535, class_ids=(0, 1, 300, 400)
)
LOW_NODATA = Product(name="mask", kind="classes", dtype="uint8", band_names=("class",), nodata=0, class_ids=(1, 2, 255))
NO_NODATA = Product(name="mask", kind="classes", dtype="uint8", band_names=("class",), nodata=None, class_ids=(0, 255))
PRODUCTS = [
    MASK,
    UINT16_MASK,
    LOW_NODATA,
    NO_NODATA,
    image_product("uint8", 1, 0),
    image_product("uint8", 3),
    image_product("uint16", 2, 65535),
    image_product("float32", 2, math.nan),
    image_product("float32", 1, -9999.0),
    image_product("float32", 1),
]


def draw_pixels(product: Product, shape: tuple[int, int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    full = (product.num_bands, *shape)
    if product.kind == "classes":
        pixels = rng.choice(product.class_ids, full)
    elif product.dtype == "float32":
        pixels = rng.normal(size=full) * 100
    else:
        pixels = rng.integers(1, np.iinfo(product.dtype).max, full)
    pixels = pixels.astype(product.dtype)
    if product.nodata is not None:
        pixels[rng.random(full) < rng.choice([0, 0.3, 0.9])] = product.nodata
    return pixels


def is_nodata(value: float, product: Product) -> bool:
    return math.isnan(value) or (product.nodata is not None and value == product.nodata)


def one_pixel(values: list, product: Product) -> float:
    """The definition, word by word, for up to four pixels."""
    valid = [value for value in values if not is_nodata(value, product)]
    if not valid:
        return math.nan if product.nodata is None else product.nodata
    if product.kind == "classes":
        counts = Counter(valid)
        return min(value for value, count in counts.items() if count == max(counts.values()))
    if product.dtype == "float32":
        return np.float32(math.fsum(valid) / len(valid))
    return math.floor(np.float32(sum(int(value) for value in valid)) / np.float32(len(valid)) + np.float32(0.5))


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: f"{product.kind}-{product.dtype}-{product.nodata}")
@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_each_pixel_is_what_the_definition_says(product: Product, height: int, width: int, seed: int) -> None:
    pixels = draw_pixels(product, (height, width), seed)
    reduced = reduce(pixels, product)
    assert reduced.dtype == pixels.dtype
    assert reduced.shape == (product.num_bands, -(-height // 2), -(-width // 2))
    for band, row, col in np.ndindex(reduced.shape):
        quad = pixels[band, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2].ravel().tolist()
        expected = one_pixel(quad, product)
        # The sum in float32 may differ from the exact one in its last bits.
        tolerance = {"rtol": 1e-5, "atol": 1e-4} if product.dtype == "float32" else {"rtol": 0, "atol": 0}
        np.testing.assert_allclose(reduced[band, row, col], expected, equal_nan=True, **tolerance)


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: f"{product.kind}-{product.dtype}-{product.nodata}")
@given(data=st.data(), levels=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_blocks_alone_give_what_the_whole_gives(product: Product, data: st.DataObject, levels: int, seed: int) -> None:
    height, width = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 90))
    side = data.draw(st.integers(1, 4)) * 2**levels
    whole = draw_pixels(product, (height, width), seed)
    blocks = {
        (r, c): whole[:, r : r + side, c : c + side] for r in range(0, height, side) for c in range(0, width, side)
    }
    for level in range(1, levels + 1):
        whole = reduce(whole, product)
        blocks = {origin: reduce(block, product) for origin, block in blocks.items()}
        joined = np.zeros_like(whole)
        for (row, col), block in blocks.items():
            joined[:, row >> level :, col >> level :][:, : block.shape[1], : block.shape[2]] = block
        np.testing.assert_array_equal(joined, whole)


@given(height=st.integers(1, 200_000), width=st.integers(1, 200_000))
def test_levels_halve_until_one_tile_holds_the_last(height: int, width: int) -> None:
    shapes = overview_shapes(height, width)
    assert shapes[0] == (height, width)
    assert max(shapes[-1]) <= 512
    assert all(max(shape) > 512 for shape in shapes[:-1])
    assert all(shape == (math.ceil(height / 2**i), math.ceil(width / 2**i)) for i, shape in enumerate(shapes))
