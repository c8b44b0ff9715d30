"""Directories of a TIFF file as bytes, classic or BigTIFF, little-endian; no pixels.

Source: TIFF 6.0 section 2; BigTIFF design (Adobe/AWare Systems); the ghost area: GDAL's COG driver
documentation, "Header ghost area". It must follow the file header at once, where tifffile writes its
first directory: so the directories are laid out here, a page of arithmetic.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEADER = 4
"""Bytes before a tile that hold its size, and after it that repeat its last four."""

_GHOST_ITEMS = (
    b"LAYOUT=IFDS_BEFORE_DATA\n"
    b"BLOCK_ORDER=ROW_MAJOR\n"
    b"BLOCK_LEADER=SIZE_AS_UINT4\n"
    b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\n"
    # The last character is a blank: GDAL overwrites NO by YES when it edits the file in place.
    b"KNOWN_INCOMPATIBLE_EDITION=NO\n "
)
GHOST = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(_GHOST_ITEMS) + _GHOST_ITEMS


class Tag(NamedTuple):
    """One entry of a directory, its values already as bytes."""

    code: int
    type: int
    num_values: int
    data: bytes


def long_tag(code: int, values: Sequence[int] | NDArray[np.int64]) -> Tag:
    """Unsigned 32 bits."""
    return Tag(code, 4, len(values), np.asarray(values, "<u4").tobytes())


def long8_tag(code: int, values: Sequence[int] | NDArray[np.int64]) -> Tag:
    """Unsigned 64 bits, BigTIFF only."""
    return Tag(code, 16, len(values), np.asarray(values, "<u8").tobytes())


@dataclass(frozen=True, slots=True)
class _Form:
    """What differs between the two kinds of file."""

    header: int
    tally: struct.Struct
    entry: struct.Struct
    link: struct.Struct
    inline: int

    def start(self, ghost_end: int) -> bytes:
        if self.inline == 8:
            return struct.pack("<2sHHHQ", b"II", 43, 8, 0, ghost_end)
        return struct.pack("<2sHI", b"II", 42, ghost_end)


_CLASSIC = _Form(8, struct.Struct("<H"), struct.Struct("<HHI"), struct.Struct("<I"), 4)
_BIG = _Form(16, struct.Struct("<Q"), struct.Struct("<HHQ"), struct.Struct("<Q"), 8)


def header_bytes(directories: Sequence[Sequence[Tag]], *, big: bool) -> bytes:
    """File header, ghost area and all directories with their values; tiles may follow at once."""
    form = _BIG if big else _CLASSIC
    position = _even(form.header + len(GHOST))
    pieces = [form.start(position), GHOST, b"\0" * (position - form.header - len(GHOST))]
    for number, tags in enumerate(directories):
        directory = _directory(sorted(tags), position, form, last=number == len(directories) - 1)
        pieces.append(directory)
        position += len(directory)
    return b"".join(pieces)


def pyramid_bytes(full: Sequence[Tag], reduced: Sequence[Sequence[Tag]], *, big: bool) -> bytes:
    """File header and directories of one image with its levels below it (SubIFDs); tiles may follow at once."""
    form = _BIG if big else _CLASSIC
    kind, width = (18, "<u8") if big else (13, "<u4")
    start = _even(form.header)

    def laid_out(places: Sequence[int]) -> list[bytes]:
        below = [Tag(330, kind, len(places), np.asarray(places, width).tobytes())] if places else []
        directories, position = [], start
        for tags in ([*full, *below], *reduced):
            directories.append(_directory(sorted(tags), position, form, last=True))
            position += len(directories[-1])
        return directories

    # Where directories begin does not depend on what stands in them.
    sizes = [len(directory) for directory in laid_out([0] * len(reduced))]
    directories = laid_out([start + sum(sizes[:number]) for number in range(1, len(sizes))])
    return b"".join([form.start(start), *directories])


def _directory(tags: Sequence[Tag], position: int, form: _Form, *, last: bool) -> bytes:
    """One directory and, behind it, the values that don't fit in an entry."""
    size = form.tally.size + len(tags) * (form.entry.size + form.inline) + form.link.size
    values_at = _even(position + size)
    entries, values = [], [b"\0" * (values_at - position - size)]
    for tag in tags:
        entries.append(form.entry.pack(tag.code, tag.type, tag.num_values))
        if len(tag.data) <= form.inline:
            entries.append(tag.data.ljust(form.inline, b"\0"))
            continue
        entries.append(form.link.pack(values_at))
        padded = tag.data.ljust(_even(len(tag.data)), b"\0")
        values.append(padded)
        values_at += len(padded)
    link = form.link.pack(0 if last else values_at)
    return b"".join([form.tally.pack(len(tags)), *entries, link, *values])


def _even(position: int) -> int:
    """TIFF values begin on a word boundary."""
    return position + position % 2
