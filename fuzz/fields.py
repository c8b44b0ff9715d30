"""Where the numbers of a TIFF lie: what a mutator must know to damage a header and not only its bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MOST_DIRECTORIES = 24
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_SUB_DIRECTORIES = (330, 34665)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """An unsigned integer of a file."""

    at: int
    width: int
    big: bool
    tag: int = 0
    """The TIFF tag whose value this is; 0 for other numbers."""

    def value(self, data: bytes | bytearray) -> int:
        return int.from_bytes(data[self.at : self.at + self.width], "big" if self.big else "little")

    def put(self, data: bytearray, value: int) -> None:
        whole = (value % (1 << 8 * self.width)).to_bytes(self.width, "big" if self.big else "little")
        data[self.at : self.at + self.width] = whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The widths that a TIFF's first bytes say."""

    big: bool
    wide: bool
    """BigTIFF."""

    @property
    def order(self) -> str:
        return ">" if self.big else "<"

    @property
    def entry(self) -> str:
        return self.order + ("HHQ8s" if self.wide else "HHI4s")

    @property
    def pointer(self) -> int:
        return 8 if self.wide else 4

    @property
    def count(self) -> int:
        return 8 if self.wide else 2

    @property
    def first(self) -> int:
        """Where the offset of the first directory lies."""
        return 8 if self.wide else 4


def layout_of(data: bytes) -> Layout | None:
    """None for what is no TIFF."""
    kinds = {b"II*\0": (False, False), b"MM\0*": (True, False), b"II+\0": (False, True), b"MM\0+": (True, True)}
    kind = kinds.get(bytes(data[:4]))
    return Layout(big=kind[0], wide=kind[1]) if kind else None


def directories(data: bytes, layout: Layout) -> Iterator[tuple[int, int]]:
    """Offset and number of entries of each directory that lies in the file."""
    todo, seen = [layout.first], set[int]()
    while todo and len(seen) < MOST_DIRECTORIES:
        pointer = Field(at=todo.pop(0), width=layout.pointer, big=layout.big)
        at = pointer.value(data)
        if at in seen or not 8 <= at <= len(data) - layout.count:
            continue
        seen.add(at)
        entries = min(Field(at=at, width=layout.count, big=layout.big).value(data), 200)
        size = struct.calcsize(layout.entry)
        yield at, entries
        places = range(at + layout.count, at + layout.count + entries * size, size)
        deeper = (place for place in places if Field(at=place, width=2, big=layout.big).value(data) in _SUB_DIRECTORIES)
        todo += [place + size - layout.pointer for place in deeper]
        todo.append(at + layout.count + entries * size)


def tiff_fields(data: bytes) -> list[Field]:
    """Entries, their values (of arrays the first 64), pointers and counts."""
    layout = layout_of(data)
    if layout is None:
        return []
    found = [Field(at=layout.first, width=layout.pointer, big=layout.big)]
    size = struct.calcsize(layout.entry)
    for at, entries in directories(data, layout):
        found.append(Field(at=at, width=layout.count, big=layout.big))
        for entry in range(at + layout.count, at + layout.count + entries * size, size):
            found += _fields_of_entry(data, layout, entry)
        found.append(Field(at=at + layout.count + entries * size, width=layout.pointer, big=layout.big))
    return [field for field in found if field.at + field.width <= len(data)]


def _fields_of_entry(data: bytes, layout: Layout, entry: int) -> Iterator[Field]:
    big, pointer = layout.big, layout.pointer
    tag = Field(at=entry, width=2, big=big)
    kind = Field(at=entry + 2, width=2, big=big)
    count = Field(at=entry + 4, width=pointer, big=big)
    yield from (tag, kind, count)
    width = TYPE_BYTES.get(kind.value(data), 1)
    number, place = count.value(data), entry + 4 + pointer
    code = tag.value(data)
    if width * number > pointer:
        yield Field(at=place, width=pointer, big=big)
        place = Field(at=place, width=pointer, big=big).value(data)
    yield from (Field(at=place + index * width, width=width, big=big, tag=code) for index in range(min(number, 64)))
