"""What stored values mean: brightness, padding, tables, physical units, the size of a pixel."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import Any

import dicoms as made
import numpy as np
import pytest
from contracts import reader as contract
from dicoms import by_pydicom, encapsulated, item, native
from read.test_dicom import BYTES, COLOUR, FLOATS, FRAMES, GREY, SIGNED, opened, pixels_of, words_of

from encdec_batch.read.dicom.colour import rgb_of_ybr
from encdec_batch.read.plane import Plane

TWELVE = {"BitsStored": 12, "HighBit": 11}


def lut(kind: str, *, bits: int = 12) -> dict[str, Any]:
    entries = words_of(np.arange(4096) * 3 % (1 << bits))
    return {"ModalityLUTSequence": [item(LUTDescriptor=[4096, 0, bits], LUTData=entries, ModalityLUTType=kind)]}


@pytest.mark.parametrize(
    ("pixels", "elements", "expected"),
    [
        (GREY, TWELVE, 4095 - GREY),
        (BYTES, {}, 255 - BYTES),
        (SIGNED, {}, -1 - SIGNED),
        (GREY, TWELVE | {"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "US"}, 4095 - GREY),
        (GREY, TWELVE | lut("US"), (4095 - GREY.astype(int) * 3 % 4096).astype("u2")),
    ],
    ids=["12 bits", "8 bits", "signed", "a rescale that does nothing", "through a table"],
)
def test_monochrome1_is_turned_so_that_larger_is_brighter(pixels, elements, expected):
    data = native(pixels, PhotometricInterpretation="MONOCHROME1", **elements)
    contract.check_pixels(partial(opened, data), expected[None])
    assert opened(data).header.scales == (1.0,)


@pytest.mark.parametrize(
    "elements",
    [
        {"RescaleSlope": 2, "RescaleIntercept": -7},
        {"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "HU"},
        lut("OD"),
    ],
    ids=["rescaled", "a unit", "a table of densities"],
)
def test_physical_values_are_not_turned(elements):
    both = [
        pixels_of(native(GREY, PhotometricInterpretation=photometric, **elements))
        for photometric in ("MONOCHROME1", "MONOCHROME2")
    ]
    np.testing.assert_array_equal(*both)


def test_what_a_lossy_codec_overshoots_is_not_turned_into_its_opposite():
    """The header says 10 bits, the codestream has 12, and a value is beyond 1023."""
    bright = np.minimum(GREY, 1030).astype("u2")
    data = encapsulated(
        bright,
        made.JPEG_2000,
        made.ENCODERS[made.JPEG_2000],
        PhotometricInterpretation="MONOCHROME1",
        BitsStored=10,
        HighBit=9,
    )
    assert bright.max() == 1030
    np.testing.assert_array_equal(pixels_of(data)[0], 1023 - np.minimum(bright, 1023))


def test_only_the_bits_that_are_stored_count():
    cells = np.random.default_rng(0).integers(0, 1 << 16, (9, 12), np.uint16)
    unsigned = pixels_of(native(cells, BitsStored=10, HighBit=13))
    np.testing.assert_array_equal(unsigned[0], cells >> 4 & 0x3FF)
    signed = pixels_of(native(cells, BitsStored=10, HighBit=13, PixelRepresentation=1))
    np.testing.assert_array_equal(signed[0], ((cells >> 4 & 0x3FF) ^ 0x200).astype(int) - 0x200)
    assert signed.dtype == np.int16


def test_signed_bytes_are_read_in_16_bits():
    cells = np.arange(256, dtype=np.uint8).view(np.int8).reshape(16, 16)
    np.testing.assert_array_equal(pixels_of(native(cells)), cells[None].astype("i2"), strict=True)


PADDED = SIGNED.copy()
PADDED[:5, :20] = -2000
PADDED[5:9, :20] = -1998


@pytest.mark.parametrize("syntax", [made.EXPLICIT, made.IMPLICIT, made.BIG_ENDIAN])
def test_padding_is_no_value(syntax):
    data = native(PADDED, syntax, PixelPaddingValue=-2000)
    contract.check_pixels(partial(opened, data), PADDED[None], PADDED[None] != -2000)
    header = opened(data).header
    assert (header.nodata, header.mask) == ((-2000.0,), "nodata")


def test_padding_of_the_wrong_type_is_understood():
    whole = made.dataset(PADDED, PixelPaddingValue=None)
    whole.add_new("PixelPaddingValue", "US", 65536 - 2000)
    whole.PixelData = PADDED.tobytes()
    whole["PixelData"].VR = "OW"
    assert opened(made.written(whole, made.EXPLICIT)).header.nodata == (-2000.0,)


@pytest.mark.parametrize("ends", [(-2000, -1998), (-1998, -2000)])
def test_a_range_of_padding_is_no_value(ends):
    data = native(PADDED, PixelPaddingValue=ends[0], PixelPaddingRangeLimit=ends[1])
    valid = (PADDED < -2000) | (PADDED > -1998)
    contract.check_pixels(partial(opened, data), PADDED[None], valid[None])
    header = opened(data).header
    assert (header.nodata, header.mask) == ((None,), "internal")


def test_padding_is_turned_with_its_image_and_passes_a_table_by():
    pixels = GREY.copy()
    pixels[:4] = 63
    valid = (pixels != 63)[None]
    turned = native(pixels, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=63, **TWELVE)
    contract.check_pixels(partial(opened, turned), 4095 - pixels[None], valid)
    assert opened(turned).header.nodata == (4095.0 - 63,)
    mapped = native(pixels, PixelPaddingValue=63, **lut("HU", bits=16))
    contract.check_pixels(partial(opened, mapped), by_pydicom(mapped), valid)
    assert opened(mapped).header.mask == "internal"


def test_padding_of_floats_is_no_value_and_colours_have_none():
    pixels = FLOATS.copy()
    pixels[20:, 7] = -1.5
    data = native(pixels, FloatPixelPaddingValue=-1.5)
    contract.check_pixels(partial(opened, data), pixels[None], (pixels != -1.5)[None])
    assert opened(native(COLOUR, PixelPaddingValue=0)).header.mask == "none"


def test_padding_within_unused_bits_is_read_as_a_pixel_is():
    cells = np.full((4, 4), 0xF830, np.uint16)
    patch = native(cells, PixelPaddingValue=0xF830, **TWELVE)
    assert opened(patch).header.nodata == (float(0x830),)
    assert (pixels_of(patch) == 0x830).all()


@pytest.mark.parametrize(
    ("elements", "scale", "offset"),
    [
        ({"RescaleSlope": "0.5", "RescaleIntercept": "-1024"}, 0.5, -1024.0),
        ({"RescaleIntercept": "-1000"}, 1.0, -1000.0),
        ({"DoseGridScaling": "1.5e-3"}, 0.0015, 0.0),
        (lut("HU") | {"RescaleSlope": 3, "RescaleIntercept": 1}, 1.0, 0.0),
        ({}, 1.0, 0.0),
    ],
    ids=["rescale", "intercept alone", "dose", "a table is final", "none"],
)
def test_physical_units_are_the_headers(elements, scale, offset):
    header = opened(native(GREY, **elements)).header
    assert (header.scales, header.offsets) == ((scale,), (offset,))


def groups(frame: int) -> Any:
    return item(
        PixelMeasuresSequence=[item(PixelSpacing=[0.5 + frame, 0.25])],
        PixelValueTransformationSequence=[item(RescaleSlope=2 + frame, RescaleIntercept=-frame, RescaleType="US")],
    )


def test_each_frame_has_its_own_scale_and_size_of_a_pixel():
    data = native(
        FRAMES,
        SOPClassUID=made.ENHANCED_MR,
        SharedFunctionalGroupsSequence=[groups(40)],
        PerFrameFunctionalGroupsSequence=[groups(0), groups(1), item()],
    )
    headers = [opened(data, plane=Plane.of(frame=frame)).header for frame in range(3)]
    assert [header.scales for header in headers] == [(2.0,), (3.0,), (42.0,)]
    assert [header.offsets for header in headers] == [(0.0,), (-1.0,), (-40.0,)]
    assert [header.pixel_size_um for header in headers] == [(500.0, 250.0), (1500.0, 250.0), (40500.0, 250.0)]


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"PixelSpacing": [0.7, 0.6], "ImagerPixelSpacing": [0.2, 0.2]}, (700.0, 600.0)),
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (200.0, 100.0)),
        ({"NominalScannedPixelSpacing": [0.05, 0.05]}, (50.0, 50.0)),
        ({"PixelSpacing": [0, 0.5]}, None),
        ({"PixelSpacing": [0.5]}, None),
        ({}, None),
    ],
    ids=["in the patient", "at the detector", "on the film", "none", "half", "nothing said"],
)
def test_the_size_of_a_pixel_is_the_first_that_is_said(elements, expected):
    assert opened(native(GREY, **elements)).header.pixel_size_um == pytest.approx(expected)


def test_integers_of_32_bits_are_exact():
    cells = np.array([[0, 1, 2**32 - 1, 16_777_217]], np.uint32)
    np.testing.assert_array_equal(pixels_of(native(cells)), cells[None].astype("f8"), strict=True)
    signed = np.array([[-(2**31), 2**31 - 1, -16_777_217, 0]], np.int32)
    rle = encapsulated(signed, made.RLE, made.rle)
    np.testing.assert_array_equal(pixels_of(rle), signed[None].astype("f8"), strict=True)


def test_colours_are_those_of_the_standard():
    """Every pair of Cb and Cr, at three levels of light; the formula in whole numbers."""
    cb, cr = np.mgrid[:256, :256] - 128
    for luma in (0, 77, 255):
        found = rgb_of_ybr(np.stack([np.full((256, 256), luma), cb + 128, cr + 128]).astype(np.uint8))
        green = Fraction(-114 * 1772, 587_000), Fraction(-299 * 1402, 587_000)
        factors = ((Fraction(0), Fraction(1402, 1000)), green, (Fraction(1772, 1000), Fraction(0)))
        for plane, (of_cb, of_cr) in zip(found, factors, strict=True):
            common = of_cb.denominator * of_cr.denominator
            twice = 2 * (luma * common + cb * int(of_cb * common) + cr * int(of_cr * common)) + common
            np.testing.assert_array_equal(plane, np.clip(twice // (2 * common), 0, 255))


def segmented(bits: int) -> dict[str, Any]:
    """A run, a line up, one down, and the first two of them once more; of odd lengths, so that nothing is a half."""
    kind = "<u1" if bits == 8 else "<u2"
    top = 250 if bits == 8 else 60000
    # Discrete, linear and indirect segments: PS3.3, C.7.9.2.
    words = [0, 3, 9, 8, 7, 1, 99, top, 1, 51, 5]
    again = [2, 2, *((0, 0, 0, 0) if bits == 8 else (0, 0))]
    data = np.array(words + again, kind).tobytes()
    data += bytes(len(data) % 2)
    tables: dict[str, Any] = {}
    for colour in ("Red", "Green", "Blue"):
        tables[f"{colour}PaletteColorLookupTableDescriptor"] = [255, 0, bits]
        tables[f"Segmented{colour}PaletteColorLookupTableData"] = data
    return tables


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_in_segments_is_expanded(bits):
    index = np.arange(256, dtype=np.uint8).reshape(16, 16)
    data = native(index, PhotometricInterpretation="PALETTE COLOR", **segmented(bits))
    np.testing.assert_array_equal(pixels_of(data), by_pydicom(data), strict=True)


def test_a_header_has_neither_place_on_the_ground_nor_text():
    header = opened(native(GREY, SeriesDescription="PLANTED series")).header
    assert header.driver == "DICOM"
    assert (header.crs_wkt, header.transform, header.band_names) == (None, None, (None,))
    assert "PLANTED" not in repr(header)
    assert made.UIDS not in repr(header)
