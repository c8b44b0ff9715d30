from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from encdec_batch.plan.product import Product
from encdec_batch.report.preview import preview_classes, preview_pixels

MASK = Product(
    name="mask",
    kind="classes",
    dtype="uint8",
    band_names=("class",),
    nodata=255,
    class_ids=(0, 3),
    class_names=("ground", "plant"),
    class_colors=((10, 20, 30), (200, 100, 0)),
)


def opened(uri: str) -> np.ndarray:
    """(height, width, 4), as Pillow decodes the data URI."""
    head, _, body = uri.partition(";base64,")
    assert head.startswith("data:image/")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))).convert("RGBA"))


def all_valid(height: int, width: int) -> np.ndarray:
    return np.ones((height, width), bool)


def test_classes_have_exactly_the_palette_and_nodata_is_transparent() -> None:
    ids = np.array([[0, 3], [255, 7]], np.uint8)
    expected = [[[10, 20, 30, 255], [200, 100, 0, 255]], [[0, 0, 0, 0], [0, 0, 0, 0]]]
    assert opened(preview_classes(ids, MASK)).tolist() == expected


def test_large_mask_is_thinned_without_new_colours() -> None:
    ids = np.random.default_rng(0).choice(np.array([0, 3, 255], np.uint8), (50, 90))
    picture = opened(preview_classes(ids, MASK, max_side=20))
    assert picture.shape == (10, 18, 4)
    assert {tuple(pixel) for pixel in picture.reshape(-1, 4).tolist()} <= {
        (10, 20, 30, 255),
        (200, 100, 0, 255),
        (0, 0, 0, 0),
    }


def test_bytes_keep_their_values() -> None:
    ramp = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None, None], 64, axis=1)
    grey = opened(preview_pixels(ramp, all_valid(64, 64)))[32, :, 0]
    assert np.abs(grey.astype(int) - ramp[0, 32]).max() <= 6  # WebP is lossy


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_dark_pictures_are_stretched_over_the_whole_range(dtype: str) -> None:
    dark = np.repeat(np.linspace(1, 40, 64).astype(dtype)[None, None], 64, axis=1)
    grey = opened(preview_pixels(dark, all_valid(64, 64)))[..., 0]
    assert grey.min() < 12
    assert grey.max() > 243


def test_stretch_keeps_the_balance_of_colours() -> None:
    bands = np.stack([np.full((32, 32), value, np.uint16) for value in (100, 1000, 3000)])
    red, green, blue, _ = opened(preview_pixels(bands, all_valid(32, 32)))[16, 16]
    assert red < green < blue


def test_chosen_bands_are_red_green_blue_in_that_order() -> None:
    bands = np.stack([np.full((32, 32), value, np.uint8) for value in (0, 255, 0, 0)])
    red, green, blue, _ = opened(preview_pixels(bands, all_valid(32, 32), bands=[2, 1, 3]))[16, 16]
    assert red > 200
    assert max(green, blue) < 60


def test_invalid_pixels_are_transparent_and_do_not_stretch() -> None:
    pixels = np.full((1, 32, 32), 7.0, np.float32)
    pixels[0, :, 8:] = 9.0
    valid = all_valid(32, 32)
    pixels[0, :4] = np.nan
    pixels[0, 4:8] = 1e9
    valid[4:8] = False
    picture = opened(preview_pixels(pixels, valid))
    assert not picture[:8, :, 3].any()
    assert (picture[8:, :, 3] == 255).all()
    assert picture[20, 2, 0] < 30
    assert picture[20, 20, 0] > 225


@pytest.mark.parametrize("value", [0, 5, 60000])
def test_constant_picture_is_mid_grey(value: int) -> None:
    grey = opened(preview_pixels(np.full((1, 16, 16), value, np.uint16), all_valid(16, 16)))[8, 8, 0]
    assert abs(int(grey) - 128) < 6


@settings(max_examples=100)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 5), st.integers(1, 30), st.booleans())
def test_any_size_gives_a_picture_within_bounds(height: int, width: int, bands: int, side: int, valid: bool) -> None:
    pixels = np.arange(bands * height * width, dtype=np.float32).reshape(bands, height, width)
    step = -(-max(height, width) // side)
    photo = opened(preview_pixels(pixels, np.full((height, width), valid), max_side=side))
    mask = opened(preview_classes(np.zeros((height, width), np.uint8), MASK, max_side=side))
    assert photo.shape[:2] == (-(-height // step), -(-width // step))
    assert max(mask.shape[:2]) <= side
    assert bool(photo[..., 3].any()) is valid
