from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from contracts import reader as contract
from fakes import ArrayReader
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.gdal.describe import DTYPES
from encdec_batch.read.geometry import VolumeGeometry
from encdec_batch.read.limits import Limits
from encdec_batch.read.resampled import Axis, resampled, resampled_geometry
from encdec_batch.window import Window

URI = "memory://scene"


def noise(bands: int, height: int, width: int, dtype: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=(bands, height, width)).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, (bands, height, width), dtype=dtype, endpoint=True)


def scaled(inner: ArrayReader, um: float):
    return resampled(inner, um, uri=URI)


def everything(reader, rule: str = "any"):
    header = reader.header
    return reader.read(Window(0, 0, header.width, header.height), range(1, header.num_bands + 1), rule=rule)


@given(
    um=st.floats(0.26, 9),
    size_um=st.tuples(st.sampled_from([0.25, 0.4, 1.0]), st.sampled_from([0.25, 0.7, 1.0])),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 60), st.integers(1, 60)),
    dtype=st.sampled_from(DTYPES),
    holes=st.sampled_from(["none", "mask", "nodata", "nan"]),
    rule=st.sampled_from(["any", "all"]),
    draw=st.data(),
)
def test_any_window_has_the_bits_of_the_whole(um, size_um, shape, dtype, holes, rule, draw):
    pixels = noise(*shape, dtype)
    rng = np.random.default_rng(1)
    nodata, valid = None, np.ones(shape[1:], np.bool_)
    if holes == "mask":
        valid = rng.random(shape[1:]) > 0.4
    elif holes == "nodata":
        nodata = 7.0
        pixels[rng.random(shape) > 0.6] = 7
    elif holes == "nan" and np.dtype(dtype).kind == "f":
        pixels[rng.random(shape) > 0.6] = np.nan
    if max(size_um) > 4 * um:
        return
    reader = scaled(ArrayReader(pixels, valid_HW=valid, nodata=nodata, pixel_size_um=size_um), um)
    whole, header = everything(reader, rule), reader.header
    assert whole.pixels.shape == (shape[0], header.height, header.width)
    assert whole.pixels.dtype == dtype
    rows = sorted(draw.draw(st.lists(st.integers(0, header.height), min_size=2, max_size=2, unique=True)))
    cols = sorted(draw.draw(st.lists(st.integers(0, header.width), min_size=2, max_size=2, unique=True)))
    window = Window.from_bounds((rows[0], rows[1]), (cols[0], cols[1]))
    patch = reader.read(window, range(1, shape[0] + 1), rule=rule)
    assert patch.pixels.tobytes() == whole.pixels[:, window.rows, window.cols].tobytes()
    np.testing.assert_array_equal(patch.valid_mask, whole.valid_mask[window.rows, window.cols], strict=True)


