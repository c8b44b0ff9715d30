"""Slides that lie: each ends as one line, in little time and memory, and without a word of the file."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from slides import SECRET, SIDE, TILE, pyramid_of, smooth, write_aperio, write_ome, write_philips

from encdec_batch.errors import SceneUnreadable, UnsupportedScene
from encdec_batch.read.limits import MIB, Limits
from encdec_batch.read.open import contents_of, open_reader
from encdec_batch.read.options import ReadOptions
from encdec_batch.read.reader import Reader
from encdec_batch.read.slide.layout import downsample_of
from encdec_batch.read.xml import parse_xml
from encdec_batch.store.local import LocalStore
from encdec_batch.window import Window

LEVELS = pyramid_of(smooth(SIDE, SIDE), 3)


@pytest.fixture
def aperio(tmp_path) -> Path:
    write_aperio(tmp_path / "slide.tif", LEVELS)
    return tmp_path / "slide.tif"


@pytest.fixture
def ome(tmp_path) -> Path:
    write_ome(tmp_path / "ome.tif", [level[..., 0] for level in LEVELS], axes="YX", compression="zlib")
    return tmp_path / "ome.tif"


def opened(path: Path, um: float | None = None, **limits: int) -> Reader:
    store = LocalStore(str(path.parent))
    return open_reader(store, path.name, limits=Limits(**limits), options=ReadOptions(um_per_px=um))


def whole(reader: Reader) -> np.ndarray:
    header = reader.header
    return reader.read(Window(0, 0, header.width, header.height), range(1, header.num_bands + 1), rule="any").pixels


def set_tag(path: Path, page: int, code: int, *values: int) -> None:
    """Writes other numbers into a tag, where it is."""
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[page].tags[code]
    kind = {3: "H", 4: "I", 13: "I", 16: "Q"}[tag.dtype]
    data = bytearray(path.read_bytes())
    struct.pack_into(f"<{len(values)}{kind}", data, tag.valueoffset, *values)
    path.write_bytes(data)


def set_tile(path: Path, tile: bytes, *, page: int = 0) -> None:
    """Puts another first tile behind the file, and names it."""
    with tifffile.TiffFile(path) as tiff:
        offsets, sizes = list(tiff.pages[page].dataoffsets), list(tiff.pages[page].databytecounts)
    at = path.stat().st_size
    path.write_bytes(path.read_bytes() + tile)
    set_tag(path, page, 324, at, *offsets[1:])
    set_tag(path, page, 325, len(tile), *sizes[1:])


def set_description(path: Path, change: Callable[[str], str]) -> None:
    """Another text behind the file."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        text, at = page.tags[270].value, page.tags[270].offset
    data = path.read_bytes()
    new = change(text).encode()
    patched = bytearray(data + new)
    struct.pack_into("<II", patched, at + 4, len(new), len(data))
    path.write_bytes(patched)


@pytest.mark.parametrize("size", [(0, 200), (1 << 20, 200), (200, 7), (400, 400), (1 << 31, 1 << 31)])
def test_a_level_of_another_shape_is_none(aperio, size):
    set_tag(aperio, 2, 256, size[0])
    set_tag(aperio, 2, 257, size[1])
    reader = opened(aperio, 1.0)
    assert reader.header.level0_downsample == (2.0, 2.0)
    assert reader.header.encoded_bytes == opened(aperio).header.encoded_bytes


def test_a_level_with_fewer_tiles_than_it_needs_is_damaged(aperio):
    for code in (256, 257):
        set_tag(aperio, 3, code, 133)
    with pytest.raises(SceneUnreadable, match="9 tiles are needed"):
        opened(aperio, 1.5)


@pytest.mark.parametrize("compression", ["jpeg", 33005, "zlib", "lzw"])
def test_a_tile_that_claims_to_be_huge_takes_no_memory(tmp_path, compression):
    path = tmp_path / "slide.tif"
    huge = np.zeros((3000, 3000, 3), np.uint8)
    tiles = {
        "jpeg": lambda: imagecodecs.jpeg8_encode(huge, level=10),
        33005: lambda: imagecodecs.jpeg2k_encode(huge, level=10, codecformat="j2k"),
        "zlib": lambda: zlib.compress(huge.tobytes()),
        "lzw": lambda: b"",
    }
    write_aperio(path, [level[:TILE, :TILE] for level in LEVELS[:1]], compression=compression)
    set_tile(path, tiles[compression]() or b"\x80\x0b")
    tracemalloc.start()
    with pytest.raises(SceneUnreadable, match="cannot be decoded") as caught:
        whole(opened(path))
    assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    tracemalloc.stop()
    assert "damaged" in caught.value.hint


