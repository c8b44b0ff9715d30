from __future__ import annotations

import hashlib
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import tifffile
from commit.scenes import (
    DEFLATE,
    FLOAT,
    MANY,
    MASK,
    ZSTD,
    coarse_of,
    encode_blocks,
    image_product,
    in_memory,
    patches,
    scene_tiles,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rio_cogeo import cog_validate

from encdec_batch.commit.cog import write_cog
from encdec_batch.commit.geo import Geo, geo_of
from encdec_batch.commit.parts import MemoryParts, SceneTiles
from encdec_batch.errors import UnsupportedScene
from encdec_batch.plan.product import Product
from encdec_batch.read.header import GroundControlPoint, SceneHeader
from encdec_batch.write.codec import Codec
from encdec_batch.write.overview import reduce
from encdec_batch.write.sink import Written

UTM = CRS.from_epsg(32633)
NORTH_UP = Geo(crs_wkt=UTM.to_wkt(), transform=(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0))
PRODUCTS = [
    MASK,
    MANY,
    image_product("uint8", 1, 0),
    image_product("uint8", 3, 0),
    image_product("uint8", 4),
    image_product("uint8", 5, 255),
    image_product("uint16", 2, 65535),
    image_product("uint16", 3),
    FLOAT,
    image_product("float32", 4, -9999.0),
]


def cog_bytes(tiles: SceneTiles, geo: Geo = NORTH_UP) -> bytes:
    sink = io.BytesIO()
    write_cog(sink, tiles, geo)
    return sink.getvalue()


def complaints_of_gdal(folder: Path, shape: tuple[int, ...]) -> tuple[bool, set[str], set[str]]:
    """Clean, but for sizes where rio-cogeo finds fault with GDAL's own files too.

    It takes a width of one tile for strips, and knows an overview's factor from the width alone.
    """
    if shape[1] > 512:
        return True, set(), set()
    path = folder / "gdal.tif"
    with rasterio.MemoryFile() as memory:
        with memory.open(driver="GTiff", height=shape[0], width=shape[1], count=1, dtype="uint8") as file:
            file.write(np.ones((1, *shape), "u1"))
        with memory.open() as file:
            rasterio.shutil.copy(file, path, driver="COG", blocksize=512)
    return complaints(path)


def complaints(path: Path) -> tuple[bool, set[str], set[str]]:
    """What rio-cogeo says of a file, of whichever level: of a side of 1025 px we make one level more than GDAL."""
    valid, errors, warnings = cog_validate(path, strict=True, quiet=True)
    return valid, *({re.sub(r"level \d+", "a level", said) for said in some} for some in (errors, warnings))


def assert_valid(path: Path, pixels: np.ndarray, product: Product) -> None:
    """As a COG, for GDAL's pixels and overviews, and for tifffile's."""
    assert complaints(path) == complaints_of_gdal(path.parent, pixels.shape[1:])
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.dtypes == (product.dtype,) * product.num_bands
        assert file.nodata == product.nodata or (np.isnan(file.nodata) and np.isnan(product.nodata))
        np.testing.assert_array_equal(file.read(), pixels)
        num_overviews = len(file.overviews(1))
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == num_overviews + 1
        for number, level in enumerate(tiff.pages):
            if number:
                pixels = reduce(pixels, product)
                with rasterio.open(path, overview_level=number - 1) as overview:
                    np.testing.assert_array_equal(overview.read(), pixels)
            found = level.asarray()
            np.testing.assert_array_equal(found[None] if product.num_bands == 1 else found.transpose(2, 0, 1), pixels)
        assert max(pixels.shape[1:]) <= 512


@pytest.mark.parametrize("codec", [DEFLATE, ZSTD], ids=lambda codec: codec.name)
@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: f"{product.kind}-{product.dtype}x{product.num_bands}")
def test_other_readers_see_a_valid_cog_of_these_pixels(tmp_path: Path, product: Product, codec: Codec) -> None:
    pixels = patches(product, 700, 533)
    path = tmp_path / "scene.tif"
    path.write_bytes(cog_bytes(scene_tiles(pixels, product, side=512, levels=0, codec=codec)))
    assert_valid(path, pixels, product)


