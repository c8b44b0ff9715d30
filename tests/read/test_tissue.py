from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from contracts import reader as contract
from fakes import ArrayReader, FakeStore
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import threshold_otsu
from slides import pyramid_of, write_aperio

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.limits import Limits
from encdec_batch.read.open import open_reader
from encdec_batch.read.options import ReadOptions
from encdec_batch.read.reader import Reader
from encdec_batch.read.tissue import CELL, otsu, tissue_only
from encdec_batch.store.local import LocalStore
from encdec_batch.window import Window

CMU = Path(__file__).parents[3] / "shared/data/medical/wsi/CMU-1-Small-Region.svs"
URI = "memory://slide"
GLASS, PINK = (243, 242, 240), (205, 120, 180)


def slide(height: int, width: int, *tissue: Window, noise: int = 3, background: tuple[int, ...] = GLASS) -> np.ndarray:
    """(3, height, width): glass with noise, and pink where there is tissue."""
    pixels = np.empty((3, height, width), np.int16)
    pixels[:] = np.array(background)[:, None, None]
    for place in tissue:
        pixels[:, place.rows, place.cols] = np.array(PINK)[:, None, None]
    pixels += np.random.default_rng(0).integers(-noise, noise + 1, pixels.shape, dtype=np.int16)
    return pixels.clip(0, 255).astype(np.uint8)


def masked(pixels: np.ndarray, **options) -> Reader:
    return tissue_only(ArrayReader(pixels, **options), uri=URI)


def everything(reader: Reader):
    header = reader.header
    return reader.read(Window(0, 0, header.width, header.height), (1, 2, 3), rule="any")


def test_what_is_no_tissue_is_invalid_and_zero():
    tissue = Window(700, 300, 260, 180)
    pixels = slide(800, 1200, tissue)
    found = everything(masked(pixels))
    assert found.valid_mask[tissue.rows, tissue.cols].all()
    near = np.zeros((800, 1200), np.bool_)
    near[300 - 2 * CELL : 480 + 2 * CELL, 700 - 2 * CELL : 960 + 2 * CELL] = True
    assert not found.valid_mask[~near].any()
    np.testing.assert_array_equal(found.pixels, pixels * found.valid_mask)


def test_keeps_the_contract_and_reads_no_glass():
    inner = ArrayReader(slide(1000, 1500, Window(700, 300, 260, 180)))
    whole = everything(tissue_only(inner, uri=URI))
    contract.check_crops(lambda: tissue_only(inner, uri=URI), whole.pixels, valid_HW=whole.valid_mask)
    reader, glass = tissue_only(inner, uri=URI), Window(0, 700, 400, 300)
    inner.windows.clear()
    assert reader.bytes_for([glass], (1, 2)) == 0
    assert not reader.read(glass, (1, 2), rule="any").valid_mask.any()
    assert not inner.windows
    assert reader.bytes_for([glass, Window(700, 300, 10, 10)], (1, 2)) == 200
    assert reader.header.mask == "internal"


@pytest.mark.parametrize("downsample", [1.0, 2.0, 3.7])
def test_the_mask_lies_where_it_does_on_the_finest_level(downsample):
    """A level of a slide of 1800 px with tissue from 500 to 1000."""
    side, edge = round(1800 / downsample), round(500 / downsample)
    at = Window(edge, edge, edge, edge)
    reader = masked(slide(side, side, at), level0_downsample=(downsample, downsample))
    valid = everything(reader).valid_mask
    rows = np.flatnonzero(valid.any(axis=1)) * downsample
    assert 500 - 2 * CELL - downsample <= rows.min() <= 500
    assert 1000 - 2 * downsample <= rows.max() <= 1000 + 2 * CELL + downsample


def test_a_slide_without_glass_is_tissue_throughout():
    pixels = slide(600, 600, Window(0, 0, 600, 600), noise=20)
    pixels[:, :, 300:] = pixels[:, :, 300:] // 2 + 100
    assert everything(masked(pixels)).valid_mask.all()


def test_an_empty_slide_has_no_tissue():
    assert not everything(masked(slide(600, 600))).valid_mask.any()
    assert not everything(masked(slide(600, 600, background=(0, 0, 0), noise=0) + np.uint8(255))).valid_mask.any()


def test_black_around_what_was_scanned_is_no_tissue():
    pixels = slide(1200, 1200, Window(600, 600, 200, 200))
    pixels[:, :300] = np.random.default_rng(0).integers(0, 6, (3, 300, 1200))
    valid = everything(masked(pixels)).valid_mask
    assert not valid[:300].any()
    assert valid[600:800, 600:800].all()


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((2, 300, 300), np.uint16), "2 bands of uint16"),
        (np.zeros((3, 300, 300), np.uint16), "3 bands of uint16"),
        (slide(300, 300, Window(50, 50, 40, 40), background=(8, 4, 12)), "dark background"),
    ],
)
def test_what_is_no_bright_field_slide_is_set_aside(pixels, said):
    with pytest.raises(UnsupportedScene, match=said) as caught:
        masked(pixels)
    assert "source.tissue_only" in caught.value.hint


@settings(max_examples=25)
@given(values=st.lists(st.integers(0, 255), min_size=2, max_size=80).filter(lambda values: len(set(values)) > 1))
def test_otsu_parts_as_scikit_image_does(values):
    array = np.array(values, np.uint8)
    ours, theirs = array > otsu(array), array > threshold_otsu(array, nbins=256)
    # Between two clusters every threshold is as good, and each picks its own.
    np.testing.assert_allclose(*(_between(array, part) for part in (ours, theirs)), rtol=0.02)


def _between(values: np.ndarray, above: np.ndarray) -> float:
    share = above.mean()
    return share * (1 - share) * (values[above].mean() - values[~above].mean()) ** 2


def test_is_switched_on_by_an_option_and_costs_a_thumbnail(tmp_path):
    path = tmp_path / "slide.svs"
    pixels = slide(900, 900, Window(100, 500, 300, 200))
    write_aperio(path, pyramid_of(np.ascontiguousarray(pixels.transpose(1, 2, 0)), 2))
    store, by_tiles = FakeStore(), Limits(small_file_bytes=0)
    store.put("slide.svs", path.read_bytes())
    plain = open_reader(store, "slide.svs", limits=by_tiles)
    reader = open_reader(store, "slide.svs", limits=by_tiles, options=ReadOptions(tissue_only=True, um_per_px=1.3))
    contract.check_costs(
        lambda: open_reader(store, "slide.svs", limits=by_tiles, options=ReadOptions(tissue_only=True)), path
    )
    assert everything(plain).valid_mask.all()
    valid = everything(reader).valid_mask
    assert reader.header.pixel_size_um == (1.3, 1.3)
    scale = 0.5 / 1.3
    assert valid[round(505 * scale) : round(690 * scale), round(105 * scale) : round(390 * scale)].all()
    assert not valid[: round((500 - 2 * CELL) * scale) - 1].any()


@pytest.mark.skipif(not CMU.exists(), reason="../shared/data/medical is not there")
def test_a_real_slide_keeps_its_stained_parts():
    reader = open_reader(LocalStore(str(CMU.parent)), CMU.name, options=ReadOptions(tissue_only=True))
    patch = everything(reader)
    whole = everything(open_reader(LocalStore(str(CMU.parent)), CMU.name))
    nuclei = whole.pixels[0] < 120
    assert patch.valid_mask[nuclei].mean() > 0.999
    assert 0.2 < patch.valid_mask.mean() < 0.95
