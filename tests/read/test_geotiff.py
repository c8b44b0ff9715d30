from __future__ import annotations

import functools
import gc
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from contracts import reader as contract
from fakes import FakeStore
from rasters import REFUSED_DTYPES, VARIANTS, Variant, coordinate_image, gtiff

from encdec_batch.errors import UnsupportedScene, WindowError
from encdec_batch.read.gdal.files import _objects
from encdec_batch.read.limits import Limits
from encdec_batch.read.open import open_reader
from encdec_batch.read.reader import Reader
from encdec_batch.store.local import LocalStore
from encdec_batch.window import Window

BY_TILES = Limits(small_file_bytes=0)
SHARED = Path(__file__).parents[3] / "shared" / "data" / "geo_scenes"
REAL_SCENES = sorted(path.name for path in SHARED.glob("*.tif"))
CHECKS = (
    contract.check_header,
    contract.check_windows,
    contract.check_nan_kept,
    contract.check_costs,
    contract.check_thumbnail,
)


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Variant], Path]:
    folder = tmp_path_factory.mktemp("variants")

    @functools.cache
    def written(name: str) -> Path:
        path = folder / f"{name}.tif"
        next(variant for variant in (*VARIANTS, *REFUSED_DTYPES) if variant.name == name).write(path)
        return path

    return lambda variant: written(variant.name)


def opening(path: Path, *, limits: Limits, whole: bool = False) -> Callable[[], Reader]:
    store = LocalStore(str(path.parent))
    return lambda: open_reader(store, path.name, limits=limits, whole=whole)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_reads_by_tiles_as_rasterio_does(variant, check, variants):
    path = variants(variant)
    check(opening(path, limits=BY_TILES), path)


@pytest.mark.parametrize("whole", [False, True], ids=["when_needed", "at_once"])
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_reads_small_files_whole_as_rasterio_does(variant, whole, variants):
    path = variants(variant)
    contract.check_windows(opening(path, limits=Limits(), whole=whole), path, seed=1, count=1)
    contract.check_costs(opening(path, limits=Limits(), whole=whole), path)


@pytest.mark.skipif(not REAL_SCENES, reason="../shared/data/geo_scenes is not there")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", [name for name in REAL_SCENES if "slc" not in name])
def test_reads_real_scenes_as_rasterio_does(name, check):
    check(opening(SHARED / name, limits=BY_TILES), SHARED / name)


@pytest.mark.skipif(not REAL_SCENES, reason="../shared/data/geo_scenes is not there")
@pytest.mark.parametrize("name", ["sentinel1_slc_cint16_gcps.tif", "s2_B01_crop_lossless.jp2"])
def test_sets_aside_real_scenes_that_it_does_not_read(name):
    with pytest.raises(UnsupportedScene) as caught:
        opening(SHARED / name, limits=BY_TILES)()
    assert caught.value.hint


@pytest.mark.parametrize("variant", REFUSED_DTYPES, ids=lambda variant: variant.name)
def test_other_types_of_pixels_are_set_aside(variant, variants):
    with pytest.raises(UnsupportedScene, match="pixels are"):
        opening(variants(variant), limits=BY_TILES)()


@pytest.fixture
def large(tmp_path) -> tuple[FakeStore, Path]:
    """Tiled, noise (so that nothing is smaller than it looks), many tiles a row."""
    path = tmp_path / "large.tif"
    pixels = np.random.default_rng(3).integers(0, 255, (3, 900, 2000), dtype=np.uint8)
    gtiff(pixels, tile=128, compress="DEFLATE", interleave="pixel")(path)
    store = FakeStore()
    store.put("large.tif", path.read_bytes())
    return store, path


