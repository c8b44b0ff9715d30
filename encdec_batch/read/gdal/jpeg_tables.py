"""Which JPEG tiles of a TIFF can be decoded whatever was decoded before them."""

from __future__ import annotations

_QUANTIZATION, _HUFFMAN, _SCAN = 0xDB, 0xC4, 0xDA
_SECOND = b"\xff\xda"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {_HUFFMAN, 0xC8, 0xCC}

Tables = dict[tuple[int, int], bytes]
"""By marker, and class and number as in the file."""


def stands_alone(tile: bytes, shared: bytes) -> bool:
    """Whether a tile uses no table but its own and the file's, and leaves the file's as they are.

    libtiff decodes all tiles of a file by one decompressor, which keeps tables: where a tile lacks one, that of the
    tile decoded last is taken, and what the pixels are depends on the order of reading.

    Args:
        tile: the encoded tile.
        shared: the file's JPEGTables, may be empty.
    """
    theirs, _, _ = _read(shared)
    own, used, scan = _read(tile)
    # Garbage before the scan is skipped by decoders, in ways of their own; a second scan may bring other tables.
    if not scan or tile.find(_SECOND, scan) >= 0:
        return False
    return used <= own.keys() | theirs.keys() and all(theirs.get(key, data) == data for key, data in own.items())


def _read(data: bytes) -> tuple[Tables, set[tuple[int, int]], int]:
    """Tables that are defined up to the first scan, those that frame and scan ask for, and where the scan's data begin.

    The last is 0 where the segments are not whole up to there.
    """
    tables: Tables = {}
    used: set[tuple[int, int]] = set()
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker == 0xFF:  # any number of these may stand before a marker
            at += 1
            continue
        body = data[at + 4 : at + 2 + length]
        if marker in (_QUANTIZATION, _HUFFMAN):
            tables |= _tables(marker, body)
        elif marker in _FRAMES:
            used |= {(_QUANTIZATION, component) for component in body[8::3]}
        elif marker == _SCAN:
            for selector in body[2 : 1 + 2 * body[0] if body else 0 : 2]:
                used |= {(_HUFFMAN, selector >> 4), (_HUFFMAN, 0x10 | selector & 15)}
            return tables, used, at + 2 + max(2, length)
        at += 2 + max(2, length)
    return tables, used, 0


def _tables(marker: int, body: bytes) -> Tables:
    found: Tables = {}
    while body:
        if marker == _QUANTIZATION:
            size, number = 1 + (128 if body[0] >> 4 else 64), body[0] & 15
        else:
            size, number = 17 + sum(body[1:17]), body[0]
        found[marker, number] = body[:size]
        body = body[size:]
    return found