def test_subsampled_colours_of_jpeg_2000_are_said_to_be_not_read(tmp_path):
    path = tmp_path / "slide.tif"
    write_aperio(path, [LEVELS[0][:TILE, :TILE]], compression=33005)
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages[0].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[start + 46 : start + 48] = b"\x02\x02"  # XRsiz and YRsiz of the second component
    path.write_bytes(data)
    with pytest.raises(SceneUnreadable, match="colours are subsampled") as caught:
        whole(opened(path))
    assert "OME-TIFF" in caught.value.hint


def test_a_jpeg_that_is_cut_short_is_not_filled_with_grey(aperio):
    with tifffile.TiffFile(aperio) as tiff:
        size = tiff.pages[0].databytecounts[0]
        others = tiff.pages[0].databytecounts[1:]
    set_tag(aperio, 0, 325, size - 80, *others)
    with pytest.raises(SceneUnreadable, match="JPEG cannot be decoded"):
        whole(opened(aperio))


def test_levels_that_lead_back_are_walked_once(ome):
    with tifffile.TiffFile(ome) as tiff:
        page = tiff.pages[0]
        start, first = page.offset, page.subifds[0]
    for values in ((start, start), (first, first), (start, first)):
        set_tag(ome, 0, 330, *values)
        reader = opened(ome, 1.0)
        assert reader.header.height == 200
        assert (reader.header.tile_height == TILE) == (first in values)
    set_tag(ome, 0, 330, 1 << 30, 1 << 31)
    with pytest.raises(SceneUnreadable, match="list of levels"):
        opened(ome)


def test_a_chain_that_leads_back_ends(aperio):
    with tifffile.TiffFile(aperio) as tiff:
        start = tiff.pages[0].offset
    data = bytearray(aperio.read_bytes())
    with tifffile.TiffFile(aperio) as tiff:
        last = tiff.pages[len(tiff.pages) - 1]
        at = last.offset + 2 + 12 * len(last.tags)
    struct.pack_into("<I", data, at, start)
    aperio.write_bytes(data)
    assert opened(aperio, 2.0).header.height == 100


def test_more_images_than_the_limits_admit(aperio, ome):
    with pytest.raises(UnsupportedScene, match="more than 3 images"):
        opened(aperio, max_ifds=3)
    with pytest.raises(SceneUnreadable, match="list of levels"):
        opened(ome, max_ifds=1)


@pytest.mark.parametrize("begin", [b"Aperio ", b"<?xml version='1.0'?><OME>"])
def test_a_description_of_100_mb_is_not_read(tmp_path, begin):
    path, size = tmp_path / "slide.tif", 100 * MIB
    tifffile.imwrite(path, LEVELS[0][..., 0], tile=(TILE, TILE), description="x" * 40, metadata=None)
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages[0].tags[270].offset
    start = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(at + 4)
        file.write(struct.pack("<II", size, start))
        file.seek(start)
        file.write(begin)
        file.seek(start + size - 6)
        file.write(b"</OME>")
    with pytest.raises(UnsupportedScene, match="104,857,600 bytes"):
        opened(path)


SIZES = 'DimensionOrder="XYCZT" SizeX="400" SizeY="400" SizeC="1" SizeZ="1" SizeT="1"'
BOMBS = {
    "laughs": '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><OME>&c;</OME>',
    "file": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><OME>&b;</OME>',
    "parameters": '<!DOCTYPE a [<!ENTITY % b "x"> %b;]><OME></OME>',
    "tiffdata": f"<OME><Image><Pixels {SIZES}/>{'<TiffData/>' * 20_000}</Image></OME>",
    "images": f"<OME>{'<Image/>' * 20_000}</OME>",
    "numbers": '<OME><Image><Pixels SizeX="' + "9" * 5000 + '"/></Image></OME>',
    "words": f'<OME><Image><Pixels SizeX="{SECRET}"/></Image></OME>',
    "none": "<<<OME>",
    "order": '<OME><Pixels SizeX="3"/></OME>',
}


@pytest.mark.parametrize("name", BOMBS)
def test_xml_that_blows_up_is_damaged(ome, name):
    set_description(ome, lambda _: BOMBS[name])
    for look in (lambda: opened(ome), lambda: contents_of(LocalStore(str(ome.parent)), ome.name)):
        with pytest.raises(SceneUnreadable, match="OME-XML cannot be read") as caught:
            look()
        assert SECRET not in str(caught.value)


def test_a_document_type_is_seen_in_any_encoding():
    for encoding in ("utf-8", "utf-16"):
        text = '<!DOCTYPE a [<!ENTITY b "ha">]><OME>&b;</OME>'.encode(encoding)
        with pytest.raises(ValueError, match="document type"):
            parse_xml(text, start=lambda _name, _attributes: None)


