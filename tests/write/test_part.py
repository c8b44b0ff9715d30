from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from commit.scenes import DEFLATE, FLOAT, MASK, ZSTD, core_summaries, image_product, patches
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from encdec_batch.errors import PartMissing, WindowError
from encdec_batch.plan.product import Product
from encdec_batch.predict.prediction import Prediction
from encdec_batch.window import Window
from encdec_batch.write.codec import Codec, decode_tile, encode_tile
from encdec_batch.write.encode import encode_part
from encdec_batch.write.layout import PartLayout
from encdec_batch.write.overview import reduce
from encdec_batch.write.part import PartIndex, PartWriter, read_index, read_table

BLOCK = Window(1024, 1024, 900, 600)


def layout(*products: Product, window: Window = BLOCK, levels: int = 1, **options: object) -> PartLayout:
    chosen = {"scene_shape": (1624, 1924), "codec": DEFLATE, "cells": True} | options
    return PartLayout(products=products, out_window=window, levels=levels, **chosen)


def make_part(
    *products: Product, notes: tuple[str, ...] = (), **options: object
) -> tuple[bytes, dict[str, np.ndarray]]:
    rasters = {product.name: patches(product, 600, 900) for product in products}
    scene = np.zeros((1, 1624, 1924), "u1")
    scene[:, BLOCK.rows, BLOCK.cols] = rasters.get("mask", 0)
    prediction = Prediction(rasters=rasters, cores=core_summaries(BLOCK, 300, scene), notes=notes)
    return encode_part(prediction, layout(*products, **options)), rasters


def index_of(part: bytes) -> PartIndex:
    return read_index(lambda start, stop: part[start:stop], len(part))


@pytest.mark.parametrize("codec", [DEFLATE, ZSTD], ids=lambda codec: codec.name)
@pytest.mark.parametrize(
    "product",
    [MASK, FLOAT, image_product("uint8", 3, 0), image_product("uint16", 5), image_product("float32", 2)],
    ids=lambda product: f"{product.dtype}x{product.num_bands}",
)
@given(height=st.integers(1, 512), width=st.integers(1, 512))
@settings(max_examples=5)
def test_a_tile_comes_back(product: Product, codec: Codec, height: int, width: int) -> None:
    pixels = patches(product, height, width)
    tile = decode_tile(encode_tile(pixels, product, codec), product, codec)
    assert tile.shape == (product.num_bands, 512, 512)
    np.testing.assert_array_equal(tile[:, :height, :width], pixels)


def test_a_part_holds_its_levels_and_the_next_one_plain() -> None:
    image = image_product("uint8", 3, 0)
    part, rasters = make_part(MASK, image)
    index = index_of(part)
    assert (index.window, index.scene_shape, index.levels, index.codec) == (BLOCK, (1624, 1924), 1, DEFLATE)
    for product in (MASK, image):
        pixels = rasters[product.name]
        for level in (0, 1):
            for entry in index.tiles[product.name][index.tiles[product.name]["level"] == level]:
                data = part[entry["offset"] :][: entry["length"]]
                assert zlib.crc32(data) == entry["crc32"]
                row, col = (entry["row"] - (2 >> level)) * 512, (entry["col"] - (2 >> level)) * 512
                expected = pixels[:, row : row + 512, col : col + 512]
                tile = decode_tile(data, product, index.codec)
                np.testing.assert_array_equal(tile[:, : expected.shape[1], : expected.shape[2]], expected)
            pixels = reduce(pixels, product)
        reduction = index.reductions[product.name]
        plain = np.frombuffer(part[reduction.span.offset : reduction.span.stop], product.dtype)
        np.testing.assert_array_equal(plain.reshape(-1, reduction.height, reduction.width), pixels)
    places = [index.tiles[name][["level", "row", "col"]].tolist() for name in ("mask", "image")]
    assert places[0] == places[1] == [(0, 2, 2), (0, 2, 3), (0, 3, 2), (0, 3, 3), (1, 1, 1)]


def test_rows_hold_each_core_and_its_mask() -> None:
    part, rasters = make_part(MASK)
    index = index_of(part)
    assert index.rows is not None
    table = read_table(part[index.rows.offset : index.rows.stop]).to_pylist()
    assert len(table) == len(index.cores) == 6
    for row, core in zip(table, index.cores, strict=True):
        assert Window(*row["window"]) == core
        inside = core.shift(-1024, -1024)
        mask = rasters["mask"][0, inside.rows, inside.cols]
        np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(row["mask"]))), mask)
        assert row["class_counts"] == [int((mask == number).sum()) for number in MASK.class_ids]
    assert read_table(make_rows(cells=False))["mask"].null_count == 6


