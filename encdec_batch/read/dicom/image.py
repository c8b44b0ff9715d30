"""What a DICOM header says of its pixels (PS3.3, C.7.6.3), checked before any of them is fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.dicom.bits import BitField
from encdec_batch.read.dicom.dataset import DicomDataset
from encdec_batch.read.dicom.elements import Elements
from encdec_batch.read.dicom.library import damaged
from encdec_batch.read.ranges import PinnedObject

Photometric = Literal[
    "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"
]
_SAMPLES: dict[str, int] = {
    "MONOCHROME1": 1, "MONOCHROME2": 1, "PALETTE COLOR": 1,
    "RGB": 3, "YBR_FULL": 3, "YBR_FULL_422": 3, "YBR_ICT": 3, "YBR_RCT": 3,
}  # fmt: skip
"""Samples per pixel of each that is read."""
_MOST_SIDE = 65535
MOST_FRAMES = 1 << 16
"""In one object: each is a scene."""
MOST_TILES = 1 << 20
"""Of a slide."""
WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""VL Whole Slide Microscopy Image Storage."""
ITEM_BYTES = 8
"""Of a fragment, at least: its tag and its length."""
_FLOATS: dict[str, tuple[str, int]] = {"FloatPixelData": ("f4", 32), "DoubleFloatPixelData": ("f8", 64)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomImage:
    """Frames of one object; all have one shape and type."""

    rows: int
    columns: int
    num_frames: int
    samples: int
    photometric: Photometric
    planar: bool
    """The samples of a frame lie one after the other, not those of a pixel. Of what is not encapsulated."""
    bits: BitField | None
    """Of integers; None: floats, or pixels of one bit."""
    dtype: np.dtype[Any]
    """Of stored values, in the machine's byte order."""

    @property
    def is_packed(self) -> bool:
        """A pixel is one bit, eight in a byte."""
        return self.bits is None and self.dtype.kind == "u"

    @property
    def is_subsampled(self) -> bool:
        """Two pixels of a row share their colour (YBR_FULL_422). Of what is not encapsulated."""
        return self.photometric == "YBR_FULL_422"

    @property
    def row_bytes(self) -> int:
        """Of a row with all its samples, where it is neither packed nor encapsulated."""
        return self.columns * (2 if self.is_subsampled else self.samples) * self.dtype.itemsize

    @property
    def native_bytes(self) -> int:
        """Of all frames, where they are not encapsulated."""
        if self.is_packed:
            return -(-self.num_frames * self.rows * self.columns // 8)
        return self.num_frames * self.rows * self.row_bytes


def read_dicom_image(dataset: DicomDataset, source: PinnedObject) -> DicomImage:
    """The image of a dataset, within limits, all its pixels there as far as the header can tell.

    Raises:
        SceneUnreadable: it contradicts itself.
        UnsupportedScene: it is of a kind that is not read, or beyond the limits.
    """
    elements, pixels, uri = dataset.elements, dataset.pixels, source.uri
    rows, columns = (_within(elements, name, 1, _MOST_SIDE, uri) for name in ("Rows", "Columns"))
    frames = elements.integer("NumberOfFrames", 1) or 1
    if frames < 1:
        raise damaged(uri, f"its header says {frames:,} frames")
    # A slide is one scene, however many tiles it has.
    most = MOST_TILES if dataset.sop_class == WHOLE_SLIDE else MOST_FRAMES
    if frames > most:
        raise UnsupportedScene(f"{uri}: it promises {frames:,} frames, more than {most:,}", hint="divide it", uri=uri)
    photometric = _photometric(elements, uri)
    samples = elements.integer("SamplesPerPixel", _SAMPLES[photometric])
    if samples != _SAMPLES[photometric]:
        raise damaged(uri, f"its header says {samples:,} samples a pixel, which is not of its kind of colour")
    bits, dtype = _type(elements, pixels.keyword, uri)
    image = DicomImage(
        rows=rows,
        columns=columns,
        num_frames=frames,
        samples=samples,
        photometric=photometric,
        planar=samples > 1 and photometric != "YBR_FULL_422" and elements.integer("PlanarConfiguration", 0) == 1,
        bits=bits,
        dtype=dtype,
    )
    _check_kind(image, uri)
    _check_size(image, dataset, source)
    if dataset.syntax.codec == "native":
        _check_native(image, pixels.length, uri)
    else:
        _check_encapsulated(image, dataset, source)
    return image


def _within(elements: Elements, keyword: str, least: int, most: int, uri: str) -> int:
    found = elements.integer(keyword)
    if not least <= found <= most:
        raise damaged(uri, f"{keyword} in its header is {found:,}")
    return found


def _photometric(elements: Elements, uri: str) -> Photometric:
    found = elements.text("PhotometricInterpretation")
    for known in _SAMPLES:
        if found == known:
            return known  # type: ignore[return-value]  # the keys are those of the Literal
    raise UnsupportedScene(
        f"{uri}: pixels of a Photometric Interpretation that is not read",
        hint=f"convert it to one of {', '.join(_SAMPLES)}",
        uri=uri,
    )


def _type(elements: Elements, keyword: str, uri: str) -> tuple[BitField | None, np.dtype[Any]]:
    allocated = elements.integer("BitsAllocated")
    if keyword in _FLOATS:
        name, size = _FLOATS[keyword]
        if allocated != size:
            raise damaged(uri, f"its header says floats of {allocated:,} bits, which have {size}")
        return None, np.dtype(name)
    stored = _within(elements, "BitsStored", 1, max(allocated, 1), uri)
    if allocated == 1:
        return None, np.dtype("u1")
    if allocated not in (8, 16, 32):
        raise UnsupportedScene(
            f"{uri}: pixels of {allocated:,} bits", hint="convert it to 16 bits, or to floats", uri=uri
        )
    high = elements.integer("HighBit", stored - 1)
    if not stored - 1 <= high < allocated:
        raise damaged(uri, f"its header says {stored} bits up to bit {high:,} in cells of {allocated}")
    signed = elements.integer("PixelRepresentation", 0) == 1
    bits = BitField(allocated=allocated, stored=stored, high=high, signed=signed)
    return bits, bits.dtype


def _check_kind(image: DicomImage, uri: str) -> None:
    grey = image.photometric in ("MONOCHROME1", "MONOCHROME2")
    if image.samples == 3 and image.dtype.name not in ("uint8", "uint16"):
        wrong = f"colours in {image.dtype.name}"
    elif image.photometric.startswith("YBR_FULL") and image.dtype.name != "uint8" and image.samples == 3:
        wrong = f"{image.photometric} in {image.dtype.name}"
    elif image.photometric == "PALETTE COLOR" and image.dtype.itemsize > 2:
        wrong = f"a palette for {image.dtype.name}"
    elif image.bits is None and not (grey if image.is_packed else image.photometric == "MONOCHROME2"):
        wrong = f"{image.photometric} in {'single bits' if image.is_packed else image.dtype.name}"
    else:
        return
    raise UnsupportedScene(f"{uri}: {wrong}", hint="convert it to RGB of 8 bits, or to MONOCHROME2", uri=uri)


def _check_size(image: DicomImage, dataset: DicomDataset, source: PinnedObject) -> None:
    syntax = dataset.syntax
    lies_in_rows = not image.is_packed and not (syntax.big_endian and image.dtype.itemsize == 1)
    whole = syntax.codec != "native" or syntax.deflated or not lies_in_rows
    most = source.limits.max_whole_pixels if whole else source.limits.max_pixels
    if image.rows * image.columns > most:
        raise UnsupportedScene(
            f"{source.uri}: its header promises frames of {image.columns:,} x {image.rows:,} px, more than {most:,}"
            + (" that are decoded whole" if whole else ""),
            hint="raise limits.max_whole_megapixels, or store it uncompressed" if whole else "divide it",
            uri=source.uri,
        )
    if syntax.deflated and image.native_bytes > source.limits.max_whole_bytes:
        raise UnsupportedScene(
            f"{source.uri}: its pixels have {image.native_bytes:,} bytes when it is inflated, more than "
            f"{source.limits.max_whole_bytes:,}",
            hint="store it uncompressed, e.g. dcmconv, or gdcmconv --raw",
            uri=source.uri,
        )


def _check_native(image: DicomImage, length: int | None, uri: str) -> None:
    if length is None:
        raise damaged(uri, "its pixels are in fragments, which its Transfer Syntax UID denies")
    if image.photometric in ("YBR_ICT", "YBR_RCT"):
        raise damaged(uri, f"its header says {image.photometric}, which only JPEG 2000 has")
    if image.is_subsampled and image.columns % 2:
        raise damaged(uri, f"its header says {image.columns:,} columns of pixels that share their colour by two")
    needed = image.native_bytes
    # A value has an even number of bytes; more, and rows, columns or frames are not what the header says.
    if length not in (needed, needed + needed % 2):
        raise damaged(
            uri,
            f"its header says {image.num_frames:,} x {image.columns:,} x {image.rows:,} px, {needed:,} bytes, "
            f"and its pixels have {length:,}",
        )


def _check_encapsulated(image: DicomImage, dataset: DicomDataset, source: PinnedObject) -> None:
    uri, pixels, codec = source.uri, dataset.pixels, dataset.syntax.codec
    if pixels.keyword != "PixelData":
        raise damaged(uri, "its pixels are floats, which its Transfer Syntax UID denies")
    if codec != "rle" and (image.dtype.itemsize > 2 or image.is_packed):
        raise UnsupportedScene(
            f"{uri}: pixels of {'one bit' if image.is_packed else '32 bits'} in {dataset.syntax.name}",
            hint="store it uncompressed, e.g. dcmconv, or gdcmconv --raw",
            uri=uri,
        )
    if image.photometric in ("YBR_ICT", "YBR_RCT") and codec != "jpeg2000":
        raise damaged(uri, f"its header says {image.photometric}, which only JPEG 2000 has")
    stop = source.size if pixels.length is None else pixels.start + pixels.length
    if image.num_frames * ITEM_BYTES > stop - pixels.start:
        raise damaged(
            uri,
            f"its header says {image.num_frames:,} frame{'s' * (image.num_frames > 1)}, for which it is too small",
        )