@given(
    height=st.one_of(st.sampled_from([1, 2, 511, 512, 513, 1024, 1025]), st.integers(1, 2600)),
    width=st.one_of(st.sampled_from([1, 512, 513]), st.integers(1, 700)),
    upright=st.booleans(),
    levels=st.integers(0, 3),
    blocks=st.integers(1, 2),
    product=st.sampled_from([MASK, image_product("uint8", 2, 0)]),
)
@example(height=1025, width=1, upright=True, levels=0, blocks=1, product=MASK)
@settings(max_examples=12)
def test_any_size_any_block_any_level(
    tmp_path_factory: pytest.TempPathFactory,
    height: int,
    width: int,
    upright: bool,
    levels: int,
    blocks: int,
    product: Product,
) -> None:
    shape = (height, width) if upright else (width, height)
    pixels = patches(product, *shape)
    path = tmp_path_factory.mktemp("cog") / "scene.tif"
    path.write_bytes(cog_bytes(scene_tiles(pixels, product, side=blocks * 512 << levels, levels=levels)))
    assert_valid(path, pixels, product)


def test_bytes_do_not_depend_on_the_blocks() -> None:
    pixels = patches(MASK, 1300, 1400)
    grids = [(512, 0), (1024, 0), (1024, 1), (2048, 2), (2048, 0)]
    digests = {hashlib.sha256(cog_bytes(scene_tiles(pixels, MASK, side=s, levels=n))).hexdigest() for s, n in grids}
    assert len(digests) == 1