@pytest.mark.parametrize(
    ("old", "new", "error", "said"),
    [
        ('SizeX="400"', 'SizeX="401"', SceneUnreadable, "its directories 400 x 400 px"),
        ('SizeC="1"', 'SizeC="100"', SceneUnreadable, "OME-XML"),
        ('SizeZ="1"', 'SizeZ="100000"', UnsupportedScene, "more than 256 planes"),
        ('SizeZ="1"', 'SizeZ="-1"', SceneUnreadable, "OME-XML"),
        ('IFD="0"', 'IFD="999999999"', SceneUnreadable, "OME-XML"),
        ('PlaneCount="1"', 'PlaneCount="9999999"', SceneUnreadable, "OME-XML"),
        ('DimensionOrder="XYCZT"', 'DimensionOrder="ZYXCT"', SceneUnreadable, "OME-XML"),
    ],
)
def test_a_description_that_contradicts_the_file(ome, old, new, error, said):
    with tifffile.TiffFile(ome) as tiff:
        assert old in tiff.pages[0].description
    set_description(ome, lambda text: text.replace(old, new))
    with pytest.raises(error, match=said) as caught:
        opened(ome)
    assert SECRET not in str(caught.value)


def test_planes_in_other_files_are_not_looked_for(ome):
    block = '<TiffData IFD="0" PlaneCount="1"/>'
    files = "".join(
        f'<TiffData IFD="0"><UUID FileName="{SECRET}">urn:uuid:{number}</UUID></TiffData>' for number in "12"
    )
    set_description(ome, lambda text: text.replace(block, files).replace('SizeC="1"', 'SizeC="2"'))
    with pytest.raises(UnsupportedScene, match="other files") as caught:
        opened(ome)
    assert SECRET not in str(caught.value)


def test_a_description_in_another_file_is_not_looked_for(ome):
    set_description(ome, lambda _: f'<OME><BinaryOnly MetadataFile="{SECRET}" UUID="urn:uuid:1"/></OME>')
    with pytest.raises(UnsupportedScene, match="other files") as caught:
        opened(ome)
    assert SECRET not in str(caught.value)


def test_of_several_images_the_largest_is_the_scene_and_two_alike_are_none(ome):
    with tifffile.TiffFile(ome) as tiff:
        text = tiff.pages[0].description
    image = text[text.index("<Image ") : text.index("</Image>") + 8]
    small = image.replace('SizeX="400"', 'SizeX="300"')
    label = image.replace(f'Name="{SECRET}"', 'Name="label image"')
    set_description(ome, lambda text: text.replace(image, small + label + image))
    assert opened(ome).header.width == 400
    set_description(ome, lambda text: text.replace(image, image + image))
    with pytest.raises(UnsupportedScene, match="2 images of one size"):
        opened(ome)


@pytest.mark.parametrize(
    "change", [lambda text: text.replace("0.0005", SECRET), lambda text: text[50:]], ids=["numbers", "xml"]
)
def test_a_description_of_philips_that_is_damaged(tmp_path, change):
    path = tmp_path / "slide.tif"
    write_philips(path, LEVELS)
    set_description(path, change)
    with pytest.raises(SceneUnreadable, match="list of levels cannot be read") as caught:
        opened(path)
    assert SECRET not in str(caught.value)


def test_levels_that_do_not_go_with_the_description_are_left_out(tmp_path):
    path = tmp_path / "slide.tif"
    write_philips(path, LEVELS)
    first = '<DataObject ObjectType="PixelDataRepresentation">'
    set_description(path, lambda text: text.replace(first, first.replace("Pixel", "Other"), 1))
    assert opened(path, 2.0).header.encoded_bytes == opened(path).header.encoded_bytes


@pytest.mark.parametrize(
    ("finest", "level", "factor"),
    [
        ((32914, 46000), (8228, 11500), 4.0),
        ((32914, 46000), (8229, 11500), 4.0),
        ((32914, 46000), (2057, 2875), 16.0),
        ((900, 1200), (300, 400), 3.0),
        ((1000, 1000), (700, 700), 1000 / 700),
        ((1000, 1000), (1, 1), 1024.0),
        ((1000, 1000), (500, 400), None),
        ((1000, 1000), (1000, 1000), None),
        ((1000, 1000), (2000, 2000), None),
        ((1000, 10), (500, 5), 2.0),
    ],
)
def test_by_how_much_a_level_is_coarser(finest, level, factor):
    assert downsample_of(finest, level) == factor
