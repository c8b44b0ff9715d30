from __future__ import annotations

import hashlib
import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from commit.scenes import (
    DEFLATE,
    FLOAT,
    MANY,
    MASK,
    ZSTD,
    Array,
    coarse_of,
    encode_blocks,
    image_product,
    in_memory,
    patches,
    scene_tiles,
)
from commit.test_cog import HeaderSink, HeaderTaken

from encdec_batch.commit.ome_tiff import write_ome_tiff
from encdec_batch.commit.parts import SceneTiles
from encdec_batch.plan.product import Product
from encdec_batch.read.open import open_reader
from encdec_batch.read.options import ReadOptions
from encdec_batch.store.open import open_store
from encdec_batch.window import Window
from encdec_batch.write.codec import Codec
from encdec_batch.write.sink import Written

SHAPE = (1030, 601)
UM = (0.5, 0.25)


def ome_tiff(tiles: SceneTiles, size_um: tuple[float, float] | None = UM) -> bytes:
    sink = io.BytesIO()
    written = write_ome_tiff(sink, tiles, size_um)
    data = sink.getvalue()
    assert written == Written(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    return data


def levels_of(tiles: SceneTiles) -> list[Array]:
    """(bands, height, width) of each level."""
    return [np.concatenate(list(tiles.pixel_rows(level)), axis=1) for level in range(len(tiles.shapes))]


@pytest.mark.parametrize(
    ("product", "codec"),
    [(MASK, DEFLATE), (MANY, ZSTD), (FLOAT, DEFLATE), *((image_product("uint8", n, 0), ZSTD) for n in (1, 3, 5))],
    ids=lambda given: f"{given.kind}-{given.dtype}x{given.num_bands}" if isinstance(given, Product) else given.name,
)
def test_others_see_every_level(product: Product, codec: Codec) -> None:
    tiles = scene_tiles(patches(product, *SHAPE), product, side=512, levels=0, codec=codec)
    expected = levels_of(tiles)
    data = ome_tiff(tiles)
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        assert tiff.is_ome
        [series] = tiff.series
        assert len(series.levels) == len(expected) == 3
        for level, pixels in zip(series.levels, expected, strict=True):
            found = level.asarray()
            found = found.transpose(2, 0, 1) if product.num_bands > 1 else found[None]
            np.testing.assert_array_equal(found, pixels)
    with rasterio.MemoryFile(data) as memory, memory.open() as file:
        np.testing.assert_array_equal(file.read(), expected[0])


def test_it_says_what_is_known_of_pixels_and_classes() -> None:
    data = ome_tiff(scene_tiles(patches(MASK, *SHAPE), MASK, side=512, levels=0))
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        said = tifffile.xml2dict(tiff.ome_metadata)["OME"]
        page = tiff.pages.first
        assert page.tags["XResolution"].value == (40_000, 1)
        assert page.tags["YResolution"].value == (20_000, 1)
        np.testing.assert_array_equal(page.colormap[:, 2] // 257, MASK.class_colors[2])
    pixels = said["Image"]["Pixels"]
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeY"], pixels["PhysicalSizeXUnit"]) == (0.25, 0.5, "µm")
    assert (pixels["SizeX"], pixels["SizeY"], pixels["Type"]) == (601, 1030, "uint8")
    assert pixels["Channel"]["Name"] == "class"
    values = said["StructuredAnnotations"]["MapAnnotation"]["Value"]["M"]
    assert [(str(value["K"]), value["value"]) for value in values] == [
        (str(number), name) for number, name in zip(MASK.class_ids, MASK.class_names, strict=True)
    ]


def test_integers_that_stand_for_other_values_say_which() -> None:
    product = replace(image_product("uint16", 1, 0), scale=0.5, offset=-1024.5)
    data = ome_tiff(scene_tiles(patches(product, 30, 40), product, side=512, levels=0), None)
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        values = tifffile.xml2dict(tiff.ome_metadata)["OME"]["StructuredAnnotations"]["MapAnnotation"]["Value"]["M"]
    assert {value["K"]: float(value["value"]) for value in values} == {"scale": 0.5, "offset": -1024.5}


def test_names_that_xml_forbids_leave_the_file_readable() -> None:
    product = replace(MASK, class_names=("a\0b", "\x01", "<&>", "d"))
    data = ome_tiff(scene_tiles(patches(product, 30, 40), product, side=512, levels=0), None)
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        values = tifffile.xml2dict(tiff.ome_metadata)["OME"]["StructuredAnnotations"]["MapAnnotation"]["Value"]["M"]
    assert [value["value"] for value in values] == ["a?b", "?", "<&>", "d"]


def test_without_a_size_of_pixels_none_is_said() -> None:
    data = ome_tiff(scene_tiles(patches(MASK, 30, 40), MASK, side=512, levels=0), None)
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        assert tiff.is_ome
        assert "PhysicalSize" not in tiff.ome_metadata
        assert "XResolution" not in tiff.pages.first.tags


def test_we_read_it_as_a_slide(tmp_path: Path) -> None:
    grey = image_product("uint8", 1, 0)
    tiles = scene_tiles(patches(grey, *SHAPE), grey, side=512, levels=0)
    (tmp_path / "image.ome.tif").write_bytes(ome_tiff(tiles, (0.5, 0.5)))
    reader = open_reader(open_store(str(tmp_path)), "image.ome.tif", options=ReadOptions(um_per_px=1.0))
    assert reader.header.driver == "slide"
    assert reader.header.pixel_size_um == (1.0, 1.0)
    height, width = tiles.shapes[1]
    found = reader.read(Window(0, 0, width, height), [1], rule="any").pixels
    np.testing.assert_array_equal(found, levels_of(tiles)[1])
    reader.close()


def test_a_file_above_4_gib_is_a_bigtiff() -> None:
    parts = in_memory(encode_blocks(patches(MASK, 1025, 600), MASK, side=512, levels=0))
    coarse = coarse_of(parts, MASK)
    for index in parts.indexes:
        # Tiles that pretend to be giants: their bytes are never asked for.
        index.tiles["mask"]["length"] = 900_000_000
    tiles = SceneTiles(MASK, (1025, 600), parts, coarse)
    sink = HeaderSink()
    with pytest.raises(HeaderTaken):
        write_ome_tiff(sink, tiles, (math.pi, math.e))
    with tifffile.TiffFile(io.BytesIO(sink.data)) as tiff:
        assert tiff.is_bigtiff
        [series] = tiff.series
        assert tuple(level.shape for level in series.levels) == tiles.shapes
        assert tiff.pages.first.tags["TileByteCounts"].value == (900_000_000,) * 6
