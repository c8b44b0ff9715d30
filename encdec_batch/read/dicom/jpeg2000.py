"""What a JPEG 2000 or HTJ2K says of itself (ISO/IEC 15444-1, annex A), and whether that may be given to a decoder.

Tiles, precincts and code-blocks are what it keeps in memory beside the pixels, and a header of a few hundred bytes asks
for any number of them: 8192 x 8192 px in precincts of 8 px took OpenJPEG 2.3 GB, in precincts of 16 px half a minute.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from encdec_batch.read.dicom.codestream import BadCodestream, Codestream, segment

_JP2 = b"\0\0\0\x0cjP  "
_SOC_SIZ = b"\xff\x4f\xff\x51"
_COD, _COC, _SOT = 0x52, 0x53, 0x90
_SOD, _EOC = b"\xff\x93", b"\xff\xd9"
_FREE = 64
"""Of each kind, however small the image."""
_TILE_PIXELS, _PRECINCT_PIXELS, _BLOCK_PIXELS = 1 << 14, 1 << 12, 1 << 8
"""Of each kind, in the mean, at least. Encoders make tiles of 256 px a side or more, precincts of 128, blocks of 32."""
_TILE_PARTS = 16
"""Of a tile, in the mean, at most."""


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
    """The claims of a bare codestream.

    Raises:
        BadCodestream: it is none, or one that would cost too much.
    """
    if not data.startswith(_SOC_SIZ) or len(data) < 42:
        raise BadCodestream("it does not begin as one")
    x1, y1, x0, y0, tile_w, tile_h, tile_x, tile_y, components = struct.unpack(">8IH", data[8:42])
    parts = data[42 : 42 + 3 * components]
    if not 0 < components == len(parts) // 3 or len(set(zip(*[iter(parts)] * 3, strict=True))) > 1:
        raise BadCodestream("its components differ, or are missing")
    if parts[1:3] != b"\x01\x01" or x1 <= x0 or y1 <= y0 or not tile_w or not tile_h or tile_x > x0 or tile_y > y0:
        raise BadCodestream("its components are smaller than the image, or its tiles are none")
    height, width = y1 - y0, x1 - x0
    tiles = -((tile_x - x1) // tile_w) * -((tile_y - y1) // tile_h)
    _check(tiles, "tiles", _TILE_PIXELS, height * width)
    for style in _coding_styles(data, most_parts=_FREE + _TILE_PARTS * tiles, components=components):
        _check_style(style, height, width)
    return Codestream(
        height=height,
        width=width,
        components=components,
        precision=(parts[0] & 0x7F) + 1,
        signed=bool(parts[0] & 0x80),
        lossless=False,
        colour=None,
    )


def _check(number: int, what: str, least_pixels: int, pixels: int) -> None:
    if number > _FREE + pixels // least_pixels:
        raise BadCodestream(f"it has {number:,} {what}")


def _coding_styles(data: bytes, *, most_parts: int, components: int) -> Iterator[bytes]:
    """Of the image, of components and of tiles: levels, sides of blocks, ..., and sides of precincts, where it says."""
    position, end = 2, len(data)
    num_parts = 0
    while position < len(data) and data[position : position + 2] != _EOC:
        if data[position : position + 2] == _SOD:
            if end <= position:
                raise BadCodestream("one of its tiles ends before it begins")
            position = end
            continue
        marker, body, stop = segment(data, position)
        if marker == _SOT:
            num_parts += 1
            if num_parts > most_parts or len(body) < 8:
                raise BadCodestream(f"it has {num_parts:,} parts of tiles")
            length = int.from_bytes(body[2:6])
            end = position + length if length else len(data)
        elif marker == _COD:
            yield body[5:] if body[:1] and body[0] & 1 else body[5:10]
        elif marker == _COC:
            skipped = 1 if components < 257 else 2
            style = body[skipped : skipped + 1]
            yield body[skipped + 1 :] if style and style[0] & 1 else body[skipped + 1 : skipped + 6]
        position = stop


def _check_style(style: bytes, height: int, width: int) -> None:
    """A.6.1: the image is halved so many times, and each size of it is cut into precincts, and those into blocks."""
    if len(style) < 5 or style[0] > 32 or max(style[1], style[2]) > 8:
        raise BadCodestream("its coding style is none")
    levels, block_w, block_h, sides = style[0], style[1] + 2, style[2] + 2, style[5:]
    precincts = blocks = 0
    for level in range(levels + 1):
        rows, columns = (-(-side >> levels - level) for side in (height, width))
        if level < len(sides):
            precinct_w, precinct_h = sides[level] & 15, sides[level] >> 4
        else:
            precinct_w = precinct_h = 15
        precincts += _cuts(rows, precinct_h) * _cuts(columns, precinct_w)
        # Above the first size, a precinct is a quarter in each of three bands.
        halved = int(level > 0)
        side_w, side_h = (max(0, side - halved) for side in (precinct_w, precinct_h))
        blocks += (
            _cuts(rows, min(block_h, side_h) + halved)
            * _cuts(columns, min(block_w, side_w) + halved)
            * (1 + 2 * halved)
        )
    _check(precincts, "precincts", _PRECINCT_PIXELS, height * width)
    _check(blocks, "code-blocks", _BLOCK_PIXELS, height * width)


def _cuts(side: int, exponent: int) -> int:
    return -(-side >> exponent)
