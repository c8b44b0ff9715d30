"""What a codestream says of itself, read before it is given to a decoder, which would believe it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

_JPEG_FRAMES = {0xC0, 0xC1, 0xC3, 0xF7}
"""Markers of frames that DICOM admits: baseline, extended, lossless (ITU T.81, table B.1), JPEG-LS (ITU T.87, C.1.1).
Not progressive ones, of which a few bytes can ask for a thousand passes."""
_OTHER_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} - _JPEG_FRAMES
_ALONE = {0x01, *range(0xD0, 0xD9)}
"""Markers without a length."""
_SCAN, _END = b"\xff\xda", b"\xff\xd9"
_RGB_IDS = (b"RGB", b"rgb")
_SOC_SIZ = b"\xff\x4f\xff\x51"
_JP2 = b"\0\0\0\x0cjP  "
_TILE_PIXELS = 1 << 10
"""Of a tile of JPEG 2000, in the mean, at least: for each the decoder keeps kilobytes."""


class BadCodestream(ValueError):
    """It is none, or one that is not admitted; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codestream:
    """Its claims."""

    height: int
    width: int
    components: int
    precision: int
    """Bits of a sample."""
    signed: bool
    """Of JPEG 2000; the others do not say."""
    lossless: bool
    """Of JPEG: it has no colour transform of its own."""
    colour: Literal["rgb", "ybr"] | None
    """What a JPEG says that its three components are."""


def read_jpeg(data: bytes) -> Codestream:
    """Of a JPEG or JPEG-LS.

    Raises:
        BadCodestream: see there.
    """
    if not data.startswith(b"\xff\xd8"):
        raise BadCodestream("it does not begin as one")
    colour: Literal["rgb", "ybr"] | None = None
    position = 2
    while True:
        marker, body, stop = _segment(data, position)
        if marker in _JPEG_FRAMES:
            break
        if marker in _OTHER_FRAMES or marker == _SCAN[1]:
            raise BadCodestream("it is of another kind than DICOM admits")
        if marker == 0xE0 and body.startswith(b"JFIF\0"):
            colour = "ybr"
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            colour = "ybr" if body[11] == 1 else "rgb"
        position = stop
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise BadCodestream("its frame header is cut short")
    precision, height, width, components = struct.unpack(">BHHB", body[:6])
    if body[6 : 6 + 3 * components : 3] in _RGB_IDS:
        colour = "rgb"
    # In coded data 0xFF is never followed by these: of more scans than components each costs a pass over the image.
    scans = data.count(_SCAN, stop)
    if scans > components:
        raise BadCodestream(f"it has {scans:,} scans")
    # Decoders of JPEG fill up what is missing with grey, and say nothing.
    if data.find(_END, stop) < 0:
        raise BadCodestream("it ends before the image does")
    return Codestream(
        height=height,
        width=width,
        components=components,
        precision=precision,
        signed=False,
        lossless=marker in (0xC3, 0xF7),
        colour=colour,
    )


def bare_jpeg2000(data: bytes) -> bytes:
    """The codestream without the boxes of a JP2 file, which DICOM does not admit and some writers leave.

    Raises:
        BadCodestream: there is none within.
    """
    position = 0
    while data.startswith(_JP2) and position + 8 <= len(data):
        size = int.from_bytes(data[position : position + 4])
        if data[position + 4 : position + 8] == b"jp2c":
            return data[position + 8 :]
        if size < 8:
            break
        position += size
    if not data.startswith(_SOC_SIZ):
        raise BadCodestream("it does not begin as one")
    return data


def read_jpeg2000(data: bytes) -> Codestream:
    """Of a bare JPEG 2000 or HTJ2K: ISO/IEC 15444-1, A.5.1.

    Raises:
        BadCodestream: see there.
    """
    if not data.startswith(_SOC_SIZ) or len(data) < 42:
        raise BadCodestream("it does not begin as one")
    x1, y1, x0, y0, tile_w, tile_h, tile_x, tile_y, components = struct.unpack(">8IH", data[8:42])
    parts = data[42 : 42 + 3 * components]
    if not 0 < components == len(parts) // 3 or len(set(zip(*[iter(parts)] * 3, strict=True))) > 1:
        raise BadCodestream("its components differ, or are missing")
    if parts[1:3] != b"\x01\x01" or x1 <= x0 or y1 <= y0 or not tile_w or not tile_h or tile_x > x0 or tile_y > y0:
        raise BadCodestream("its components are smaller than the image, or its tiles are none")
    tiles = -((tile_x - x1) // tile_w) * -((tile_y - y1) // tile_h)
    if tiles > 1 + (x1 - x0) * (y1 - y0) // _TILE_PIXELS:
        raise BadCodestream(f"it has {tiles:,} tiles")
    return Codestream(
        height=y1 - y0,
        width=x1 - x0,
        components=components,
        precision=(parts[0] & 0x7F) + 1,
        signed=bool(parts[0] & 0x80),
        lossless=False,
        colour=None,
    )


def _segment(data: bytes, position: int) -> tuple[int, bytes, int]:
    """A marker, what it holds, and where the next one begins."""
    while data[position : position + 2] == b"\xff\xff":
        position += 1
    if len(data) < position + 4 or data[position] != 0xFF:
        raise BadCodestream(f"there is no marker at its byte {position:,}")
    marker = data[position + 1]
    if marker in _ALONE:
        return marker, b"", position + 2
    stop = position + 2 + int.from_bytes(data[position + 2 : position + 4])
    return marker, data[position + 4 : stop], stop
