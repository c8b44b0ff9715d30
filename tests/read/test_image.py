from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from contracts import reader as contract
from fakes import FakeStore
from PIL import Image
from rasters import blocky_image, coordinate_image

from encdec_batch.errors import SceneUnreadable, UnsupportedScene
from encdec_batch.plan.open import limits_of
from encdec_batch.read.limits import Limits
from encdec_batch.read.open import open_reader
from encdec_batch.spec.job import LimitsSpec
from encdec_batch.store.local import LocalStore
from encdec_batch.window import Window

H, W = 205, 301


def by_gdal(driver: str, pixels: Any, path: Path, **options: Any) -> None:
    count, height, width = pixels.shape
    shape = {"count": count, "height": height, "width": width, "dtype": pixels.dtype.name}
    with rasterio.open(path, "w", driver=driver, **shape, **options) as dataset:
        dataset.write(pixels)


def by_pillow(pixels: Any, mode: str, path: Path, **options: Any) -> None:
    Image.frombytes(mode, (pixels.shape[-1], pixels.shape[-2]), np.moveaxis(pixels, 0, -1).tobytes()).save(
        path, **options
    )


def by_palette(path: Path) -> None:
    image = Image.frombytes("P", (W, H), coordinate_image(1, H, W).tobytes())
    image.putpalette([value for index in range(256) for value in (index, 255 - index, index // 2)])
    image.save(path, format="PNG")


def alpha(pixels: Any) -> Any:
    pixels[-1, :50, :60] = 0
    return pixels


png, jpeg = partial(by_gdal, "PNG"), partial(by_gdal, "JPEG")
IMAGES: dict[str, Callable[[Path], None]] = {
    "png_gray": lambda path: png(coordinate_image(1, H, W), path),
    "png_gray_16": lambda path: png(coordinate_image(1, H, W, "uint16"), path),
    "png_rgb": lambda path: png(coordinate_image(3, H, W), path),
    "png_rgb_16": lambda path: png(coordinate_image(3, H, W, "uint16"), path),
    "png_rgba": lambda path: png(alpha(coordinate_image(4, H, W)), path),
    "png_gray_alpha": lambda path: png(alpha(coordinate_image(2, H, W)), path),
    "png_bits": lambda path: png(coordinate_image(1, H, W) % 2, path, NBITS=1),
    "png_palette": by_palette,
    "png_transparent_colour": lambda path: png(coordinate_image(3, H, W) % 3, path, nodata=1),
    "png_transparent_gray": lambda path: png(coordinate_image(1, H, W), path, nodata=7),
    "jpeg_rgb": lambda path: jpeg(blocky_image(3, H, W), path),
    "jpeg_gray": lambda path: jpeg(blocky_image(1, H, W), path),
    "jpeg_progressive": lambda path: jpeg(blocky_image(3, H, W), path, PROGRESSIVE="ON"),
    "jpeg_cmyk": lambda path: by_pillow(blocky_image(4, H, W), "CMYK", path, format="JPEG"),
    "webp_rgb": lambda path: by_pillow(blocky_image(3, H, W), "RGB", path, format="WEBP", quality=80),
    "webp_lossless": lambda path: by_pillow(coordinate_image(3, H, W), "RGB", path, format="WEBP", lossless=True),
    "webp_alpha": lambda path: by_pillow(alpha(coordinate_image(4, H, W)), "RGBA", path, format="WEBP", lossless=True),
    "webp_with_exif": lambda path: by_pillow(
        blocky_image(3, H, W), "RGB", path, format="WEBP", exif=b"Exif\0\0II*\0\x08" + bytes(9)
    ),
    "jpeg_thumbnail_within": lambda path: by_pillow(
        blocky_image(3, H, W),
        "RGB",
        path,
        format="JPEG",
        exif=b"Exif\0\0II*\0\x08" + bytes(9) + b"\xff\xd8\xff\xd9" * 1000,
    ),
}


@pytest.fixture(scope="module", params=IMAGES)
def path(request, tmp_path_factory) -> Path:
    written = tmp_path_factory.mktemp("images") / request.param
    IMAGES[request.param](written)
    return written


@pytest.mark.parametrize("whole", [False, True], ids=["when_needed", "at_once"])
@pytest.mark.parametrize(
    "check",
    [
        contract.check_header,
        contract.check_windows,
        contract.check_nan_kept,
        contract.check_costs,
        contract.check_thumbnail,
    ],
    ids=lambda check: check.__name__,
)
def test_reads_as_rasterio_does(path, check, whole):
    store = LocalStore(str(path.parent))
    check(lambda: open_reader(store, path.name, whole=whole), path)


def test_is_fetched_and_decoded_once(tmp_path):
    path = tmp_path / "noise"
    png(np.random.default_rng(0).integers(0, 255, (3, 400, 500), dtype=np.uint8), path)
    store = FakeStore()
    store.put("noise", path.read_bytes())
    reader = open_reader(store, "noise")
    assert reader.bytes_read == 64 << 10
    store.requests.clear()
    for window in contract.seeded_windows(400, 500):
        reader.read(window, (1, 2, 3), rule="any")
    assert len(store.requests) == 1
    assert reader.bytes_read == path.stat().st_size
    reader.close()


@pytest.mark.parametrize(
    ("limits", "words", "way_out"),
    [
        (
            Limits(max_whole_pixels=H * W - 1),
            f"has {W} x {H} px, more than {H * W - 1:,}",
            "raise limits.max_whole_meg",
        ),
        (Limits(max_whole_bytes=100), "bytes, more than the 100 that are fetched whole", "convert it"),
    ],
    ids=["pixels", "encoded"],
)
@pytest.mark.parametrize("name", ["png_rgb", "jpeg_rgb", "webp_rgb", "webp_lossless", "webp_alpha"])
def test_what_is_too_large_to_decode_whole_is_set_aside(tmp_path, name, limits, words, way_out):
    IMAGES[name](tmp_path / name)
    with pytest.raises(UnsupportedScene, match="decoded whole") as caught:
        open_reader(LocalStore(str(tmp_path)), name, limits=limits)
    assert words in caught.value.message
    assert caught.value.hint.startswith(way_out)
    assert "COG" in caught.value.hint


@pytest.mark.parametrize("name", ["png_rgb", "png_rgb_16", "jpeg_rgb"])
def test_the_limit_of_a_tile_is_not_one_of_a_whole_image(tmp_path, name):
    IMAGES[name](tmp_path / name)
    limits = Limits(max_whole_pixels=H * W, max_decoded_bytes=1)
    reader = open_reader(LocalStore(str(tmp_path)), name, limits=limits)
    assert reader.read(Window(0, 0, W, H), (1, 2, 3), rule="any").pixels.shape == (3, H, W)
    reader.close()


def test_the_megapixels_of_a_job_can_be_reached(tmp_path):
    """The header is all that is read: 100 Mpx of RGB are 300 MB, more than a tile may have."""
    jpeg(np.zeros((3, 8, 8), np.uint8), tmp_path / "small")
    data = (tmp_path / "small").read_bytes()
    frame = data.index(b"\xff\xc0")
    limits = limits_of(LimitsSpec())
    for height, width in ((10_000, 10_000), (10_000, 10_001)):
        lying = data[: frame + 5] + struct.pack(">HH", height, width) + data[frame + 9 :]
        (tmp_path / "claim").write_bytes(lying)
        if height * width <= 100_000_000:
            reader = open_reader(LocalStore(str(tmp_path)), "claim", limits=limits)
            assert (reader.header.height, reader.header.width) == (height, width)
            reader.close()
        else:
            with pytest.raises(UnsupportedScene, match=r"more than 100,000,000"):
                open_reader(LocalStore(str(tmp_path)), "claim", limits=limits)


def test_pixels_do_not_change_when_a_patch_is_written_to(tmp_path):
    IMAGES["png_rgb"](tmp_path / "x")
    reader = open_reader(LocalStore(str(tmp_path)), "x")
    window = Window(0, 0, 20, 20)
    first = reader.read(window, (1, 2, 3), rule="any")
    kept = first.pixels.copy()
    first.pixels[:] = 0
    np.testing.assert_array_equal(reader.read(window, (1, 2, 3), rule="any").pixels, kept)
    reader.close()


def test_damaged_exif_is_no_damage_to_pixels(tmp_path):
    path = tmp_path / "x"
    by_pillow(blocky_image(3, H, W), "RGB", path, format="JPEG", exif=b"Exif\0\0" + b"\xff\xd8\xff\xd9" * 10)
    reader = open_reader(LocalStore(str(tmp_path)), "x")
    pixels = reader.read(Window(0, 0, W, H), (1, 2, 3), rule="any").pixels
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(pixels, dataset.read())
    reader.close()


@pytest.mark.parametrize("name", ["webp_rgb", "webp_lossless", "webp_with_exif"])
def test_a_webp_that_is_cut_short_is_damaged(tmp_path, name):
    IMAGES[name](tmp_path / "x")
    data = (tmp_path / "x").read_bytes()
    for size in (13, 25, len(data) // 2, len(data) - 1):
        (tmp_path / "cut").write_bytes(data[:size])
        with pytest.raises(SceneUnreadable):
            read_all(tmp_path, "cut")


def read_all(folder: Path, name: str) -> None:
    reader = open_reader(LocalStore(str(folder)), name)
    try:
        header = reader.header
        reader.read(Window(0, 0, header.width, header.height), (1,), rule="any")
    finally:
        reader.close()


def test_a_webp_of_several_pictures_is_not_read(tmp_path):
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (0, 90)]
    frames[0].save(tmp_path / "x", format="WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(UnsupportedScene, match="several pictures"):
        open_reader(LocalStore(str(tmp_path)), "x")


def test_a_webp_whose_canvas_is_not_its_picture_is_damaged(tmp_path):
    IMAGES["webp_with_exif"](tmp_path / "x")
    data = bytearray((tmp_path / "x").read_bytes())
    assert data[12:16] == b"VP8X"
    data[24:27] = (W + 5).to_bytes(3, "little")
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(SceneUnreadable):
        read_all(tmp_path, "x")
