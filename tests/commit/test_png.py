from __future__ import annotations

import hashlib
import io
import math
import tracemalloc

import imagecodecs
import numpy as np
import pytest
from commit.scenes import FLOAT, MANY, MASK, image_product, patches, scene_tiles
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from encdec_batch.commit.png import write_png, write_quicklook
from encdec_batch.errors import UnsupportedScene
from encdec_batch.plan.product import Product
from encdec_batch.write.png import encode_mask
from encdec_batch.write.sink import Written


def png(pixels: np.ndarray, product: Product, **options: object) -> bytes:
    sink = io.BytesIO()
    tiles = scene_tiles(pixels, product, side=512, levels=0)
    written = write_png(sink, tiles, **options)
    data = sink.getvalue()
    assert written == Written(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    return data


def shown(pixels: np.ndarray) -> np.ndarray:
    """What a reader gives for the bands that are shown."""
    return pixels[0] if len(pixels) < 3 else pixels[:3].transpose(1, 2, 0)


@pytest.mark.parametrize(
    "product",
    [MANY, *(image_product(dtype, bands, 0) for dtype in ("uint8", "uint16") for bands in (1, 2, 3, 5))],
    ids=lambda product: f"{product.kind}-{product.dtype}x{product.num_bands}",
)
def test_other_readers_see_the_pixels(product: Product) -> None:
    pixels = patches(product, 700, 601)
    data = png(pixels, product)
    # The last channel is what the reader makes of transparency.
    found = imagecodecs.png_decode(data)[..., :-1].squeeze()
    np.testing.assert_array_equal(found, shown(pixels))
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.size == (601, 700)


@given(height=st.integers(1, 1100), width=st.sampled_from([1, 2, 511, 513, 700]))
@settings(max_examples=10)
def test_a_mask_of_any_size_keeps_ids_and_colours(height: int, width: int) -> None:
    pixels = patches(MASK, height, width)
    with Image.open(io.BytesIO(png(pixels, MASK))) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.array(image), pixels[0])
        colors = np.array(image.convert("RGBA"))
    for number, color in zip(MASK.class_ids, MASK.class_colors, strict=True):
        assert (colors[pixels[0] == number] == (*color, 255)).all()
    assert (colors[pixels[0] == 255][:, 3] == 0).all()


def test_a_cell_is_the_same_picture_as_a_streamed_mask() -> None:
    pixels = patches(MASK, 300, 217)
    cell, streamed = Image.open(io.BytesIO(encode_mask(pixels[0], MASK))), Image.open(io.BytesIO(png(pixels, MASK)))
    np.testing.assert_array_equal(np.array(cell), pixels[0])
    assert cell.palette is not None
    assert streamed.palette is not None
    assert cell.palette.palette == streamed.palette.palette
    assert cell.info["transparency"] == streamed.info["transparency"]


@pytest.mark.parametrize("nodata", [math.nan, -9999.0, None])
def test_floats_are_stretched_over_the_range(nodata: float | None) -> None:
    product = image_product("float32", 1, nodata)
    pixels = np.array([[[-5.0, 0.0, 0.5, 1.0, 7.0, math.inf, math.nan, -9999.0]]], "f4")
    values = np.array(Image.open(io.BytesIO(png(pixels, product, value_range=(0.0, 1.0)))))
    assert values[0, :6].tolist() == [1, 1, 128, 255, 255, 255]
    assert values[0, 6] == 0
    assert values[0, 7] == (0 if nodata == -9999.0 else 1)


def test_floats_without_a_range_are_refused_with_a_hint() -> None:
    with pytest.raises(UnsupportedScene, match="range") as error:
        png(patches(FLOAT, 5, 5), FLOAT)
    assert error.value.hint


@pytest.mark.parametrize(("height", "width", "max_side"), [(3000, 700, 2048), (1300, 1100, 600), (100, 60, 2048)])
def test_a_quicklook_is_the_largest_level_that_fits(height: int, width: int, max_side: int) -> None:
    tiles = scene_tiles(patches(MASK, height, width), MASK, side=1024, levels=1)
    sink = io.BytesIO()
    write_quicklook(sink, tiles, max_side=max_side)
    found = np.array(Image.open(sink))
    assert max(found.shape) <= max_side
    assert max(height, width) <= max_side or max(found.shape) > max_side // 2
    level = tiles.shapes.index(found.shape)
    np.testing.assert_array_equal(found, np.concatenate(list(tiles.pixel_rows(level)), axis=1)[0])


class Nowhere:
    def write(self, data: bytes) -> None:
        pass


def test_memory_does_not_grow_with_the_height_of_the_scene() -> None:
    peaks = []
    for height in (2048, 4 * 2048):
        tiles = scene_tiles(np.ones((1, height, 512), "u1"), MASK, side=512, levels=0)
        tracemalloc.start()
        write_png(Nowhere(), tiles)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