def test_a_run_reads_what_its_windows_share_once(large):
    store, _ = large
    reader = open_reader(store, "large.tif", limits=BY_TILES)
    windows = contract.run_of_windows(900, 2000, side=256, halo=32)
    encoded = reader.header.encoded_bytes
    rows = -(-(256 + 32) // 128) / -(-900 // 128)
    run = reader.bytes_for(windows, (1, 2, 3))
    alone = sum(reader.bytes_for([window], (1, 2, 3)) for window in windows)
    assert run < 1.15 * rows * encoded  # and what lies in gaps
    assert alone > 1.4 * rows * encoded
    reader.close()


def test_opening_costs_two_requests_and_one_page(large):
    store, _ = large
    store.requests.clear()
    reader = open_reader(store, "large.tif", limits=BY_TILES)
    assert [operation for operation, _ in store.requests] == ["info", "get"]
    assert reader.bytes_read == 64 << 10
    reader.close()


def test_a_small_file_may_come_by_one_get(large):
    store, path = large
    store.requests.clear()
    reader = open_reader(store, "large.tif", whole=True)
    reader.read(Window(0, 0, 2000, 900), (1, 2, 3), rule="any")
    assert [operation for operation, _ in store.requests] == ["info", "get"]
    assert reader.bytes_read == path.stat().st_size
    reader.close()


def test_keeps_no_more_than_its_limit(large):
    store, _ = large
    reader = open_reader(store, "large.tif", limits=Limits(small_file_bytes=0, kept_bytes=200_000))
    window = Window(0, 0, 2000, 900)
    reader.read(window, (1,), rule="any")
    again = reader.bytes_for([window], (1,))
    assert reader.header.encoded_bytes - 200_000 <= again + (64 << 10)
    assert again < reader.header.encoded_bytes
    little = Limits(small_file_bytes=0, kept_bytes=50_000)
    contract.check_costs(lambda: open_reader(store, "large.tif", limits=little), large[1], keeps_a_window=False)
    reader.close()


def test_one_band_of_bands_apart_costs_one_band(tmp_path):
    path = tmp_path / "apart.tif"
    pixels = np.random.default_rng(3).integers(0, 255, (4, 700, 700), dtype=np.uint8)
    gtiff(pixels, tile=128, compress="DEFLATE", interleave="band", photometric="MINISBLACK")(path)
    reader = opening(path, limits=BY_TILES)()
    window = Window(0, 0, 700, 700)
    assert reader.bytes_for([window], (3,)) < 1.2 * reader.bytes_for([window], (1, 2, 3, 4)) / 4
    reader.close()


def test_a_reader_may_move_from_thread_to_thread(large):
    # rasterio keeps openers per context; without one of its own the process dies here.
    store, path = large
    readers: list[Reader] = []
    sums: list[int] = []
    window = Window(100, 100, 300, 300)

    def read() -> None:
        sums.append(int(readers[0].read(window, (2,), rule="any").pixels.sum()))

    in_thread(lambda: readers.append(open_reader(store, "large.tif", limits=BY_TILES)))
    in_thread(read)
    read()
    with rasterio.open(path) as dataset:
        assert sums == [dataset.read(2, window=((100, 400), (100, 400))).sum()] * 2
    readers[0].close()


def test_a_reader_may_be_dropped_unclosed_in_another_thread(large):
    store, _ = large
    readers = [open_reader(store, "large.tif", limits=BY_TILES)]
    readers[0].read(Window(0, 0, 10, 10), (1,), rule="any")

    def drop() -> None:
        readers.clear()
        gc.collect()

    in_thread(drop)
    assert not readers


def test_no_reader_makes_a_folder_of_gdals(large, monkeypatch):
    """GDAL's map of folders has no lock: while one thread adds to it, another that opens anything dies."""

    def no_folder(*_: object) -> None:
        raise AssertionError("a folder was made")

    monkeypatch.setattr("rasterio._opener_registration", no_folder)
    monkeypatch.setattr("rasterio._vsiopener._opener_registration", no_folder)
    reader = open_reader(large[0], "large.tif", limits=BY_TILES)
    assert reader.read(Window(0, 0, 10, 10), (1,), rule="any").pixels.shape == (1, 10, 10)
    reader.close()
    assert not _objects


def test_many_readers_side_by_side(large):
    store, path = large
    with rasterio.open(path) as dataset:
        pixels = dataset.read()
    wrong: list[Window] = []

    def read(seed: int) -> None:
        reader = open_reader(store, "large.tif", limits=BY_TILES)
        for window in contract.seeded_windows(900, 2000, seed=seed):
            patch = reader.read(window, (1, 2, 3), rule="any")
            if not np.array_equal(patch.pixels, pixels[:, window.rows, window.cols]):
                wrong.append(window)
        reader.close()

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_window_outside_and_a_band_that_is_not_there_are_refused(large):
    store, _ = large
    reader = open_reader(store, "large.tif", limits=BY_TILES)
    with pytest.raises(WindowError):
        reader.read(Window(1990, 0, 11, 1), (1,), rule="any")
    for bands in ((0,), (4,), (1, 4), ()):
        with pytest.raises(UnsupportedScene, match="bands"):
            reader.read(Window(0, 0, 1, 1), bands, rule="any")
    reader.close()


def test_a_thumbnail_comes_from_an_overview(tmp_path):
    path = tmp_path / "scene.tif"
    gtiff(coordinate_image(3, 2100, 2000), tile=256, compress="DEFLATE", interleave="pixel")(path)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4, 8])
    reader = opening(path, limits=BY_TILES)()
    opened = reader.bytes_read
    thumbnail = reader.thumbnail(500)
    assert max(thumbnail.pixels.shape) <= 500
    with rasterio.open(path, OVERVIEW_LEVEL=1) as overview:
        np.testing.assert_array_equal(thumbnail.pixels, overview.read()[:, ::2, ::2])
    assert reader.bytes_read - opened < reader.header.encoded_bytes / 4
    reader.close()


def test_a_thumbnail_that_would_cost_too_much_is_refused(large):
    store, _ = large
    for limits in (
        Limits(small_file_bytes=0, max_thumbnail_bytes=100_000),
        Limits(small_file_bytes=0, max_decoded_bytes=1_000_000),
    ):
        reader = open_reader(store, "large.tif", limits=limits)
        with pytest.raises(UnsupportedScene, match="overview"):
            reader.thumbnail(256)
        reader.close()


def in_thread(call: Callable[[], None]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
