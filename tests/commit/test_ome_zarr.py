from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import zarr
from commit.scenes import DEFLATE, FLOAT, MANY, MASK, ZSTD, image_product, patches, scene_tiles
from commit.test_ome_tiff import SHAPE, levels_of
from hypothesis import given
from hypothesis import strategies as st
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models.v05 import Image, ImageLabel

from encdec_batch.commit.ome_zarr import write_ome_zarr
from encdec_batch.commit.parts import SceneTiles
from encdec_batch.plan.product import Product
from encdec_batch.read.open import open_reader
from encdec_batch.store.open import open_store
from encdec_batch.window import Window
from encdec_batch.write.codec import Codec
from encdec_batch.write.shard import crc32c
from encdec_batch.write.sink import Sink, Written

UM = (0.5, 0.25)


def ome_zarr(folder: Path, tiles: SceneTiles, size_um: tuple[float, float] | None = UM) -> dict[str, Written]:
    members = {}

    def put(path: str, fill: Callable[[Sink], Written]) -> None:
        sink = io.BytesIO()
        members[path] = fill(sink)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(sink.getvalue())

    write_ome_zarr(put, tiles, size_um)
    return members


@pytest.mark.parametrize(
    ("product", "codec"),
    [(MASK, DEFLATE), (MANY, ZSTD), (FLOAT, DEFLATE), (image_product("uint8", 3, 0), ZSTD)],
    ids=lambda given: f"{given.kind}-{given.dtype}x{given.num_bands}" if isinstance(given, Product) else given.name,
)
def test_others_see_every_level(tmp_path: Path, product: Product, codec: Codec) -> None:
    tiles = scene_tiles(patches(product, *SHAPE), product, side=512, levels=0, codec=codec)
    ome_zarr(tmp_path / "m.ome.zarr", tiles)
    [node, *labels] = Reader(parse_url(tmp_path / "m.ome.zarr"))()
    for found, pixels in zip(node.data, levels_of(tiles), strict=True):
        values = np.asarray(found)
        np.testing.assert_array_equal(values if values.ndim == 3 else values[None], pixels)
    assert len(labels) == 2 * (product.kind == "classes"), "the folder of labels, and ours"
    group = zarr.open_group(tmp_path / "m.ome.zarr", mode="r")
    assert Image.from_zarr(group).attributes.ome.multiscales[0].ndim == (2 if product.kind == "classes" else 3)


def test_classes_have_names_and_colours(tmp_path: Path) -> None:
    tiles = scene_tiles(patches(MASK, *SHAPE), MASK, side=512, levels=0)
    members = ome_zarr(tmp_path, tiles)
    assert len(members) == 3 + 2 * len(tiles.shapes)
    ImageLabel.from_zarr(zarr.open_group(tmp_path / "labels/classes", mode="r"))
    said = zarr.open_group(tmp_path / "labels/classes", mode="r").attrs["ome"]
    properties = said["image-label"]["properties"]
    assert {one["label-value"]: one["name"] for one in properties} == {
        255: "nodata",
        **dict(zip(MASK.class_ids, MASK.class_names, strict=True)),
    }
    assert {one["label-value"]: tuple(one["rgba"]) for one in said["image-label"]["colors"]} == {
        255: (0, 0, 0, 0),
        **{number: (*color, 255) for number, color in zip(MASK.class_ids, MASK.class_colors, strict=True)},
    }
    levels = said["multiscales"][0]["datasets"]
    assert levels[0]["coordinateTransformations"] == [{"type": "scale", "scale": [0.5, 0.25]}]
    assert levels[1]["coordinateTransformations"] == [
        {"type": "scale", "scale": [1.0, 0.5]},
        {"type": "translation", "translation": [0.25, 0.125]},
    ]


def test_we_read_it(tmp_path: Path) -> None:
    tiles = scene_tiles(patches(MASK, *SHAPE), MASK, side=512, levels=0)
    ome_zarr(tmp_path / "m.ome.zarr", tiles)
    reader = open_reader(open_store(str(tmp_path)), "m.ome.zarr")
    assert reader.header.pixel_size_um == UM
    found = reader.read(Window(0, 0, SHAPE[1], SHAPE[0]), [1], rule="any").pixels
    np.testing.assert_array_equal(found, levels_of(tiles)[0])
    reader.close()


def test_integers_that_stand_for_other_values_say_which(tmp_path: Path) -> None:
    product = replace(image_product("uint16", 2, 0), scale=0.5, offset=-1024.5)
    ome_zarr(tmp_path, scene_tiles(patches(product, 30, 40), product, side=512, levels=0))
    assert dict(zarr.open_group(tmp_path, mode="r")["0"].attrs) == {"scale_factor": 0.5, "add_offset": -1024.5}


@given(data=st.binary(max_size=300))
def test_the_check_sum_is_that_of_castagnoli(data: bytes) -> None:
    assert crc32c(data) == google_crc32c.value(data)
