from __future__ import annotations

from dataclasses import replace

import pytest
from rasterio.crs import CRS

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.header import SceneHeader
from encdec_batch.train.dataset.footprint import check_fits, footprint_of, overlap
from encdec_batch.window import Window

UTM, OTHER = CRS.from_epsg(32633).to_wkt(), CRS.from_epsg(32634).to_wkt()
HEADER = SceneHeader(
    driver="GTiff",
    height=100,
    width=200,
    num_bands=1,
    dtype="uint8",
    nodata=(None,),
    mask="none",
    scales=(1.0,),
    offsets=(0.0,),
    band_names=(None,),
    crs_wkt=UTM,
    transform=(0.5, 0, 5000, 0, -0.5, 9000),
    gcps=(),
    gcps_crs_wkt=None,
    layout="tiled",
    tile_height=64,
    tile_width=64,
    compression="NONE",
    planar=False,
    encoded_bytes=1,
)


def moved(cols: float, rows: float, size: float = 1.0) -> SceneHeader:
    """The same image, so many of its pixels to the right and down, with larger pixels."""
    return replace(HEADER, transform=(0.5 * size, 0, 5000 + cols / 2, 0, -0.5 * size, 9000 - rows / 2))


def check(target: SceneHeader) -> None:
    check_fits(HEADER, target, image_uri="a.tif", target_uri="b.tif")


@pytest.mark.parametrize(
    "target",
    [HEADER, moved(0.3, -0.3), replace(HEADER, crs_wkt=None), replace(HEADER, transform=None)],
    ids=["same", "within_half_a_pixel", "no_crs", "no_place"],
)
def test_a_target_that_fits(target):
    check(target)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (replace(HEADER, height=99), r"b.tif: has 200 x 99 px, its image a.tif 200 x 100"),
        (moved(0, 0, 2), r"b.tif: its pixels are 2 x 2 those of its image a.tif"),
        (moved(3, 0), r"b.tif: lies 3.0 px right and 0.0 px below of its image a.tif"),
        (moved(0, -7), r"b.tif: lies 0.0 px right and -7.0 px below of its image a.tif"),
        (replace(HEADER, crs_wkt=OTHER), r"b.tif: has another coordinate system than its image a.tif"),
    ],
    ids=["size", "scale", "right", "above", "crs"],
)
def test_a_target_that_does_not_fit_names_both_files_and_the_difference(target, words):
    with pytest.raises(UnsupportedScene, match=words) as caught:
        check(target)
    assert caught.value.hint
    assert caught.value.context["uri"] == "b.tif"


@pytest.mark.parametrize(
    ("header", "window", "shared"),
    [
        (moved(0, 0), (0, 0, 200, 100), "the same footprint"),
        (moved(0.9, -0.9), (0, 0, 200, 100), "the same footprint"),
        (moved(5, 0), (0, 0, 200, 100), "ground in common"),
        (moved(199, 99), (0, 0, 200, 100), None),
        (moved(200, 0), (0, 0, 200, 100), None),
        (moved(0, 0, 2), (0, 0, 100, 50), "the same footprint"),
        (moved(0, 0), (120, 0, 80, 100), "ground in common"),
        (replace(HEADER, crs_wkt=OTHER), (0, 0, 200, 100), None),
    ],
    ids=["same", "a_pixel_off", "overlap", "touch", "beside", "half_resolution", "part", "other_zone"],
)
def test_what_two_images_share(header, window, shared):
    ours, theirs = footprint_of(HEADER, Window(0, 0, 200, 100)), footprint_of(header, Window(*window))
    assert ours is not None
    assert theirs is not None
    assert overlap(ours, theirs) == shared
    assert overlap(theirs, ours) == shared


def test_parts_of_one_image_that_do_not_meet_share_nothing():
    west, east = (footprint_of(HEADER, Window(col, 0, 90, 100)) for col in (0, 110))
    assert west is not None
    assert east is not None
    assert overlap(west, east) is None


@pytest.mark.parametrize("header", [replace(HEADER, crs_wkt=None), replace(HEADER, transform=None)])
def test_without_a_place_there_is_no_footprint(header):
    assert footprint_of(header, Window(0, 0, 1, 1)) is None
