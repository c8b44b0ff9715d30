"""Frames as pydicom reads them, with its own decoders where it has one for the format."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dicoms as made
import imagecodecs
import numpy as np
import openjpeg
import pydicom
import pytest
from contracts import reader as contract
from dicoms import by_pydicom, encapsulated, item, native, ramp
from fakes import FakeStore
from pydicom.encaps import generate_frames

from encdec_batch.errors import ExtraMissing
from encdec_batch.read.limits import DEFAULT_LIMITS, Limits
from encdec_batch.read.open import contents_of, open_reader
from encdec_batch.read.plane import WHOLE, Plane
from encdec_batch.read.reader import Reader
from encdec_batch.window import Window

H, W = 37, 54
REAL = Path(__file__).parents[2].parent / "shared/data/medical/dicom"
GREY = ramp(H, W, most=4095)
DEEP = ramp(H, W)
SIGNED = ramp(H, W, dtype="int16")
BYTES = ramp(H, W, dtype="uint8")
COLOUR = ramp(H, W, dtype="uint8", samples=3)
COLOUR_16 = ramp(H, W, samples=3)
FRAMES = np.stack([GREY, GREY[::-1], GREY[:, ::-1]])
BITS = np.random.default_rng(1).integers(0, 2, (3, 37, 53), np.uint8)
# At Cb = 253, where blue is raised by 221.5, pydicom's floats round down.
CHROMA = np.minimum(COLOUR, 250)
SUBSAMPLED = np.random.default_rng(2).integers(0, 251, (H, W * 2), np.uint8)
FLOATS = ramp(H, W).astype("f4") / 7
FLOATS[3:9, 4:20] = np.nan


def planar(pixels: Any) -> bytes:
    return np.moveaxis(pixels, -1, 0).tobytes()


def words_of(values: Any) -> bytes:
    return np.asarray(values, "<u2").tobytes()


def palette(bits: int, *, first: int = 0) -> dict[str, Any]:
    size = 200
    tables = {}
    for number, colour in enumerate(("Red", "Green", "Blue")):
        entries = (np.arange(size) * (number + 3) * 40) % (1 << bits)
        tables[f"{colour}PaletteColorLookupTableDescriptor"] = [size, first, bits]
        tables[f"{colour}PaletteColorLookupTableData"] = entries.astype("<u1" if bits == 8 else "<u2").tobytes()
    return tables


def packed(pixels: Any) -> bytes:
    return np.packbits(pixels.reshape(-1), bitorder="little").tobytes()


def encoded(pixels: Any, syntax: str, *, encode: Callable[[Any], bytes] | None = None, **elements: Any) -> bytes:
    return encapsulated(pixels, syntax, encode or made.ENCODERS[syntax], **elements)


def as_unsigned(encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """JPEG-LS does not know signs."""
    return lambda frame: encode(frame.view("u2"))


def big_endian_words() -> bytes:
    """Bytes in words, the leading byte first, of an odd number of pixels."""
    pixels = BYTES[:35, :53]
    swapped = np.frombuffer(pixels.tobytes() + b"\0", "<u2").astype(">u2").tobytes()
    whole = made.dataset(pixels)
    whole.PixelData = swapped
    whole["PixelData"].VR = "OW"
    return made.written(whole, made.BIG_ENDIAN)


ONE_BIT = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
YBR = {"PhotometricInterpretation": "YBR_FULL"}
NATIVE: dict[str, Callable[[], bytes]] = {
    "implicit": lambda: native(DEEP, made.IMPLICIT),
    "explicit": lambda: native(SIGNED),
    "big endian": lambda: native(GREY, made.BIG_ENDIAN, BitsStored=12, HighBit=11),
    "big endian, signed": lambda: native(SIGNED, made.BIG_ENDIAN),
    "big endian, words of two bytes": big_endian_words,
    "deflated": lambda: native(GREY, made.DEFLATED),
    "12 of 16 bits, the others not empty": lambda: native(DEEP, BitsStored=12, HighBit=11),
    "12 of 16 bits, signed, the others not empty": lambda: native(SIGNED, BitsStored=12, HighBit=11),
    "8 bits": lambda: native(BYTES),
    "rgb": lambda: native(COLOUR),
    "rgb of 16 bits": lambda: native(COLOUR_16),
    "rgb in planes": lambda: native(COLOUR, data=planar(COLOUR), PlanarConfiguration=1),
    "ybr": lambda: native(CHROMA, **YBR),
    "ybr in planes": lambda: native(CHROMA, data=planar(CHROMA), PlanarConfiguration=1, **YBR),
    "ybr, subsampled": lambda: native(COLOUR, data=SUBSAMPLED.tobytes(), PhotometricInterpretation="YBR_FULL_422"),
    "palette": lambda: native(BYTES, PhotometricInterpretation="PALETTE COLOR", **palette(8)),
    "palette of 16 bits, from 10 on": lambda: native(
        BYTES, PhotometricInterpretation="PALETTE COLOR", **palette(16, first=10)
    ),
    "palette, signed index": lambda: native(
        SIGNED // 200, PhotometricInterpretation="PALETTE COLOR", **palette(16, first=-100)
    ),
    "modality LUT": lambda: native(
        GREY,
        ModalityLUTSequence=[
            item(LUTDescriptor=[3000, 500, 16], LUTData=words_of(np.arange(3000) * 17 % 65536), ModalityLUTType="US")
        ],
    ),
    "floats": lambda: native(FLOATS, SOPClassUID="1.2.840.10008.5.1.4.1.1.30"),
    "doubles": lambda: native(FLOATS.astype("f8"), SOPClassUID="1.2.840.10008.5.1.4.1.1.30"),
    "doubles, big endian": lambda: native(FLOATS.astype("f8"), made.BIG_ENDIAN),
}
ENCODED: dict[str, Callable[[], bytes]] = {
    "rle": lambda: encapsulated(DEEP, made.RLE, made.rle),
    "rle, signed 12 bits": lambda: encapsulated(SIGNED, made.RLE, made.rle, BitsStored=12, HighBit=11),
    "rle, rgb": lambda: encapsulated(COLOUR, made.RLE, made.rle),
    "rle, ybr of an odd size": lambda: encapsulated(CHROMA[:35, :53], made.RLE, made.rle, **YBR),
    "rle, palette": lambda: encapsulated(
        BYTES, made.RLE, made.rle, PhotometricInterpretation="PALETTE COLOR", **palette(16)
    ),
    "jpeg": lambda: encoded(BYTES, made.JPEG),
    "jpeg, ybr": lambda: encoded(COLOUR, made.JPEG, PhotometricInterpretation="YBR_FULL_422"),
    "jpeg-ls": lambda: encoded(GREY, made.JPEG_LS, BitsStored=12, HighBit=11),
    "jpeg-ls, signed": lambda: encoded(SIGNED, made.JPEG_LS, encode=as_unsigned(imagecodecs.jpegls_encode)),
    "jpeg-ls, near": lambda: encoded(GREY, made.JPEG_LS_NEAR),
    "jpeg-ls, rgb": lambda: encoded(COLOUR, made.JPEG_LS),
    "jpeg 2000": lambda: encoded(GREY, made.JPEG_2000, BitsStored=12, HighBit=11),
    "jpeg 2000, signed": lambda: encoded(SIGNED, made.JPEG_2000),
    "jpeg 2000, lossy": lambda: encoded(GREY, made.JPEG_2000_LOSSY),
    "jpeg 2000, rct": lambda: encoded(COLOUR, made.JPEG_2000, PhotometricInterpretation="YBR_RCT"),
}


def opened(
    data: bytes, *, plane: Plane = WHOLE, limits: Limits = DEFAULT_LIMITS, whole: bool = False, store: Any = None
) -> Reader:
    store = FakeStore() if store is None else store
    store.put("scene.dcm", data)
    return open_reader(store, "scene.dcm", plane=plane, limits=limits, whole=whole)


def pixels_of(data: bytes, **options: Any) -> Any:
    reader = opened(data, **options)
    header = reader.header
    window = Window(0, 0, header.width, header.height)
    return reader.read(window, range(1, header.num_bands + 1), rule="any").pixels


@pytest.mark.parametrize("name", [*NATIVE, *ENCODED])
def test_a_frame_is_what_pydicom_reads(name):
    data = (NATIVE | ENCODED)[name]()
    expected = by_pydicom(data)
    if expected.dtype.byteorder == ">":
        expected = expected.astype(expected.dtype.newbyteorder("="))
    contract.check_pixels(partial(opened, data), expected)
    contract.check_costs(partial(opened, data), keeps_a_window=True)
    contract.check_thumbnail(partial(opened, data), max_side=20)
    np.testing.assert_array_equal(pixels_of(data, whole=True), expected)


def test_frames_that_pydicom_cannot_decode_are_those_that_were_encoded():
    deep = encoded(DEEP, made.JPEG_LOSSLESS)
    np.testing.assert_array_equal(pixels_of(deep), DEEP[None], strict=True)
    frame = next(generate_frames(pydicom.dcmread(io.BytesIO(deep)).PixelData, number_of_frames=1))
    np.testing.assert_array_equal(pixels_of(deep)[0], imagecodecs.ljpeg_decode(frame))
    signed = encoded(SIGNED, made.JPEG_LOSSLESS, encode=as_unsigned(made.ENCODERS[made.JPEG_LOSSLESS]))
    np.testing.assert_array_equal(pixels_of(signed), SIGNED[None], strict=True)
    colour = encoded(COLOUR, made.JPEG_LOSSLESS)
    np.testing.assert_array_equal(pixels_of(colour), np.moveaxis(COLOUR, -1, 0), strict=True)
    lossy = pixels_of(encoded(GREY, made.JPEG_12, BitsStored=12, HighBit=11))
    assert lossy.dtype == np.uint16
    assert np.abs(lossy[0].astype(int) - GREY).max() < 40
    assert len(np.unique(lossy)) > 256


@pytest.mark.parametrize("pixels", [GREY, SIGNED, COLOUR], ids=["grey", "signed", "colour"])
def test_htj2k_is_what_other_decoders_make_of_it(pixels):
    data = encoded(pixels, made.HTJ2K, **({"PhotometricInterpretation": "YBR_RCT"} if pixels.ndim > 2 else {}))
    frame = next(generate_frames(pydicom.dcmread(io.BytesIO(data)).PixelData, number_of_frames=1))
    found = np.moveaxis(pixels_of(data), 0, -1).reshape(pixels.shape)
    np.testing.assert_array_equal(found, pixels, strict=True)
    np.testing.assert_array_equal(found, imagecodecs.htj2k_decode(frame))
    np.testing.assert_array_equal(found, openjpeg.decode(frame))


@pytest.mark.parametrize("encode", [packed, None], ids=["uncompressed", "rle"])
def test_single_bits_are_zeros_and_ones_in_frames_that_share_bytes(encode):
    if encode:
        data = native(BITS, data=packed(BITS), **ONE_BIT)
    else:
        data = encapsulated(BITS, made.RLE, lambda frame: made.rle(np.frombuffer(packed(frame), "u1")[None]), **ONE_BIT)
    for frame, expected in enumerate(BITS):
        contract.check_pixels(partial(opened, data, plane=Plane.of(frame=frame)), expected[None])
    if encode:
        np.testing.assert_array_equal(by_pydicom(data, 1), BITS[1:2])


@pytest.mark.parametrize(
    ("photometric", "marker", "expected"),
    [
        ("RGB", {"outcolorspace": "RGB"}, "rgb"),
        ("YBR_FULL_422", {"outcolorspace": "RGB"}, "rgb"),
        ("RGB", {}, "ybr"),
        ("YBR_FULL", {}, "ybr"),
    ],
    ids=["rgb in rgb", "rgb in a header of ybr", "ybr in a header of rgb", "ybr in ybr"],
)
def test_what_a_jpeg_says_of_its_colours_goes_before_the_header(photometric, marker, expected):
    """libjpeg writes an Adobe or a JFIF marker, or letters for components."""
    data = encoded(
        COLOUR,
        made.JPEG,
        encode=lambda frame: imagecodecs.jpeg8_encode(frame, level=95, subsampling="444", **marker),
        PhotometricInterpretation=photometric,
    )
    assert expected in ("rgb", "ybr")
    assert np.abs(pixels_of(data).astype(int) - np.moveaxis(COLOUR, -1, 0)).max() < 12


def test_a_jpeg_without_a_word_of_its_colours_has_those_of_the_header():
    as_rgb, as_ybr = np.moveaxis(COLOUR, -1, 0), pixels_of(native(COLOUR, **YBR)).astype(int)
    lossy = partial(unmarked, level=95, subsampling="444")
    lossless = partial(unmarked, lossless=True, bitspersample=8)
    assert np.abs(pixels_of(encoded(COLOUR, made.JPEG, encode=lossy)).astype(int) - as_rgb).max() < 12
    assert np.abs(pixels_of(encoded(COLOUR, made.JPEG, encode=lossy, **YBR)).astype(int) - as_ybr).max() < 25
    np.testing.assert_array_equal(pixels_of(encoded(COLOUR, made.JPEG_LOSSLESS, encode=lossless)), as_rgb)
    np.testing.assert_array_equal(pixels_of(encoded(COLOUR, made.JPEG_LOSSLESS, encode=lossless, **YBR)), as_ybr)


def unmarked(frame: Any, **options: Any) -> bytes:
    """Three components as they are, under numbers, and no marker of an application."""
    data = bytearray(imagecodecs.jpeg8_encode(frame, colorspace="RGB", outcolorspace="RGB", **options))
    while data[2] == 0xFF and data[3] >= 0xE0:
        del data[2 : 4 + int.from_bytes(data[4:6])]
    frame_at = next(data.index(marker) for marker in (b"\xff\xc0", b"\xff\xc3") if marker in data)
    scan_at = data.index(b"\xff\xda")
    for number in range(3):
        data[frame_at + 10 + 3 * number] = data[scan_at + 5 + 2 * number] = number + 1
    return bytes(data)


def test_without_pydicom_a_dicom_asks_for_the_extra(monkeypatch):
    data = native(GREY)
    for module in [name for name in sys.modules if name.startswith("encdec_batch.read.dicom.")]:
        monkeypatch.delitem(sys.modules, module)
    for module in [name for name in sys.modules if name.partition(".")[0] == "pydicom"]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ExtraMissing, match="DICOM is read by pydicom, which is not installed") as caught:
        opened(data)
    assert caught.value.hint == 'pip install "encdec-batch[medical]"'


NOT_DECODED_BY_PYDICOM = {"JPEG-LL.dcm", "JPEG-lossy.dcm", "liver_rle.dcm"}
DAMAGED = {"MR_truncated.dcm"}


@pytest.mark.skipif(not REAL.is_dir(), reason="no real files here")
def test_real_files_are_what_pydicom_reads():
    found = {path.name for path in REAL.glob("*.dcm")} - NOT_DECODED_BY_PYDICOM - DAMAGED
    assert len(found) > 20
    for name in sorted(found):
        data = (REAL / name).read_bytes()
        store = FakeStore()
        store.put("scene.dcm", data)
        for plane in contents_of(store, "scene.dcm").planes[:2]:
            expected = by_pydicom(data, dict(plane.indices).get("frame", 0))
            if name == "RG3_J2KI.dcm":
                expected = 1023 - expected
            np.testing.assert_array_equal(pixels_of(data, plane=plane), expected, err_msg=name)


@pytest.mark.skipif(not REAL.is_dir(), reason="no real files here")
def test_real_files_that_pydicom_cannot_decode_are_what_others_make_of_them():
    data = (REAL / "JPEG-LL.dcm").read_bytes()
    frame = next(generate_frames(pydicom.dcmread(io.BytesIO(data)).PixelData, number_of_frames=1))
    for decode in (imagecodecs.ljpeg_decode, imagecodecs.jpegsof3_decode):
        np.testing.assert_array_equal(pixels_of(data)[0], decode(frame))
    liver = pixels_of((REAL / "liver_rle.dcm").read_bytes(), plane=Plane.of(frame=0))
    assert liver.sum() == 36233
    scan = pixels_of((REAL / "JPEG-lossy.dcm").read_bytes())
    assert (scan.min(), scan.max()) == (0, 264)
