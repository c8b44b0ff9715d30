"""Files that are damaged or lie. Each ends in one clear line that names nobody, whatever stands in the file."""

from __future__ import annotations

import io
import struct
import traceback
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dicoms as made
import imagecodecs
import numpy as np
import pydicom.errors
import pytest
from dicoms import encapsulated, item, native
from fakes import FakeStore
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from read.test_dicom import BITS, BYTES, COLOUR, FRAMES, GREY, ONE_BIT, encoded, opened, packed, palette, pixels_of
from read.test_dicom_frames import lossless

from encdec_batch.errors import EncdecError, SceneError, SceneUnreadable, TransientStoreError, UnsupportedScene
from encdec_batch.read.dicom.jpeg2000 import read_jpeg2000
from encdec_batch.read.dicom.library import MALFORMED
from encdec_batch.read.limits import DEFAULT_LIMITS, Limits
from encdec_batch.read.open import contents_of, open_reader
from encdec_batch.read.plane import Plane
from encdec_batch.window import Window

COMMON = {
    made.JPEG: BYTES,
    made.JPEG_12: GREY,
    made.JPEG_LOSSLESS: GREY,
    made.JPEG_LS: GREY,
    made.JPEG_2000: GREY,
    made.HTJ2K: GREY,
    made.RLE: GREY,
}


def refused(
    data: bytes, kind: type[EncdecError], words: str, *, plane: Plane | None = None, limits: Limits = DEFAULT_LIMITS
) -> str:
    """The message, in which nobody is named; neither is anybody in what stands behind it."""
    with pytest.raises(kind, match=words) as caught:
        pixels_of(data, limits=limits, **({"plane": plane} if plane else {}))
    assert caught.value.hint
    said = "".join(traceback.format_exception(caught.value)) + caught.value.hint
    assert "fake://output/scene.dcm" in said
    assert made.PLANTED not in said.replace("made.PLANTED", "")
    assert made.UIDS not in said
    return caught.value.message


def resaved(data: bytes, change: Callable[[Dataset], object]) -> bytes:
    """The same file with something changed by pydicom."""
    whole = dcmread(io.BytesIO(data))
    change(whole)
    syntax = whole.file_meta.TransferSyntaxUID
    return made.written(whole, syntax)


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID"])
def test_what_nothing_can_refer_to_is_set_aside(keyword):
    data = native(GREY, **{keyword: None})
    uid = f"{made.UIDS}.9".encode()
    assert pixels_of(data).shape == (1, *GREY.shape)  # the file's own header has it
    at = data.index(uid)
    blank = data[:at] + bytes(len(uid)) + data[at + len(uid) :]
    refused(blank, SceneUnreadable, "no SOP Class UID or no SOP Instance UID")


def test_an_encoding_that_is_not_said_is_not_guessed():
    data = native(GREY)
    at = data.index(b"\x02\x00\x10\x00UI")
    without = data[:at] + data[at + 8 + struct.unpack("<H", data[at + 6 : at + 8])[0] :]
    refused(without, SceneUnreadable, "does not say how it is encoded")


@pytest.mark.parametrize(
    ("uid", "name"),
    [("1.2.840.10008.1.2.4.102", "MPEG-4 AVC/H.264"), (f"{made.UIDS}.5", "no standard one")],
)
def test_encodings_that_are_not_read_are_named_if_they_are_standard(uid, name):
    whole = dcmread(io.BytesIO(lossless(GREY)))
    refused(made.written(whole, uid), UnsupportedScene, name)


@pytest.mark.parametrize(
    "sop_class",
    [
        "1.2.840.10008.5.1.4.1.1.88.22",
        "1.2.840.10008.5.1.4.1.1.481.3",
        "1.2.840.10008.5.1.4.1.1.11.1",
        "1.2.840.10008.5.1.4.1.1.104.1",
        "1.2.840.10008.1.3.10",
    ],
    ids=["report", "structures", "presentation", "pdf", "directory"],
)
def test_objects_that_hold_no_image_are_set_aside(sop_class):
    whole = made.dataset(GREY, SOPClassUID=sop_class, ContentSequence=[item(TextValue=f"{made.PLANTED} finding")])
    whole.EncapsulatedDocument = b"%PDF" + bytes(1 << 16)
    refused(made.written(whole, made.EXPLICIT), UnsupportedScene, "holds no image")


