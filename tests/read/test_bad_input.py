"""Files that lie. None may crash, hang, fill the memory, name another file or end as pixels that are not there."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from fakes import FakeStore
from hypothesis import given
from hypothesis import strategies as st
from rasters import VARIANTS, blocky_image, coordinate_image, gtiff, tiny_png, tiny_tiff

from encdec_batch.errors import (
    ObjectForbidden,
    SceneChanged,
    SceneError,
    SceneUnreadable,
    TransientStoreError,
    UnsupportedScene,
)
from encdec_batch.read.limits import DEFAULT_LIMITS, Limits
from encdec_batch.read.open import open_reader
from encdec_batch.read.reader import Reader
from encdec_batch.store.local import LocalStore
from encdec_batch.window import Window

BY_TILES = Limits(small_file_bytes=0)
TILE_64 = bytes(64 * 64)


def opened(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Reader:
    store = FakeStore()
    store.put("scene", data)
    return open_reader(store, "scene", limits=limits)


def read_all(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> np.ndarray:
    reader = opened(data, limits=limits)
    try:
        header = reader.header
        bands = range(1, header.num_bands + 1)
        return reader.read(Window(0, 0, header.width, header.height), bands, rule="any").pixels
    finally:
        reader.close()


def written(tmp_path: Path, pixels: np.ndarray, **profile: object) -> bytes:
    path = tmp_path / "written.tif"
    gtiff(pixels, **profile)(path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\0" * 1000, "not an image"),
        (b"hello, world", "not an image"),
        (b"II*\0", "TIFF header"),
        (b"II*\0\x08\0\0\0", "no image"),
        (b"\x89PNG\r\n\x1a\n", "PNG header"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "JPEG"),
        (b'<VRTDataset rasterXSize="1" rasterYSize="1"/>', "not an image"),
        (b"<GDAL_WMS><Service/></GDAL_WMS>", "not an image"),
    ],
    ids=["empty", "zeros", "text", "tiff_magic", "tiff_no_ifd", "png_magic", "jpeg_start", "vrt", "wms"],
)
def test_what_is_no_image_is_unreadable(data, words):
    with pytest.raises(SceneUnreadable, match=words) as caught:
        opened(data)
    assert caught.value.hint
    assert "scene" in str(caught.value)


def test_other_formats_are_named():
    with pytest.raises(UnsupportedScene, match="JPEG 2000") as caught:
        opened(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(200))
    assert "COG" in caught.value.hint


def test_a_vrt_in_disguise_names_no_other_file(tmp_path):
    (tmp_path / "secret.tif").write_bytes(tiny_tiff(b"\x2a" * 64 * 64))
    (tmp_path / "scene.tif").write_text(
        '<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{tmp_path}/secret.tif</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(SceneUnreadable, match="not an image"):
        open_reader(LocalStore(str(tmp_path)), "scene.tif")


def test_sidecars_are_not_opened(tmp_path):
    store = FakeStore()
    store.put("scene.tif", tiny_tiff(TILE_64))
    for name in ("scene.tif.msk", "scene.tif.ovr", "scene.tif.aux.xml", "scene.tfw"):
        store.put(name, tiny_tiff(TILE_64))
    store.requests.clear()
    reader = open_reader(store, "scene.tif")
    patch = reader.read(Window(0, 0, 64, 64), (1,), rule="any")
    assert reader.header.mask == "none"
    assert patch.valid_mask.all()
    assert {path for _, path in store.requests} == {"scene.tif"}
    reader.close()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"width": 10**6, "height": 10**6, "tile": 256}, "promises 1,000,000 x 1,000,000 px"),
        ({"width": 65536, "height": 65536, "tile": 65536}, "decoded, more than"),
        ({"bands": 65535}, "65,535 bands"),
        ({"bands": 2000, "tile": 1024, "width": 1024, "height": 1024}, "decoded, more than"),
    ],
    ids=["pixels", "tile", "bands", "bands_in_a_tile"],
)
def test_a_header_that_promises_too_much_is_set_aside(fields, words):
    with pytest.raises(UnsupportedScene, match=words):
        opened(tiny_tiff(zlib.compress(bytes(1 << 20)), compression=8, **fields))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"width": 0}, "0 x 64 px"),
        ({"tile": 0}, "tiles of 0 x 0"),
        ({"size": 4097}, "the file has"),
        ({"size": 0xFFFFFFFF}, "the file has"),
        ({"width": 65, "tile": 64}, "2 tiles are needed"),
    ],
    ids=["no_width", "no_tile", "a_byte_too_long", "too_long", "a_tile_missing"],
)
def test_a_header_that_contradicts_itself_is_unreadable(fields, words):
    with pytest.raises(SceneUnreadable, match=words):
        opened(tiny_tiff(TILE_64, **fields))


def test_a_tile_that_inflates_to_4_gb_costs_a_tile(tmp_path):
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = b"\x78\xda" + block * 256 + packer.flush() + bytes(4)
    assert len(bomb) < 5_000_000
    pixels = read_all(tiny_tiff(bomb, compression=8))
    assert not pixels.any()


@pytest.mark.parametrize("value", [0, 77])
def test_an_overlong_stream_gives_its_true_pixels(value):
    # libdeflate, which libtiff would take, leaves the last bytes of such a tile as they were in memory.
    for attempt in range(5):
        stray = [np.full(1 << 18, 11 * attempt + 5, np.uint8).tobytes() for _ in range(4)]
        del stray
        tile = bytes([value]) * 512 * 512
        pixels = read_all(tiny_tiff(zlib.compress(tile * 5), compression=8, tile=512, width=512, height=512))
        np.testing.assert_array_equal(pixels, np.full((1, 512, 512), value, np.uint8))


def test_an_overlong_stream_of_the_old_code_is_unreadable():
    assert read_all(tiny_tiff(zlib.compress(TILE_64), compression=32946)).shape == (1, 64, 64)
    for data in (zlib.compress(TILE_64 + b"\0"), zlib.compress(TILE_64)[:-9] + bytes(9)):
        with pytest.raises(SceneUnreadable):
            read_all(tiny_tiff(data, compression=32946))


@pytest.mark.parametrize("missing", [1, 300])
def test_a_stream_that_is_too_short_is_unreadable(missing):
    data = tiny_tiff(zlib.compress(TILE_64[:-missing]), compression=8)
    with pytest.raises(SceneUnreadable, match="GDAL cannot decode"):
        read_all(data)


def test_an_ifd_loop_ends():
    assert read_all(tiny_tiff(TILE_64, next_ifd=8)).shape == (1, 64, 64)


def test_too_many_images_in_a_file_are_set_aside(tmp_path):
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as writer:
        for _ in range(300):
            writer.write(np.zeros((8, 8), np.uint8), contiguous=False)
    with pytest.raises(UnsupportedScene, match="more than 256 images"):
        opened(path.read_bytes())


def test_a_header_beyond_its_limit_is_unreadable(tmp_path):
    data = written(tmp_path, coordinate_image(1, 512, 512, "uint16"), tile=16)
    data += bytes(1 << 20) + data
    with pytest.raises(SceneError, match="header"):
        # The first directory is moved to the end, so that its arrays lie far from the file's start.
        opened(data, limits=Limits(small_file_bytes=0, max_header_bytes=-(1 << 16)))


def test_georeference_that_is_not_text_is_unreadable(tmp_path):
    data = written(tmp_path, coordinate_image(1, 64, 64), crs='LOCAL_CS["pits of mine",UNIT["metre",1]]')
    assert b"pits of mine" in data
    with pytest.raises(SceneUnreadable, match="GDAL cannot"):
        opened(data.replace(b"pits of mine", b"pits\xffof\xfemine"))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("limits", [DEFAULT_LIMITS, BY_TILES], ids=["whole", "by_tiles"])
def test_a_truncated_tiff_is_unreadable(tmp_path, share, limits):
    data = written(tmp_path, coordinate_image(3, 500, 500), compress="DEFLATE", interleave="pixel")
    with pytest.raises(SceneUnreadable):
        read_all(data[: int(len(data) * share)], limits=limits)


@pytest.mark.parametrize("share", [0.0001, 0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("driver", ["PNG", "JPEG"])
def test_a_truncated_image_is_unreadable(tmp_path, driver, share):
    path = tmp_path / "image"
    with rasterio.open(path, "w", driver=driver, height=400, width=500, count=3, dtype="uint8") as dataset:
        dataset.write(np.random.default_rng(0).integers(0, 255, (3, 400, 500), dtype=np.uint8))
    data = path.read_bytes()
    with pytest.raises(SceneUnreadable):
        read_all(data[: int(len(data) * share)])


def test_a_png_whose_pixels_end_early_is_unreadable():
    rows = b"".join(b"\0" + bytes([row]) * 500 for row in range(200))
    assert read_all(tiny_png(500, 200, rows)).shape == (1, 200, 500)
    for damaged in (
        tiny_png(500, 200, rows[:-1]),
        tiny_png(500, 200, rows[:50_000]),
        tiny_png(500, 200, rows, end=False),
    ):
        with pytest.raises(SceneUnreadable):
            read_all(damaged)


def test_a_jpeg_whose_pixels_end_early_is_unreadable(tmp_path):
    path = tmp_path / "image.jpg"
    with rasterio.open(path, "w", driver="JPEG", height=400, width=500, count=3, dtype="uint8") as dataset:
        dataset.write(blocky_image(3, 400, 500))
    data = path.read_bytes()
    with pytest.raises(SceneUnreadable):
        read_all(data[: len(data) // 2] + b"\xff\xd9")


def test_a_jpeg_tile_that_is_cut_short_is_unreadable(tmp_path):
    data = written(tmp_path, blocky_image(1, 64, 64), compress="JPEG")
    with tifffile.TiffFile(tmp_path / "written.tif") as tiff:
        page = tiff.pages[0]
        size, at = page.databytecounts[0], page.tags[325].valueoffset
    cut = data[:at] + struct.pack("<I", size // 2) + data[at + 4 :]
    with pytest.raises(SceneUnreadable, match="cut short"):
        read_all(cut)


@pytest.mark.parametrize("side", [20_000, 60_000])
def test_an_image_that_promises_too_much_is_set_aside(tmp_path, side):
    path = tmp_path / "image.jpg"
    with rasterio.open(path, "w", driver="JPEG", height=8, width=8, count=3, dtype="uint8") as dataset:
        dataset.write(np.zeros((3, 8, 8), np.uint8))
    data = path.read_bytes()
    frame = data.index(b"\xff\xc0")
    lying = data[: frame + 5] + struct.pack(">HH", side, side) + data[frame + 9 :]
    for image in (lying, tiny_png(side, side, bytes(1000))):
        with pytest.raises(UnsupportedScene, match="decoded whole"):
            opened(image)


@pytest.mark.parametrize("limits", [DEFAULT_LIMITS, BY_TILES], ids=["whole", "by_tiles"])
def test_a_scene_replaced_while_it_is_read_is_noticed(tmp_path, limits):
    path = tmp_path / "scene.tif"
    store = LocalStore(str(tmp_path))
    noise = np.random.default_rng(0).integers(0, 255, (3, 500, 500), dtype=np.uint8)
    gtiff(noise)(path)
    reader = open_reader(store, "scene.tif", limits=limits)
    store.put("scene.tif", written(tmp_path, noise[:, ::-1]))
    with pytest.raises(SceneChanged):
        reader.read(Window(0, 0, 500, 500), (1,), rule="any")
    with pytest.raises(SceneChanged):
        open_reader(store, "scene.tif", etag=reader.etag)
    reader.close()


def test_errors_of_the_store_keep_their_meaning(tmp_path):
    store = FakeStore()
    noise = np.random.default_rng(0).integers(0, 255, (3, 500, 500), dtype=np.uint8)
    store.put("scene", written(tmp_path, noise))
    with pytest.raises(SceneUnreadable, match="no such object"):
        open_reader(store, "missing")
    reader = open_reader(store, "scene", limits=BY_TILES)

    def fail(error: Exception) -> None:
        def before(operation: str, path: str) -> None:
            raise error

        store.before = before

    fail(ObjectForbidden("no", hint="ask"))
    with pytest.raises(SceneUnreadable, match="forbidden"):
        open_reader(store, "scene")
    with pytest.raises(SceneUnreadable, match="forbidden"):
        reader.read(Window(0, 0, 500, 500), (1,), rule="any")
    fail(TransientStoreError("later"))
    with pytest.raises(TransientStoreError):
        reader.read(Window(0, 0, 500, 500), (1,), rule="any")
    store.before = lambda operation, path: None
    pixels = reader.read(Window(0, 0, 500, 500), (1,), rule="any").pixels
    np.testing.assert_array_equal(pixels[0], noise[0])
    reader.close()


def test_a_store_that_fails_inside_gdal_fails_as_a_store(tmp_path):
    # The header is read by GDAL's own callbacks, which swallow what they raise.
    store = FakeStore()
    store.put("scene", written(tmp_path, coordinate_image(1, 64, 64)))
    calls: list[str] = []

    def before(operation: str, path: str) -> None:
        calls.append(operation)
        if len(calls) > 1:
            raise TransientStoreError("later")

    store.before = before
    with pytest.raises(TransientStoreError):
        open_reader(store, "scene")


SEEDS = ("codec_deflate", "predictor2_planar", "jpeg_ycbcr", "internal_mask", "strips", "bigtiff", "described", "gcps")


@pytest.fixture(scope="module")
def valid_files(tmp_path_factory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("valid")
    chosen = [variant for variant in VARIANTS if variant.name in SEEDS]
    for variant in chosen:
        variant.write(folder / variant.name)
    return [(folder / variant.name).read_bytes() for variant in chosen]


# A message of GDAL's that quotes the file need not be UTF-8, which rasterio's logging only complains of.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@given(data=st.data())
def test_damaged_headers_end_as_errors_or_as_pixels_of_the_promised_shape(valid_files, data):
    scene = bytearray(data.draw(st.sampled_from(valid_files), label="file"))
    positions = st.integers(0, min(1500, len(scene) - 1))
    for _ in range(data.draw(st.integers(1, 4), label="damages")):
        scene[data.draw(positions, label="at")] = data.draw(st.integers(0, 255), label="byte")
    try:
        reader = opened(bytes(scene), limits=Limits(max_decoded_bytes=1 << 24, max_pixels=1 << 26, max_bands=64))
    except SceneError:
        return
    header = reader.header
    window = Window(0, 0, min(header.width, 300), min(header.height, 300))
    try:
        patch = reader.read(window, (1,), rule="any")
    except SceneError:
        return
    finally:
        reader.close()
    assert patch.pixels.shape == (1, window.height, window.width)
    assert patch.pixels.dtype.name == header.dtype
