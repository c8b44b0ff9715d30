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
        marker, body, stop = segment(data, position)
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


def segment(data: bytes, position: int) -> tuple[int, bytes, int]:
    """A marker, what it holds, and where the next one begins.

    Raises:
        BadCodestream: there is none.
    """
    while data[position : position + 2] == b"\xff\xff":
        position += 1
    if len(data) < position + 4 or data[position] != 0xFF:
        raise BadCodestream(f"there is no marker at its byte {position:,}")
    marker = data[position + 1]
    if marker in _ALONE:
        return marker, b"", position + 2
    stop = position + 2 + int.from_bytes(data[position + 2 : position + 4])
    return marker, data[position + 4 : stop], stop
