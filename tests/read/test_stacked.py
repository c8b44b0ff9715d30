"""Slices read together are their bands one after the other."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from encdec_batch.errors import SceneUnreadable
from encdec_batch.read.limits import Limits
from encdec_batch.read.open import open_reader
from encdec_batch.read.stacked import StackedReader
from encdec_batch.store.local import LocalStore
from encdec_batch.window import Window

BY_TILES = Limits(small_file_bytes=0)
WINDOW = Window(5, 7, 40, 30)


@pytest.fixture
def slices(tmp_path):
    """Three slices of two bands; 0 is nodata."""
    pixels = np.random.default_rng(0).integers(0, 4, (3, 70, 90, 2), dtype=np.uint8)
    for number, image in enumerate(pixels):
        tifffile.imwrite(
            tmp_path / f"{number}.tif",
            image,
            photometric="minisblack",
            planarconfig="contig",
            tile=(32, 32),
            extratags=[(42113, "s", 0, "0", True)],
        )
    readers = [open_reader(LocalStore(str(tmp_path)), f"{n}.tif", limits=BY_TILES) for n in range(3)]
    yield pixels, readers
    for reader in readers:
        reader.close()


@pytest.mark.parametrize("bands", [(1, 2, 3, 4, 5, 6), (6, 1, 3), (2, 2, 5)])
@pytest.mark.parametrize("rule", ["any", "all"])
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 0, 1)])
def test_bands_are_those_of_the_slices(slices, bands, rule, order):
    pixels, readers = slices
    stacked = StackedReader([readers[n] for n in order])
    said = stacked.bytes_for([WINDOW], bands)
    before = stacked.bytes_read
    patch = stacked.read(WINDOW, bands, rule=rule)
    assert stacked.bytes_read - before == said
    together = np.concatenate([pixels[n].transpose(2, 0, 1) for n in order])
    wanted = together[[band - 1 for band in bands], WINDOW.rows, WINDOW.cols]
    np.testing.assert_array_equal(patch.pixels, wanted)
    missing = wanted == 0
    np.testing.assert_array_equal(patch.valid_mask, ~(missing.any(axis=0) if rule == "any" else missing.all(axis=0)))


def test_its_header_and_thumbnail_are_of_the_slice_in_the_middle(slices):
    _, readers = slices
    stacked = StackedReader(readers)
    assert (stacked.header.num_bands, len(stacked.header.nodata), len(stacked.header.scales)) == (6, 6, 6)
    assert stacked.etag == readers[1].etag
    thumbnail = stacked.thumbnail(64)
    np.testing.assert_array_equal(thumbnail.pixels[2:4], readers[1].thumbnail(64).pixels)


def test_slices_of_different_sizes_are_refused(slices, tmp_path):
    _, readers = slices
    tifffile.imwrite(tmp_path / "other.tif", np.zeros((70, 91), np.uint8), photometric="minisblack")
    other = open_reader(LocalStore(str(tmp_path)), "other.tif")
    with pytest.raises(SceneUnreadable, match="90 x 70 px of 2 uint8, 91 x 70 px of 1 uint8"):
        StackedReader([readers[0], other, readers[2]])
    other.close()
