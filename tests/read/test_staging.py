from __future__ import annotations

import numpy as np
import pytest
import rasterio
from contracts import reader as contract
from fakes import FakeStore
from rasters import VARIANTS, coordinate_image, gtiff

from encdec_batch.errors import SceneUnreadable, UnsupportedScene
from encdec_batch.read.limits import Limits
from encdec_batch.read.open import open_reader
from encdec_batch.read.staged import open_staged
from encdec_batch.read.staging import stage_scene
from encdec_batch.store.local import LocalStore
from encdec_batch.window import Window

BY_TILES = Limits(small_file_bytes=0)
NAMES = (
    "strips",
    "strips_of_one_row",
    "strips_planar",
    "one_strip",
    "jpeg_strips",
    "internal_mask",
    "alpha_uint16",
    "nodata_any_all",
    "nodata_nan",
    "nan_unsaid",
    "nodata_together",
    "nodata_rounded",
    "gcps",
    "described",
    "copied_overviews",
    "float64",
)


def staged(path, target):
    reader = open_reader(LocalStore(str(path.parent)), path.name, limits=BY_TILES)
    assert stage_scene(reader, target, "staged/x")
    return reader


@pytest.mark.parametrize("name", NAMES)
def test_a_staged_scene_reads_as_the_scene(tmp_path, name):
    path = tmp_path / "scene.tif"
    next(variant for variant in VARIANTS if variant.name == name).write(path)
    target = FakeStore()
    source = staged(path, target)
    for check in (contract.check_windows, contract.check_nan_kept, contract.check_costs, contract.check_thumbnail):
        check(lambda: open_staged(target, "staged/x"), path)
    again = open_staged(target, "staged/x")
    assert again.etag == source.etag
    assert again.size_bytes == source.size_bytes
    same = ("height", "width", "num_bands", "dtype", "mask", "scales", "offsets", "band_names", "transform", "gcps")
    assert [getattr(again.header, field) for field in same] == [getattr(source.header, field) for field in same]
    np.testing.assert_equal(again.header.nodata, source.header.nodata)
    assert again.header.layout == "tiled"
    source.close()


@pytest.fixture
def strips(tmp_path):
    path = tmp_path / "strips.tif"
    pixels = coordinate_image(2, 1300, 3000, "uint16")
    gtiff(pixels, tile=None, compress="DEFLATE", blockysize=7, interleave="pixel")(path)
    return path


def test_staging_reads_the_scene_once_and_its_windows_then_cost_less(strips):
    target = FakeStore()
    source = staged(strips, target)
    assert source.bytes_read <= 1.02 * source.size_bytes
    windows = [Window(left, 0, 600, 600) for left in range(0, 2400, 300)]
    plain = open_reader(
        LocalStore(str(strips.parent)), strips.name, limits=Limits(small_file_bytes=0, kept_bytes=10_000)
    )
    reader = open_staged(target, "staged/x")
    share = reader.bytes_for(windows, (1,)) / reader.header.encoded_bytes
    assert share < 1.2
    assert plain.bytes_for(windows, (1,)) / plain.header.encoded_bytes > 2 * share
    for opened in (plain, reader, source):
        opened.close()


def test_a_scene_is_staged_once(strips):
    target = FakeStore()
    source = staged(strips, target)
    before = target.objects["staged/x"][0]
    assert not stage_scene(source, target, "staged/x")
    assert target.objects["staged/x"][0] is before
    source.close()


def test_a_scene_that_fails_midway_leaves_nothing(strips):
    target = FakeStore()
    data = bytearray(strips.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    broken = FakeStore()
    broken.put("scene", bytes(data))
    reader = open_reader(broken, "scene", limits=BY_TILES)
    with pytest.raises(SceneUnreadable):
        stage_scene(reader, target, "staged/x")
    assert not target.objects
    reader.close()


def test_damage_is_noticed(strips):
    target = FakeStore()
    staged(strips, target).close()
    data = bytearray(target.objects["staged/x"][0])
    data[5000] ^= 1
    target.put("damaged", bytes(data))
    target.put("cut", bytes(data[:-20]))
    reader = open_staged(target, "damaged")
    with pytest.raises(SceneUnreadable, match="damaged"):
        reader.read(Window(0, 0, 600, 600), (1,), rule="any")
    with pytest.raises(SceneUnreadable, match="damaged"):
        open_staged(target, "cut")


def test_a_thumbnail_has_every_nth_pixel_or_is_refused(strips):
    target = FakeStore()
    staged(strips, target).close()
    with rasterio.open(strips) as dataset:
        np.testing.assert_array_equal(
            open_staged(target, "staged/x").thumbnail(500).pixels, dataset.read()[:, ::6, ::6]
        )
    with pytest.raises(UnsupportedScene, match="thumbnail"):
        open_staged(target, "staged/x", limits=Limits(max_thumbnail_bytes=10)).thumbnail(500)