def test_a_whole_slide_without_a_size_is_set_aside():
    refused(native(COLOUR, SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.6"), SceneUnreadable, "no TotalPixelMatrixRows")


@pytest.mark.parametrize(
    "change", [{"Rows": 38}, {"Rows": 36}, {"Columns": 55}, {"Columns": 53}, {"NumberOfFrames": 2}]
)
def test_a_header_whose_size_is_not_that_of_its_pixels_lies(change):
    refused(native(GREY, **change), SceneUnreadable, "px, .* bytes, and its pixels have 3,996")


@pytest.mark.parametrize("syntax", COMMON)
@pytest.mark.parametrize("change", [{"Rows": 38}, {"Columns": 27}, {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}])
def test_a_header_whose_size_is_not_that_of_its_codestream_lies(syntax, change):
    if COMMON[syntax].dtype == np.uint8 and "BitsAllocated" in change:
        change = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}
    # Of a segment of RLE nobody knows the size before it is decoded: it must fill the frame and no more.
    said = "that can be decoded" if syntax == made.RLE else "that can be decoded: it .*, and its header says"
    refused(encoded(COMMON[syntax], syntax, **change), SceneUnreadable, said)


@pytest.mark.parametrize(
    ("elements", "kind", "words"),
    [
        ({"Rows": 0}, SceneUnreadable, "Rows in its header is 0"),
        ({"Rows": None}, SceneUnreadable, "no Rows"),
        ({"NumberOfFrames": -3}, SceneUnreadable, "says -3 frames"),
        ({"NumberOfFrames": 10**9}, UnsupportedScene, "promises 1,000,000,000 frames"),
        ({"SamplesPerPixel": 3}, SceneUnreadable, "3 samples a pixel"),
        ({"PhotometricInterpretation": "PLANTED"}, UnsupportedScene, "Photometric Interpretation that is not read"),
        ({"PhotometricInterpretation": None}, UnsupportedScene, "Photometric Interpretation that is not read"),
        ({"PhotometricInterpretation": "YBR_RCT", "SamplesPerPixel": 3}, SceneUnreadable, "only JPEG 2000 has"),
        ({"BitsStored": 17}, SceneUnreadable, "BitsStored in its header is 17"),
        ({"BitsStored": 12, "HighBit": 5}, SceneUnreadable, "12 bits up to bit 5"),
        ({"BitsAllocated": 24, "BitsStored": 16}, UnsupportedScene, "pixels of 24 bits"),
        ({"BitsAllocated": 64}, UnsupportedScene, "pixels of 64 bits"),
        ({"RescaleSlope": 0, "RescaleIntercept": 1}, SceneUnreadable, "a rescale slope of 0"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, SceneUnreadable, "PaletteColorLookupTableDescriptor"),
    ],
)
def test_a_header_that_cannot_be_is_set_aside(elements, kind, words):
    refused(native(GREY, **elements), kind, words)


@pytest.mark.parametrize(
    ("pixels", "elements", "words"),
    [
        (COLOUR.astype("i2"), {}, "colours in int16"),
        (COLOUR.astype("u2"), {"PhotometricInterpretation": "YBR_FULL"}, "YBR_FULL in uint16"),
        (GREY.astype("u4"), {"PhotometricInterpretation": "PALETTE COLOR"}, "a palette for uint32"),
        (GREY.astype("f4"), {"PhotometricInterpretation": "MONOCHROME1"}, "MONOCHROME1 in float32"),
    ],
)
def test_colours_that_mean_nothing_to_us_are_set_aside(pixels, elements, words):
    refused(native(pixels, **elements), UnsupportedScene, words)


def test_a_value_that_is_no_number_is_not_quoted():
    data = native(GREY, RescaleSlope="1.25", RescaleIntercept="0")
    refused(data.replace(b"1.25", b"Mr X"), SceneUnreadable, "RescaleSlope in its header")
    refused(
        native(GREY, RescaleSlope="1e999", RescaleIntercept="0"), SceneUnreadable, "RescaleSlope in its header is no"
    )


def test_whatever_the_libraries_raise_over_bytes_is_a_fault_of_the_file():
    errors = [one for one in vars(pydicom.errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    assert len(errors) > 1
    decoders = (imagecodecs.Jpeg8Error, imagecodecs.JpeglsError, imagecodecs.Jpeg2kError, imagecodecs.DicomrleError)
    assert all(issubclass(one, MALFORMED) for one in (*errors, *decoders))
    data = native(GREY)
    head = struct.pack("<HH2sH", 0x0028, 0x0010, b"US", 2)
    odd = data.replace(head, head[:-2] + b"\3\0\0")
    refused(odd, SceneUnreadable, "Rows in its header cannot be read")


@pytest.mark.parametrize("cut", [1, 2, 100, 3995])
def test_pixels_that_are_cut_short_are_damaged(cut):
    data = native(GREY)
    refused(data[:-cut], SceneUnreadable, f"it ends {cut:,} bytes before its pixels do")


@settings(max_examples=40)
@given(share=st.floats(0, 1), table=st.booleans())
def test_wherever_a_file_ends_too_early_it_is_never_read_as_another_image(share, table):
    data = WITH_TABLE if table else WITHOUT_TABLE
    cut = data[: 132 + round(share * (len(data) - 132))]
    try:
        found = pixels_of(cut, plane=Plane.of(frame=2))
    except SceneError:
        return
    np.testing.assert_array_equal(found[0], FRAMES[2])
    assert len(cut) >= len(data) - 8  # all but the mark of the end


WITH_TABLE, WITHOUT_TABLE = lossless(FRAMES), lossless(FRAMES, table=False)


@pytest.mark.parametrize("syntax", COMMON)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
def test_a_codestream_that_is_cut_short_is_damaged(syntax, part):
    def cut(frame: Any) -> bytes:
        whole = made.ENCODERS[syntax](frame)
        return whole[: round(part * len(whole))]

    refused(encoded(COMMON[syntax], syntax, encode=cut), SceneUnreadable, "that can be decoded")


@pytest.mark.parametrize("syntax", COMMON)
def test_a_codestream_that_is_none_is_damaged(syntax):
    for noise in (b"\0" * 200, b"\xff" * 200, np.random.default_rng(3).bytes(200)):
        refused(encoded(GREY, syntax, encode=lambda _, noise=noise: noise), SceneUnreadable, "that can be decoded")


def test_more_frames_than_there_are_fragments_are_a_lie():
    data = lossless(FRAMES, table=False)
    lying = resaved(data, lambda whole: setattr(whole, "NumberOfFrames", 5))
    refused(lying, SceneUnreadable, "says 5 frames, and it has 3 fragments", plane=Plane.of(frame=1))
    absurd = resaved(data, lambda whole: setattr(whole, "NumberOfFrames", 60_000))
    refused(absurd, SceneUnreadable, "60,000 frames, for which it is too small", plane=Plane.of(frame=1))
    fewer = resaved(data, lambda whole: setattr(whole, "NumberOfFrames", 2))
    refused(fewer, SceneUnreadable, "says 2 frames, and it has 3 fragments", plane=Plane.of(frame=1))
    rle = encapsulated(FRAMES, made.RLE, made.rle, fragments=2, table=False)
    refused(rle, SceneUnreadable, "says 3 frames, and it has 6 fragments", plane=Plane.of(frame=1))


def test_pixels_that_are_no_fragments_are_damaged():
    data = lossless(GREY)
    start = data.index(b"\xfe\xff\x00\xe0")
    for broken in (
        data[:start],
        data[: start + 4],
        data[:start] + b"x" * 400,
        data[:start] + b"\xfe\xff\xdd\xe0" + bytes(4),
    ):
        refused(broken, SceneUnreadable, "its pixels|fragment|too small")
    empty = b"\xfe\xff\x00\xe0" + bytes(4)
    refused(data[:start] + empty * 2 + b"\xfe\xff\xdd\xe0" + bytes(4), SceneUnreadable, "nothing in the frame")
    refused(
        data.replace(made.JPEG_LS.encode(), made.EXPLICIT.encode().ljust(22, b"\0")), SceneUnreadable, "in fragments"
    )


SIDE = 60_000


def claiming(frame: Any, syntax: str, side: int = SIDE) -> bytes:
    """The same codestream, which says that it is larger."""
    data = bytearray(made.ENCODERS[syntax](frame))
    if syntax in (made.JPEG_2000, made.HTJ2K):
        data[8:16] = data[24:32] = struct.pack(">II", side, side)
    else:
        marker = {made.JPEG: b"\xff\xc0", made.JPEG_LOSSLESS: b"\xff\xc3", made.JPEG_LS: b"\xff\xf7"}[syntax]
        at = data.index(marker) + 5
        data[at : at + 4] = struct.pack(">HH", side, side)
    return bytes(data)


@pytest.mark.parametrize("syntax", [made.JPEG, made.JPEG_LOSSLESS, made.JPEG_LS, made.JPEG_2000, made.HTJ2K])
def test_a_codestream_that_is_larger_than_its_header_says_is_not_decoded(syntax):
    data = encoded(COMMON[syntax], syntax, encode=lambda frame: claiming(frame, syntax))
    refused(data, SceneUnreadable, "60,000 x 60,000 px, and its header says 54 x 37")
    both = encoded(COMMON[syntax], syntax, encode=lambda frame: claiming(frame, syntax), Rows=SIDE, Columns=SIDE)
    refused(both, UnsupportedScene, "60,000 x 60,000 px, more than 67,108,864 that are decoded whole")


COD, SOT = b"\xff\x52", b"\xff\x90"


def coded(
    frame: Any, *, tile: int | None = None, block: int | None = None, precinct: int | None = None, where: bytes = COD
) -> bytes:
    """A JPEG 2000 that says that it is cut into pieces of such exponents; `where`: a tile says it, or the image."""
    data = bytearray(made.ENCODERS[made.JPEG_2000](frame))
    if tile is not None:
        data[24:32] = struct.pack(">II", 1 << tile, 1 << tile)
    at = data.index(COD)
    size = int.from_bytes(data[at + 2 : at + 4])
    style = data[at : at + 2 + size]
    if block is not None:
        style[10] = style[11] = block - 2
    if precinct is not None:
        style[4] |= 1
        style += bytes([precinct | precinct << 4]) * (style[9] + 1)
        style[2:4] = struct.pack(">H", len(style) - 2)
    if where == COD:
        data[at : at + 2 + size] = style
    else:
        first = data.index(SOT)
        data[first + 12 : first + 12] = style
        data[first + 6 : first + 10] = struct.pack(">L", int.from_bytes(data[first + 6 : first + 10]) + len(style))
    return bytes(data)


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ({"tile": 0}, "it has 40,000 tiles"),
        ({"block": 2}, "it has .* code-blocks"),
        ({"precinct": 3}, "it has .* precincts"),
        ({"precinct": 3, "where": SOT}, "it has .* precincts"),
    ],
    ids=["tiles", "blocks", "precincts", "precincts of a tile"],
)
def test_a_jpeg_2000_in_crumbs_is_not_decoded(pieces, words):
    frame = np.zeros((200, 200), np.uint16)
    refused(encoded(frame, made.JPEG_2000, encode=lambda frame: coded(frame, **pieces)), SceneUnreadable, words)


@pytest.mark.parametrize(
    "pieces",
    [{}, {"precinct": 15}, {"precinct": 7, "where": SOT}, {"tile": 7}],
    ids=["one", "whole", "in parts", "tiled"],
)
def test_a_jpeg_2000_in_usual_pieces_is_given_to_the_decoder(pieces):
    assert read_jpeg2000(coded(np.zeros((200, 200), np.uint16), **pieces)).width == 200
    tiled = imagecodecs.htj2k_encode(GREY, tile=(32, 32), reversible=True)
    np.testing.assert_array_equal(pixels_of(encoded(GREY, made.HTJ2K, encode=lambda _: tiled))[0], GREY)


def test_passes_without_end_are_not_decoded():
    def many_scans(frame: Any) -> bytes:
        data = imagecodecs.jpeg8_encode(frame)
        start = data.index(b"\xff\xda")
        return data[:-2] + data[start : start + 12] * 500 + data[-2:]

    refused(encoded(BYTES, made.JPEG, encode=many_scans), SceneUnreadable, "it has 501 scans")

    def progressive(frame: Any) -> bytes:
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(frame).save(file, format="JPEG", progressive=True)
        return file.getvalue()

    refused(encoded(BYTES, made.JPEG, encode=progressive), SceneUnreadable, "of another kind than DICOM admits")


def test_rle_that_goes_on_beyond_its_frame_is_not_decoded():
    def bomb(frame: Any) -> bytes:
        return struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\0" * (1 << 20)  # 2 MiB, of which 128 would come

    refused(encoded(BYTES, made.RLE, encode=bomb), SceneUnreadable, "no RLE that can be decoded")


def deflated(body: bytes, *, head: bytes | None = None) -> bytes:
    whole = native(GREY, made.DEFLATED) if head is None else head
    start = whole.index(made.DEFLATED.encode()) + len(made.DEFLATED) + len(made.DEFLATED) % 2
    packer = zlib.compressobj(9, wbits=-15)
    return whole[:start] + packer.compress(body) + packer.flush()


def test_a_header_that_inflates_without_end_is_not_inflated():
    limits = replace(DEFAULT_LIMITS, max_header_bytes=1 << 20)
    element = struct.pack("<HH2sHL", 0x0009, 0x1001, b"OB", 0, 1 << 23) + bytes(1 << 23)
    data = deflated(element + struct.pack("<HH2sH", 0x0028, 0x0010, b"US", 2) + b"\1\0")
    assert len(data) < 1 << 17
    refused(data, SceneUnreadable, "header needs more than 1,048,576 bytes", limits=limits)


def test_pixels_that_inflate_without_end_are_not_inflated():
    limits = replace(DEFAULT_LIMITS, max_whole_bytes=1 << 20)
    many = native(np.zeros((40, 128, 128), np.uint16), made.DEFLATED)
    refused(many, UnsupportedScene, "1,310,720 bytes when it is inflated", plane=Plane.of(frame=0), limits=limits)


def test_a_deflated_file_that_is_cut_short_is_damaged():
    data = native(np.random.default_rng(0).integers(0, 9, (64, 64), np.uint16), made.DEFLATED)
    refused(data[:-100], SceneUnreadable, "ends .* bytes before the pixels do")
    refused(data[:-600] + b"\xff" * 600, SceneUnreadable, "cannot be inflated|before the pixels do")


def test_a_header_without_end_is_not_read():
    limits = replace(DEFAULT_LIMITS, max_header_bytes=1 << 17)
    data = native(GREY, ImageComments=None)
    start = data.index(struct.pack("<HH2s", 0x0010, 0x0010, b"PN"))
    empty = b"".join(struct.pack("<HH2sH", 0x0009, number, b"LO", 0) for number in range(0x1000, 0x9000))
    refused(data[:start] + empty + data[start:], SceneUnreadable, "needs more than 131,072 bytes", limits=limits)


def test_sequences_within_sequences_end():
    data = native(GREY)
    start = data.index(struct.pack("<HH2s", 0x0010, 0x0010, b"PN"))
    nested = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 3000
    refused(data[:start] + nested, SceneUnreadable, "its DICOM header cannot be read|holds no image")


def test_a_store_that_fails_while_the_header_is_parsed_is_no_fault_of_the_file():
    store = FakeStore()
    data = native(GREY, ImageComments=None)
    start = data.index(struct.pack("<HH2s", 0x0010, 0x0010, b"PN"))
    long = struct.pack("<HH2sHL", 0x0009, 0x1001, b"OB", 0, 200_000) + bytes(200_000)
    store.put("scene.dcm", data[:start] + long + data[start:])

    def fail(operation: str, path: str) -> None:
        if sum(kind == "get" for kind, _ in store.requests) == 2:
            raise TransientStoreError("the store is busy")

    store.before = fail
    with pytest.raises(TransientStoreError, match="busy"):
        contents_of(store, "scene.dcm")
    store.before = lambda operation, path: None
    assert open_reader(store, "scene.dcm").header.width == GREY.shape[1]


@pytest.mark.parametrize("name", ["Red", "Green", "Blue"])
def test_a_palette_that_is_not_whole_is_damaged(name):
    whole = palette(16)
    short = whole | {f"{name}PaletteColorLookupTableData": bytes(30)}
    refused(
        native(BYTES, PhotometricInterpretation="PALETTE COLOR", **short), SceneUnreadable, "30 bytes for 200 entries"
    )
    differing = whole | {f"{name}PaletteColorLookupTableDescriptor": [199, 0, 16]}
    refused(native(BYTES, PhotometricInterpretation="PALETTE COLOR", **differing), SceneUnreadable, "differ in size")


@pytest.mark.parametrize(
    "words",
    [
        [2, 1, 0, 0],
        [1, 5, 5],
        [0, 9, 1],
        [0, 2, 1, 2, 2, 65535, 0, 0],
        [7, 7, 7],
        [0, 65535],
        [0, 2, 1, 2, 1, 65535, 9],
    ],
    ids=["refers to itself", "a line from nowhere", "cut short", "too many", "of no kind", "empty", "too long"],
)
def test_a_palette_in_segments_that_is_damaged_is_set_aside(words):
    tables: dict[str, Any] = {}
    for colour in ("Red", "Green", "Blue"):
        tables[f"{colour}PaletteColorLookupTableDescriptor"] = [1000, 0, 16]
        tables[f"Segmented{colour}PaletteColorLookupTableData"] = np.array(words, "<u2").tobytes()
    data = native(BYTES, PhotometricInterpretation="PALETTE COLOR", **tables)
    refused(data, SceneUnreadable, "a segmented table in its header is damaged")


def test_encodings_that_nobody_writes_are_set_aside():
    bits = encapsulated(BITS[0], made.JPEG_2000, packed, **ONE_BIT)
    refused(bits, UnsupportedScene, "pixels of one bit in JPEG 2000")
    long = encapsulated(GREY.astype("u4"), made.JPEG_LS, lambda frame: b"x" * 100)
    refused(long, UnsupportedScene, "pixels of 32 bits in JPEG-LS")


@given(changes=st.lists(st.tuples(st.integers(0, 899), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_header_with_other_bytes_is_read_or_refused_and_nothing_else(changes):
    data = bytearray(HEADED)
    for at, value in changes:
        data[132 + at % (len(data) - GREY.nbytes - 132)] = value
    try:
        reader = opened(bytes(data))
        header = reader.header
        window = Window(0, 0, min(header.width, 300), min(header.height, 300))
        patch = reader.read(window, range(1, header.num_bands + 1), rule="any")
    except SceneError:
        return
    assert patch.pixels.shape[1:] == (window.height, window.width)


HEADED = native(
    GREY,
    BitsStored=12,
    HighBit=11,
    PixelSpacing=[0.5, 0.5],
    RescaleSlope=2,
    RescaleIntercept=-1024,
    PixelPaddingValue=0,
    SharedFunctionalGroupsSequence=[item(PixelMeasuresSequence=[item(PixelSpacing=[1, 1])])],
    PerFrameFunctionalGroupsSequence=[item(PlanePositionSequence=[item(ImagePositionPatient=[1, 2, 3])])],
)
