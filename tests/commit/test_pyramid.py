from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest
from commit.scenes import (
    FLOAT,
    MASK,
    ZSTD,
    block_windows,
    encode_blocks,
    image_product,
    in_memory,
    patches,
    scene_tiles,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from encdec_batch.commit.parts import MemoryParts, SceneTiles
from encdec_batch.commit.pyramid import COARSE, has_coarse, write_coarse
from encdec_batch.plan.product import Product
from encdec_batch.predict.prediction import Prediction
from encdec_batch.write.encode import encode_part
from encdec_batch.write.layout import PartLayout
from encdec_batch.write.overview import overview_shapes, reduce


@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 600),
    levels=st.integers(0, 2),
    scale=st.integers(1, 2),
    product=st.sampled_from([MASK, FLOAT, image_product("uint16", 2, 65535)]),
)
@settings(max_examples=20)
def test_every_level_is_that_of_one_pass_over_the_scene(
    height: int, width: int, levels: int, scale: int, product: Product
) -> None:
    pixels = patches(product, height, width)
    tiles = scene_tiles(pixels, product, side=512 * scale << levels, levels=levels)
    assert tiles.shapes == overview_shapes(height, width)
    for level in range(len(tiles.shapes)):
        if level:
            pixels = reduce(pixels, product)
        np.testing.assert_array_equal(np.concatenate(list(tiles.pixel_rows(level)), axis=1), pixels)


@pytest.mark.parametrize(
    ("shape", "levels", "expected"), [((512, 512), 0, False), ((513, 1), 0, True), ((513, 1), 1, False)]
)
def test_coarse_is_made_where_the_scene_has_levels_above_l(shape: tuple[int, int], levels: int, expected: bool) -> None:
    assert has_coarse(shape, levels) is expected


def test_the_order_in_which_parts_are_listed_changes_nothing() -> None:
    pixels = patches(MASK, 1100, 1300)
    parts = encode_blocks(pixels, MASK, side=512, levels=0)
    written = []
    for order in (parts, parts[::-1]):
        buffer = io.BytesIO()
        write_coarse(buffer, (MASK,), in_memory(order))
        written.append(buffer.getvalue())
    assert written[0] == written[1]


class Nowhere:
    def write(self, data: bytes) -> None:
        pass


def test_memory_does_not_grow_with_the_height_of_the_scene() -> None:
    product = image_product("uint8", 1)
    peaks = []
    for height in (4096, 4 * 4096):
        parts = in_memory(encode_blocks(np.ones((1, height, 512), "u1"), product, side=512, levels=0))
        tracemalloc.start()
        write_coarse(Nowhere(), (product,), parts)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_products_of_one_part_do_not_mix() -> None:
    image = image_product("uint8", 3, 0)
    shape, rasters = (1100, 700), {}
    for product in (MASK, image):
        rasters[product.name] = patches(product, *shape)
    parts = in_memory(
        [
            encode_part(
                Prediction(
                    rasters={name: raster[:, window.rows, window.cols] for name, raster in rasters.items()}, cores=()
                ),
                PartLayout(
                    products=(MASK, image), out_window=window, scene_shape=shape, levels=0, codec=ZSTD, cells=False
                ),
            )
            for window in block_windows(shape, 512)
        ]
    )
    buffer = io.BytesIO()
    write_coarse(buffer, (MASK, image), parts)
    for product in (MASK, image):
        tiles = SceneTiles(product, shape, parts, MemoryParts([buffer.getvalue()], [COARSE]))
        pixels = rasters[product.name]
        for level in range(len(tiles.shapes)):
            if level:
                pixels = reduce(pixels, product)
            np.testing.assert_array_equal(np.concatenate(list(tiles.pixel_rows(level)), axis=1), pixels)