def test_the_writer_says_what_it_wrote() -> None:
    sink = io.BytesIO()
    written = write_cog(sink, scene_tiles(patches(MASK, 600, 700), MASK, side=1024, levels=1), NORTH_UP)
    data = sink.getvalue()
    assert written == Written(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def test_each_tile_lies_between_its_size_and_its_last_bytes_in_gdal_s_order() -> None:
    data = cog_bytes(scene_tiles(patches(MASK, 1100, 1300), MASK, side=512, levels=0))
    places = []
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        for page in reversed(tiff.pages):
            places += list(zip(page.dataoffsets, page.databytecounts, strict=True))
    end = places[0][0] - 4
    for offset, length in places:
        assert offset == end + 4
        assert int.from_bytes(data[offset - 4 : offset], "little") == length
        assert data[offset + length :][:4] == data[offset + length - 4 :][:4]
        end = offset + length + 4
    assert end == len(data)


def test_directories_and_values_begin_on_words() -> None:
    data = cog_bytes(scene_tiles(patches(MASK, 1100, 1300), MASK, side=512, levels=0))
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        assert [page.offset % 2 for page in tiff.pages] == [0, 0, 0]
        assert {tag.valueoffset % 2 for page in tiff.pages for tag in page.tags if tag.valuebytecount > 4} == {0}


def test_classes_have_colours_and_names(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    path.write_bytes(cog_bytes(scene_tiles(patches(MASK, 30, 40), MASK, side=512, levels=0)))
    with rasterio.open(path) as file:
        colors = file.colormap(1)
        assert [colors[number][:3] for number in MASK.class_ids] == list(MASK.class_colors)
        names = json.loads(file.tags(1)["CLASS_NAMES"])
        assert names == {"0": "ground", "1": "water & <ice>", "2": "forêt", "7": "road"}
        assert file.descriptions == ("class",)
        assert file.colorinterp[0].name == "palette"


def test_bands_of_images_keep_their_names_and_none_is_taken_for_alpha(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    product = image_product("uint8", 4)
    path.write_bytes(cog_bytes(scene_tiles(patches(product, 30, 40), product, side=512, levels=0)))
    with rasterio.open(path) as file:
        assert file.descriptions == product.band_names
        assert "alpha" not in [meaning.name for meaning in file.colorinterp]
        assert file.mask_flag_enums[0] == [rasterio.enums.MaskFlags.all_valid]


CRSS = ["EPSG:4326", "EPSG:32633", "EPSG:3857", "EPSG:3035", "ESRI:54009", "EPSG:2056", "+proj=sinu +R=6371007.181"]
TRANSFORMS = {
    "north-up": (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0),
    "rotated": (9.0, 2.0, 500_000.0, 2.0, -9.0, 5_000_000.0),
    "south-up": (0.5, 0.0, -3.0, 0.0, 0.5, 7.0),
}


@pytest.mark.parametrize("crs", CRSS)
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_crs_and_transform_are_those_gdal_writes_itself(tmp_path: Path, crs: str, transform: tuple[float, ...]) -> None:
    geo = Geo(crs_wkt=CRS.from_user_input(crs).to_wkt(), transform=transform)
    ours, theirs = tmp_path / "ours.tif", tmp_path / "theirs.tif"
    ours.write_bytes(cog_bytes(scene_tiles(patches(MASK, 3, 5), MASK, side=512, levels=0), geo))
    place = {"crs": CRS.from_user_input(crs), "transform": rasterio.Affine(*transform)}
    with rasterio.open(theirs, "w", driver="GTiff", width=5, height=3, count=1, dtype="uint8", **place):
        pass
    with rasterio.open(ours) as file, rasterio.open(theirs) as expected:
        assert file.crs == expected.crs
        assert file.transform == expected.transform


def test_a_crs_that_geotiff_cannot_say_is_kept_in_words(tmp_path: Path) -> None:
    rotated = CRS.from_string("+proj=ob_tran +o_proj=longlat +o_lat_p=39.25 +o_lon_p=0 +lon_0=18 +R=6371229 +no_defs")
    path = tmp_path / "scene.tif"
    geo = Geo(crs_wkt=rotated.to_wkt(), transform=(0.1, 0.0, 0.0, 0.0, -0.1, 0.0))
    path.write_bytes(cog_bytes(scene_tiles(patches(MASK, 3, 5), MASK, side=512, levels=0), geo))
    with rasterio.open(path) as file:
        assert file.crs == rotated or CRS.from_wkt(file.tags()["CRS_WKT"]) == rotated


def test_a_crs_that_gdal_does_not_know_is_one_clear_error() -> None:
    with pytest.raises(UnsupportedScene, match="does not know"):
        cog_bytes(scene_tiles(patches(MASK, 3, 5), MASK, side=512, levels=0), Geo(crs_wkt="PROJCS[nonsense"))


def scene_header(**place: object) -> SceneHeader:
    chosen = {"crs_wkt": None, "transform": None, "gcps": (), "gcps_crs_wkt": None} | place
    return SceneHeader(
        driver="GTiff", height=3, width=5, num_bands=1, dtype="uint8", nodata=(None,), mask="none", scales=(1.0,),
        offsets=(0.0,), band_names=(None,), layout="tiled", tile_height=512, tile_width=512, compression="deflate",
        planar=False, encoded_bytes=9, **chosen,
    )  # fmt: skip


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_points_keep_their_place_on_the_ground_at_every_scale(tmp_path: Path, scale: int) -> None:
    points = tuple(
        GroundControlPoint(row=row, col=col, x=10 + col / 7, y=50 - row / 7, z=3.5)
        for row, col in [(0.0, 0.0), (0.0, 5.0), (3.0, 0.0), (2.5, 4.5)]
    )
    wkt = CRS.from_epsg(4326).to_wkt()
    path = tmp_path / "scene.tif"
    geo = geo_of(scene_header(gcps=points, gcps_crs_wkt=wkt), scale)
    path.write_bytes(cog_bytes(scene_tiles(patches(MASK, 3 * scale, 5 * scale), MASK, side=512, levels=0), geo))
    with rasterio.open(path) as file:
        found, crs = file.gcps
        assert crs == CRS.from_epsg(4326)
        assert [(p.row / scale, p.col / scale, p.x, p.y, p.z) for p in found] == [
            (p.row, p.col, p.x, p.y, p.z) for p in points
        ]


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_the_scene_s_corners_stay_where_they_are_at_every_scale(scale: int, transform: tuple[float, ...]) -> None:
    geo = geo_of(scene_header(crs_wkt=UTM.to_wkt(), transform=transform), scale)
    assert geo.transform is not None
    for col, row in [(0, 0), (5, 0), (5, 3)]:
        corner = rasterio.Affine(*geo.transform) @ (col * scale, row * scale)
        assert corner == pytest.approx(rasterio.Affine(*transform) @ (col, row))


@pytest.mark.parametrize(
    "geo", [Geo(transform=TRANSFORMS["rotated"]), Geo(crs_wkt=UTM.to_wkt())], ids=["no crs", "crs"]
)
def test_half_a_place_is_kept(tmp_path: Path, geo: Geo) -> None:
    path = tmp_path / "scene.tif"
    path.write_bytes(cog_bytes(scene_tiles(patches(MASK, 6, 10), MASK, side=512, levels=0), geo))
    with rasterio.open(path) as file:
        assert file.crs == (UTM if geo.crs_wkt else None)
        assert file.transform == (rasterio.Affine(*geo.transform) if geo.transform else rasterio.Affine.identity())


def test_a_scene_without_a_place_has_none(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    geo = geo_of(scene_header(), 2)
    path.write_bytes(cog_bytes(scene_tiles(patches(MASK, 6, 10), MASK, side=512, levels=0), geo))
    with rasterio.open(path) as file:
        assert file.crs is None
        assert file.transform == rasterio.Affine.identity()


class HeaderTaken(Exception):
    """The sink has what it wanted."""


class HeaderSink:
    """Takes the first bytes alone."""

    data = b""

    def write(self, data: bytes) -> None:
        if self.data:
            raise HeaderTaken
        self.data = data


def test_a_file_above_4_gib_is_a_bigtiff_with_room_for_every_tile() -> None:
    pixels = patches(MASK, 1025, 600)
    parts = in_memory(encode_blocks(pixels, MASK, side=512, levels=0))
    for index in parts.indexes:
        # Tiles that pretend to be giants: their bytes are never asked for.
        index.tiles["mask"]["length"] = 900_000_000
    sink = HeaderSink()
    with pytest.raises(HeaderTaken):
        write_cog(sink, SceneTiles(MASK, (1025, 600), parts, _coarse(pixels)), NORTH_UP)
    with tifffile.TiffFile(io.BytesIO(sink.data)) as tiff:
        assert tiff.is_bigtiff
        assert [page.shape for page in tiff.pages] == [(1025, 600), (513, 300), (257, 150)]
        offsets, lengths = tiff.pages[0].tags[324].value, tiff.pages[0].tags[325].value
        assert lengths == (900_000_000,) * 6
        assert np.diff(offsets).tolist() == [900_000_008] * 5
        assert tiff.pages[2].tags[324].value[0] == len(sink.data) + 4


def _coarse(pixels: np.ndarray) -> MemoryParts | None:
    return coarse_of(in_memory(encode_blocks(pixels, MASK, side=512, levels=0)), MASK)


def test_integers_say_what_they_stand_for(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    product = replace(image_product("uint16", 2, 0), scale=0.0625, offset=-1024.0625)
    path.write_bytes(cog_bytes(scene_tiles(patches(product, 30, 40), product, side=512, levels=0)))
    with rasterio.open(path) as file:
        assert (file.scales, file.offsets) == ((0.0625,) * 2, (-1024.0625,) * 2)