def make_rows(*, cells: bool) -> bytes:
    part, _ = make_part(MASK, cells=cells)
    span = index_of(part).rows
    assert span is not None
    return part[span.offset : span.stop]


def test_statistics_count_valid_pixels_alone() -> None:
    image = image_product("uint16", 2, 65535)
    part, rasters = make_part(MASK, image, FLOAT_NAMED)
    found = index_of(part).statistics
    mask, pixels, floats = rasters["mask"], rasters["image"], rasters["height"]
    assert found["mask"].class_counts == tuple(int((mask == number).sum()) for number in MASK.class_ids)
    assert found["mask"].valid_pixels == int((mask != 255).sum())
    for band in range(2):
        values = pixels[band][pixels[band] != 65535].astype(np.int64)
        assert found["image"].minimum[band] == values.min()
        assert found["image"].maximum[band] == values.max()
        assert found["image"].total[band] == values.sum()
        assert found["image"].count[band] == values.size
    assert found["height"].total[0] == pytest.approx(np.nansum(floats.astype("f8")))
    assert found["height"].valid_pixels == int((~np.isnan(floats)).sum())


def test_infinite_values_are_written_but_do_not_spoil_the_sums() -> None:
    values = np.array([[[np.inf, -np.inf, np.nan, 2.0, 3.0]]], "f4")
    whole = layout(FLOAT, window=Window(0, 0, 5, 1), scene_shape=(1, 5))
    found = index_of(encode_part(Prediction(rasters={"image": values}, cores=()), whole)).statistics["image"]
    assert (found.valid_pixels, found.minimum, found.maximum, found.total) == (2, (2.0,), (3.0,), (5.0,))


FLOAT_NAMED = Product(name="height", kind="image", dtype="float32", band_names=("m",), nodata=float("nan"))


def test_equal_work_gives_equal_bytes_and_other_work_another_digest() -> None:
    part, _ = make_part(MASK)
    assert make_part(MASK)[0] == part
    digests = {index_of(other).digest for other in (part, make_part(MASK, notes=("batch halved",))[0])}
    digests.add(index_of(make_part(MASK, codec=ZSTD)[0]).digest)
    assert len(digests) == 3


@given(where=st.floats(0, 1), flip=st.integers(1, 255), keep=st.floats(0, 1))
@settings(max_examples=60)
def test_damage_at_the_end_is_seen(where: float, flip: int, keep: float) -> None:
    start = len(PART) - 16 - 500
    place = start + int(where * (len(PART) - 1 - start))
    bent = PART[:place] + bytes([PART[place] ^ flip]) + PART[place + 1 :]
    for broken in (bent, PART[: int(keep * (len(PART) - 1))]):
        with pytest.raises(PartMissing):
            index_of(broken)


PART = make_part(MASK)[0]


def test_a_large_index_takes_two_reads() -> None:
    wide = Window(0, 0, 512 * 1500, 1)
    buffer = io.BytesIO()
    writer = PartWriter(buffer)
    for col in range(1500):
        writer.tile("mask", 0, 0, col, b"tile")
    writer.finish(layout(MASK, window=wide, scene_shape=(1, wide.width), levels=0), {})
    part = buffer.getvalue()
    reads = []

    def read(start: int, stop: int) -> bytes:
        reads.append((start, stop))
        return part[start:stop]

    index = read_index(read, len(part))
    assert len(index.tiles["mask"]) == 1500
    assert len(reads) == 2
    assert reads[0][0] == reads[1][1]


@pytest.mark.parametrize(
    ("window", "levels"),
    [(Window(512, 0, 512, 512), 1), (Window(0, 0, 700, 1624), 0), (Window(1024, 0, 1024, 1624), 1)],
    ids=["begins between tiles", "ends between tiles", "ends outside"],
)
def test_a_block_that_would_share_tiles_is_refused(window: Window, levels: int) -> None:
    with pytest.raises(WindowError, match=r"begin|end"):
        layout(MASK, window=window, levels=levels)


def test_a_raster_of_another_shape_or_type_is_refused() -> None:
    for raster in (np.zeros((1, 600, 901), "u1"), np.zeros((1, 600, 900), "u2")):
        with pytest.raises(ValueError, match="the layout wants uint8"):
            encode_part(Prediction(rasters={"mask": raster}, cores=()), layout(MASK))