def test_pieces_of_a_large_window_do_not_show(monkeypatch):
    inner = ArrayReader(noise(2, 300, 200, "uint16"), pixel_size_um=(1.0, 1.0))
    whole = everything(scaled(inner, 1.7))
    monkeypatch.setattr("encdec_batch.read.resampled._PIECE_PIXELS", 5000)
    cut = everything(scaled(inner, 1.7))
    np.testing.assert_array_equal(cut.pixels, whole.pixels)
    assert len(inner.windows) > 10


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_pixels_of_a_whole_factor_are_means_rounded_half_up(factor):
    pixels = noise(2, 24 * factor, 17 * factor, "uint8")
    found = everything(scaled(ArrayReader(pixels, pixel_size_um=(0.5, 0.5)), 0.5 * factor))
    sums = pixels.reshape(2, 24, factor, 17, factor).astype(np.int64).sum(axis=(2, 4))
    np.testing.assert_array_equal(found.pixels, (2 * sums + factor**2) // (2 * factor**2))
    assert found.valid_mask.all()


@given(factor=st.floats(1, 12), size=st.integers(1, 200))
def test_the_mean_is_kept_and_every_pixel_counts_once(factor, size):
    axis = Axis(size=size, factor=factor)
    index, weight = axis.taps(0, axis.num_pixels)
    covered = np.minimum(np.arange(1, axis.num_pixels + 1) * factor, size) - np.arange(axis.num_pixels) * factor
    counted = np.bincount(index.ravel(), weights=(weight * covered[:, None]).ravel(), minlength=size)
    np.testing.assert_allclose(counted[:-1], 1, atol=2e-3)
    np.testing.assert_allclose(weight.sum(axis=1), 1)


@pytest.mark.parametrize("um", [0.25, 0.4, 0.8, 1.3])
def test_a_ramp_stays_where_it_is(um):
    """The value of a pixel is its place: the centre of a pixel of another size has the value of that place."""
    height, width = 120, 90
    row, col = np.mgrid[0:height, 0:width] + 0.5
    reader = scaled(ArrayReader(np.stack([row, col]).astype(np.float64), pixel_size_um=(0.5, 0.5)), um)
    factor = um / 0.5
    found = everything(reader).pixels
    rows, cols = (np.arange(side) + 0.5 for side in found.shape[1:])
    inner = slice(2, -2)
    # The mean of pixels that are cut is off by an eighth of one at most: each is of one value throughout.
    most = 1 / (8 * factor) if factor > 1 else 1e-12
    np.testing.assert_allclose(found[0, inner, 5], rows[inner] * factor, atol=most, rtol=1e-12)
    np.testing.assert_allclose(found[1, 5, inner], cols[inner] * factor, atol=most, rtol=1e-12)
    assert reader.header.level0_downsample == (factor, factor)


@pytest.mark.parametrize("um", [400, 1500, 2100])
@pytest.mark.parametrize(("across", "rows", "cols"), [(2, 1, 0), (0, 2, 1)])
def test_slices_of_a_volume_stay_where_they_are(um, across, rows, cols):
    """Each pixel is as far right, forward or up as the geometry says."""
    affine = np.zeros((3, 4))
    affine[0, cols], affine[1, rows], affine[2, across], affine[:, 3] = 0.5, 0.8, 3.0, (10, 20, 30)
    geometry = VolumeGeometry(affine=tuple(map(tuple, affine)), across=across, rows=rows, cols=cols, shape=(40, 60))
    right, forward = 10 + 0.5 * np.arange(60), 20 + 0.8 * np.arange(40)
    inner = ArrayReader(np.stack(np.meshgrid(right, forward)), pixel_size_um=(800.0, 500.0))
    found = everything(resampled(inner, um, uri="x")).pixels
    other = resampled_geometry(geometry, um)
    assert other.shape == found.shape[1:]
    at = np.zeros((4, *found.shape[1:]))
    at[rows], at[cols], at[3] = *np.indices(found.shape[1:]), 1
    places = np.einsum("ij,jrc->irc", np.array(other.affine), at)
    inside = np.s_[:, 2:-2, 2:-2]
    # As above: an eighth of a pixel of the source where pixels are cut.
    np.testing.assert_allclose(places[:2][inside], found[inside], atol=0.8 / 8 if um > 500 else 1e-9)
    assert resampled_geometry(geometry, None) == geometry


def test_pixels_that_are_not_square_become_so():
    inner = ArrayReader(noise(1, 100, 100, "uint8"), pixel_size_um=(0.5, 0.25))
    header = scaled(inner, 1.0).header
    assert (header.height, header.width) == (50, 25)
    assert header.pixel_size_um == (1.0, 1.0)
    assert header.level0_downsample == (2.0, 4.0)


def test_what_is_invalid_does_not_colour_its_neighbours():
    pixels = np.full((1, 4, 4), 100, np.uint8)
    valid = np.ones((4, 4), np.bool_)
    pixels[0, 0, 0], valid[0, 0] = 255, False
    pixels[0, 2:, 2:], valid[2:, 2:] = 255, False
    found = everything(scaled(ArrayReader(pixels, valid_HW=valid, pixel_size_um=(1.0, 1.0)), 2.0))
    np.testing.assert_array_equal(found.pixels[0], [[100, 100], [100, 0]])
    np.testing.assert_array_equal(found.valid_mask, [[True, True], [True, False]])


def test_a_band_without_a_value_does_not_darken_what_others_make_valid():
    pixels = np.full((2, 4, 4), 100, np.int16)
    pixels[0, :2, :1] = -1
    pixels[0, 2:] = -1
    reader = scaled(ArrayReader(pixels, nodata=-1.0, pixel_size_um=(1.0, 1.0)), 2.0)
    found = everything(reader, "all")
    np.testing.assert_array_equal(found.pixels[0], [[100, 100], [-1, -1]])
    assert found.valid_mask.all()
    assert reader.header.mask == "internal"


def test_keeps_the_contract():
    inner = ArrayReader(noise(3, 400, 500, "uint8"), pixel_size_um=(0.5, 0.5))
    whole = everything(scaled(inner, 0.7)).pixels
    contract.check_crops(lambda: scaled(inner, 0.7), whole)


def test_pixels_that_are_near_enough_are_left_alone():
    inner = ArrayReader(noise(1, 50, 50, "uint8"), pixel_size_um=(0.503, 0.499))
    assert scaled(inner, 0.5) is inner


def test_a_place_on_the_ground_moves_with_the_pixels():
    inner = ArrayReader(noise(1, 50, 50, "uint8"), pixel_size_um=(1.0, 1.0))
    inner.header = replace(inner.header, transform=(2.0, 0.5, 100.0, 0.25, -2.0, 200.0))
    assert scaled(inner, 2.0).header.transform == (4.0, 1.0, 100.0, 0.5, -4.0, 200.0)


@pytest.mark.parametrize(
    ("size_um", "um", "limits", "said"),
    [
        (None, 0.5, Limits(), "how large its pixels are"),
        ((1.0, 1.0), 0.2, Limits(), "0.2 um are asked for"),
        ((1.0, 1.0), 0.5, Limits(max_pixels=5000), "more than 5,000"),
    ],
)
def test_what_cannot_be_scaled_is_set_aside(size_um, um, limits, said):
    with pytest.raises(UnsupportedScene, match=said) as caught:
        resampled(ArrayReader(noise(1, 50, 50, "uint8"), pixel_size_um=size_um), um, uri=URI, limits=limits)
    assert caught.value.hint
