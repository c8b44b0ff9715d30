"""Tables of a DICOM header that give each stored value another: Modality LUT and palettes (PS3.3, C.11.1 and C.7.9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.read.dicom.bits import BitField
from encdec_batch.read.dicom.elements import Elements
from encdec_batch.read.dicom.library import damaged

_MOST_ENTRIES = 1 << 16
_COLOURS = ("Red", "Green", "Blue")
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2
"""Kinds of segments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupTable:
    """Values below the first have the first entry, values beyond the last the last one."""

    first: int
    """The stored value of the first entry."""
    entries_BN: NDArray[np.generic]
    """(bands, entries): what it gives, uint8 or uint16."""
    bits: int
    """Of an entry, as the file says."""

    def apply(self, stored_HW: NDArray[np.generic]) -> NDArray[np.generic]:
        """(bands, height, width)"""
        index: NDArray[Any] = np.clip(
            stored_HW.astype(np.int32) - np.int32(self.first), 0, self.entries_BN.shape[1] - 1
        )
        return self.entries_BN[:, index]


def read_modality_lut(item: Elements, cells: BitField, *, big_endian: bool, uri: str) -> LookupTable:
    """The table of an item of the Modality LUT Sequence.

    Raises:
        SceneUnreadable: it is none.
    """
    size, first, bits = _descriptor(item, "LUTDescriptor", cells, big_endian=big_endian, uri=uri)
    entries = _entries(item.raw("LUTData"), size, bits, big_endian=big_endian, uri=uri)
    return LookupTable(first=first, entries_BN=entries[None], bits=bits)


def read_palette(elements: Elements, cells: BitField, *, big_endian: bool, uri: str) -> LookupTable:
    """Red, green and blue of each stored value; a fourth table, of opacity, is not looked at.

    Raises:
        SceneUnreadable: one of them is missing or wrong.
    """
    descriptors = [
        _descriptor(elements, f"{colour}PaletteColorLookupTableDescriptor", cells, big_endian=big_endian, uri=uri)
        for colour in _COLOURS
    ]
    if len(set(descriptors)) > 1:
        raise damaged(uri, "the tables of its palette differ in size or type")
    size, first, bits = descriptors[0]
    tables = []
    for colour in _COLOURS:
        data = elements.raw(f"{colour}PaletteColorLookupTableData")
        if not data:
            words = _words(elements.raw(f"Segmented{colour}PaletteColorLookupTableData"), bits, big_endian=big_endian)
            tables.append(_expanded(words, size, uri).astype(np.uint8 if bits == 8 else np.uint16))
        else:
            tables.append(_entries(data, size, bits, big_endian=big_endian, uri=uri))
    return LookupTable(first=first, entries_BN=np.stack(tables), bits=bits)


def _descriptor(
    elements: Elements, keyword: str, cells: BitField, *, big_endian: bool, uri: str
) -> tuple[int, int, int]:
    """Number of entries, first stored value, bits of an entry. Read as words: which type it has is ambiguous."""
    words = np.frombuffer(elements.raw(keyword)[:6], ">u2" if big_endian else "<u2").tolist()
    if len(words) != 3:
        raise damaged(uri, f"its header has no {keyword}, or one that is wrong")
    size, first, bits = words
    if not 8 <= bits <= 16:
        raise damaged(uri, f"a table in its header has entries of {bits:,} bits")
    signed = cells.signed and first >= _MOST_ENTRIES // 2
    return size or _MOST_ENTRIES, first - _MOST_ENTRIES if signed else first, bits


def _words(data: bytes, bits: int, *, big_endian: bool) -> NDArray[Any]:
    """Entries of 8 bits lie two in a word, whose order is the file's; longer ones have a word each."""
    words = np.frombuffer(data[: len(data) // 2 * 2], ">u2" if big_endian else "<u2").astype("<u2")
    return words.view(np.uint8) if bits == 8 else words


def _entries(data: bytes, size: int, bits: int, *, big_endian: bool, uri: str) -> NDArray[Any]:
    # Some writers give entries of 8 bits a word each, and some say 16 and write 8: the length tells.
    narrow = len(data) in (size, size + size % 2)
    if not narrow and len(data) < 2 * size:
        raise damaged(uri, f"a table in its header has {len(data):,} bytes for {size:,} entries")
    found = _words(data, 8 if narrow else 16, big_endian=big_endian)[:size]
    if bits == 8 and not narrow and (found < 256).all():
        found = found.astype(np.uint8)
    return found


def _expanded(segments: NDArray[np.generic], size: int, uri: str) -> NDArray[np.int64]:
    """A table of so many entries from the segments that it is written in (PS3.3, C.7.9.2)."""
    words: list[int] = segments[: 4 * _MOST_ENTRIES].tolist()
    offset_words = 4 // segments.itemsize
    out: list[int] = []
    starts: list[int] = []
    position = 0
    try:
        while len(out) < size:
            starts.append(position)
            if words[position] != _INDIRECT:
                position = _append(words, position, out, size)
                continue
            parts = words[position + 2 : position + 2 + offset_words]
            at = sum(part << (8 * segments.itemsize * number) for number, part in enumerate(parts))
            first = starts.index(at // segments.itemsize)
            for start in starts[first : first + words[position + 1]]:
                _append(words, start, out, size)
            position += 2 + offset_words
    except (IndexError, ValueError):
        out = []
    if len(out) != size:
        raise damaged(uri, "a segmented table in its header is damaged")
    return np.array(out, np.int64)


def _append(words: list[int], start: int, out: list[int], size: int) -> int:
    """Adds the entries of one segment; gives where the next begins.

    Raises:
        ValueError, IndexError: it is none, or one too many.
    """
    kind, count = words[start], words[start + 1]
    if kind == _DISCRETE:
        out += words[start + 2 : start + 2 + count]
        stop = start + 2 + count
    elif kind == _LINEAR and out and 0 < count <= size:
        last, rise = out[-1], words[start + 2] - out[-1]
        # Rounded half up, without the error of a float.
        out += [last + (2 * rise * number + count) // (2 * count) for number in range(1, count + 1)]
        stop = start + 3
    else:
        raise ValueError(kind)
    if len(out) > size:
        raise ValueError(size)
    return stop
