"""Files that `make fuzz` and the audit behind docs/decisions/014 found: each did harm once."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fakes import FakeStore
from rasters import VARIANTS, tiny_png, tiny_tiff

from encdec_batch.errors import SceneUnreadable, UnsupportedScene
from encdec_batch.read.gdal.jpeg_tables import stands_alone
from encdec_batch.read.limits import DEFAULT_LIMITS, Limits
from encdec_batch.read.open import open_reader
from encdec_batch.read.reader import Reader
from encdec_batch.window import Window

TILE = bytes(64 * 64)


def opened(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Reader:
    store = FakeStore()
    store.put("scene", data)
    return open_reader(store, "scene", limits=limits)


def variant(name: str, tmp_path: Path) -> Path:
    path = tmp_path / f"{name}.tif"
    next(variant for variant in VARIANTS if variant.name == name).write(path)
    return path


def with_values(*values: tuple[int, int, int, bytes]) -> bytes:
    """A tiny TIFF with tags (code, type, count, bytes) whose values lie behind it."""
    data = bytearray(tiny_tiff(TILE, [(code, 4, 0) for code, *_ in values]))
    (count,) = struct.unpack_from("<H", data, 8)
    for at in range(10, 10 + 12 * count, 12):
        for code, kind, number, value in values:
            if struct.unpack_from("<H", data, at) == (code,):
                struct.pack_into("<HHII", data, at, code, kind, number, len(data))
                data += value + bytes(len(value) % 2)
    return bytes(data)


def in_every_order(data: bytes) -> set[bytes]:
    """The pixels of a scene of 301 x 205 px, read at once and by quarters in different orders."""
    columns, rows = ((0, 130), (130, 301)), ((0, 77), (77, 205))
    places = [Window.from_bounds(row, column) for row, column in itertools.product(rows, columns)]
    bands = range(1, opened(data).header.num_bands + 1)
    found = {opened(data).read(Window(0, 0, 301, 205), bands, rule="any").pixels.tobytes()}
    for order in (places, places[::-1], places[2:] + places[:2]):
        reader = opened(data)
        pixels = np.zeros((len(bands), 205, 301), reader.header.dtype)
        for place in order:
            pixels[:, place.rows, place.cols] = reader.read(place, bands, rule="any").pixels
        reader.close()
        found.add(pixels.tobytes())
    return found


@pytest.mark.parametrize("number", [2, 11, 12])
def test_a_fax_tile_that_ends_early_does_not_show_the_tile_read_before(tmp_path, number):
    # libtiff leaves the rows that are missing as they are: those of whichever tile it decoded last.
    path = variant("codec_ccitt", tmp_path)
    with tifffile.TiffFile(path) as tiff:
        counts = tiff.pages[0].tags[325]
    data = bytearray(path.read_bytes())
    at = counts.valueoffset + number * (2 if counts.dtype == 3 else 4)
    struct.pack_into("<H", data, at, counts.value[number] // 2)
    assert len(in_every_order(bytes(data))) == 1


@pytest.mark.parametrize("number", [2, 7, 12])
def test_a_jpeg_tile_without_its_tables_does_not_take_those_of_the_tile_before(tmp_path, number):
    path = variant("jpeg_ycbcr", tmp_path)
    with tifffile.TiffFile(path) as tiff:
        start, tables = tiff.pages[0].dataoffsets[number], tiff.pages[0].tags[347].value
        size = tiff.pages[0].databytecounts[number]
    data = bytearray(path.read_bytes())
    assert stands_alone(bytes(data[start : start + size]), tables)
    third = start
    for _ in range(3):
        third = data.index(b"\xff\xc4", third + 1)
    data[third + 1] = 0xD4
    assert not stands_alone(bytes(data[start : start + size]), tables)
    assert len(in_every_order(bytes(data))) == 1


@pytest.mark.parametrize("name", [one.name for one in VARIANTS if "jpeg" in one.name])
def test_whole_jpeg_tiles_stand_alone(tmp_path, name):
    with tifffile.TiffFile(variant(name, tmp_path)) as tiff:
        page = tiff.pages[0]
        tables = page.tags[347].value if 347 in page.tags else b""
        for start, size in zip(page.dataoffsets, page.databytecounts, strict=True):
            tiff.filehandle.seek(start)
            assert stands_alone(tiff.filehandle.read(size), tables)


def test_a_tile_that_changes_a_shared_table_does_not_stand_alone():
    table = b"\xff\xdb\x00\x43\x00" + bytes(range(64))
    other = b"\xff\xdb\x00\x43\x00" + bytes(64)
    huffman = b"".join(b"\xff\xc4\x00\x14" + bytes([kind, 1]) + bytes(16) for kind in (0, 0x10))
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    frame = huffman + b"\xff\xc0\x00\x0b\x08\x00\x40\x00\x40\x01\x01\x11\x00" + scan + b"\x12\xff\x00\x34\xff\xd9"
    assert stands_alone(b"\xff\xd8" + frame, b"\xff\xd8" + table)
    assert stands_alone(b"\xff\xd8" + table + frame, b"\xff\xd8" + table)
    assert not stands_alone(b"\xff\xd8" + other + frame, b"\xff\xd8" + table)
    assert not stands_alone(b"\xff\xd8" + frame, b"")
    for cut in (b"", frame.replace(scan, b""), frame.replace(b"\xff\xda", b"\x7f\xda"), frame + scan):
        assert not stands_alone(b"\xff\xd8" + cut, b"\xff\xd8" + table)


@pytest.mark.parametrize(
    "text",
    [
        b"<GDALMetadata \xff</GDALMetadata>",
        b"<GDALMetadata <Item</GDALMetadata>",
        b'<\xff!DOCTYPE x [<!ENTITY a "b">]>',
    ],
    ids=["not_utf8", "no_xml", "entities"],
)
def test_metadata_that_is_no_xml_is_no_scene_without_scales(text, capfd):
    # GDAL goes on without: scales and offsets would silently be those of a file that has none.
    with pytest.raises(SceneUnreadable):
        opened(with_values((42112, 2, len(text) + 1, text + b"\0")))
    assert capfd.readouterr().err == ""


def test_metadata_in_latin_1_is_read():
    text = (
        '<GDALMetadata><Item name="SCALE" sample="0" role="scale">0.5</Item><Item name="N">\xe9</Item></GDALMetadata>'
    )
    latin = text.encode("latin-1")
    assert opened(with_values((42112, 2, len(latin) + 1, latin + b"\0"))).header.scales == (0.5,)


def sharing(images: int, tiles: int) -> bytes:
    """A TIFF of many images that all name the same array of offsets and sizes."""
    whole = bytearray(b"II*\0" + struct.pack("<I", 8 + 4 * tiles) + struct.pack("<I", 8) * tiles)
    for number in range(images):
        entries = {254: int(number > 0), 256: 16 * 500, 257: 16 * (tiles // 500), 258: 8, 259: 1, 262: 1, 277: 1}
        entries |= {322: 16, 323: 16, 324: 8, 325: 8}
        whole += struct.pack("<H", len(entries))
        for code, value in entries.items():
            whole += struct.pack("<HHII", code, 4, tiles if code in (324, 325) else 1, value)
        whole += struct.pack("<I", len(whole) + 4 if number < images - 1 else 0)
    return bytes(whole)


def test_many_images_that_share_one_long_array_are_set_aside():
    # 1 MB of file, a gigabyte of offsets.
    data = sharing(images=250, tiles=250_000)
    assert len(data) < 1 << 21
    with pytest.raises(UnsupportedScene, match="more than 4,194,304 tiles"):
        opened(data)
    assert opened(sharing(images=3, tiles=5000)).header.width == 8000


ITEMS = (
    b"<GDALMetadata>"
    + b"".join(b'<Item name="K%d">v</Item>' % number for number in range(50_000))
    + b"</GDALMetadata>\0"
)


@pytest.mark.parametrize(
    ("code", "kind", "count", "value"),
    [
        (42112, 2, len(ITEMS), ITEMS),
        (33922, 12, 6 * 20_000, struct.pack("<6d", 1, 2, 0, 10, 50, 0) * 20_000),
        (34737, 2, 100_000, b"x" * 99_999 + b"\0"),
        (42113, 2, 5000, b"1" * 4999 + b"\0"),
    ],
    ids=["items", "points", "names", "nodata"],
)
def test_what_goes_into_every_plan_is_bounded(code, kind, count, value):
    with pytest.raises(UnsupportedScene, match=f"tag {code} has"):
        opened(with_values((code, kind, count, value)))


@pytest.mark.parametrize("compression", [0, 6, 32766, 32809, 32909, 34676, 34677, 34712, 50002, 65000])
def test_codecs_that_nobody_tries_are_set_aside(compression):
    with pytest.raises(UnsupportedScene, match=f"compression {compression} is not read"):
        opened(tiny_tiff(TILE, compression=compression))


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"tEXt", b"iCCP"])
@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
def test_a_png_of_many_texts_is_set_aside(kind, behind):
    # Each of them is inflated to 8 MB before the first pixel is.
    body = b"x\0\0" + zlib.compress(bytes(1 << 16))
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    whole = tiny_png(8, 8, (b"\0" + bytes(8)) * 8)
    at = len(whole) - 12 if behind else 33
    for number, wrong in ((64, False), (65, True)):
        data = whole[:at] + chunk * number + whole[at:]
        if not wrong:
            opened(data).read(Window(0, 0, 8, 8), (1,), rule="any")
            continue
        with pytest.raises(UnsupportedScene, match="texts and profiles"):
            opened(data).read(Window(0, 0, 8, 8), (1,), rule="any")


def test_a_unit_that_proj_does_not_know_is_not_complained_of_on_the_terminal():
    keys = (1, 1, 0, 5, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 32767, 2050, 0, 1, 6030, 2054, 0, 1, 9999)
    data = with_values((34735, 3, len(keys), struct.pack(f"<{len(keys)}H", *keys)))
    code = "import sys; from read.test_hostile import opened; print(opened(sys.stdin.buffer.read()).header.width)"
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True, env=_here())
    assert (done.stdout, done.stderr) == (b"64\n", b"")


_GREEDY = """
import sys
sys.modules.pop("torch", None)
from dataclasses import replace
from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.limits import DEFAULT_LIMITS
from encdec_batch.window import Window
from rasters import tiny_tiff
from read.test_hostile import opened
import zlib
side = 8192
data = tiny_tiff(zlib.compress(bytes(side * side)), compression=8, width=side, height=side, tile=side)
reader = opened(data, limits=replace(DEFAULT_LIMITS, max_growth_bytes=int(sys.argv[1]) << 20))
try:
    print(reader.read(Window(0, 0, side, side), (1,), rule="any").pixels.size)
except UnsupportedScene as error:
    print(error)
import numpy
print(numpy.ones(500 << 20, "u1").size)
"""


@pytest.mark.parametrize(("mib", "words"), [(100, "takes more than 104,857,600 bytes"), (1000, "67108864")])
def test_a_decoder_that_takes_more_than_it_may_is_stopped_and_nothing_else_is(mib, words):
    done = subprocess.run(
        [sys.executable, "-c", _GREEDY, str(mib)], capture_output=True, check=True, text=True, env=_here()
    )
    said, after = done.stdout.splitlines()
    assert words in said
    assert int(after) == 500 << 20


def _here() -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
