"""One damage at a time, drawn from a seeded source: of bytes, of a header's numbers, of a format's pieces."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

from fuzz.fields import Field, directories, layout_of, tiff_fields
from fuzz.jpeg import mutate_jpeg
from fuzz.png import mutate_png

Mutation = Callable[[bytearray, random.Random], bytes | bytearray]

MOST_BYTES = 2 << 20
"""A file that has grown beyond is cut: time goes into many files, not into large ones."""

NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 16, 17, 32, 33, 63, 64, 65, 127, 128, 255, 256, 257, 1000, 4095, 0x7FFF)
NUMBERS += (0x8000, 0xFFFF, 0x10000, 0x10001, 0xFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
NUMBERS += (1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)

_COMPRESSIONS = (1, 2, 3, 4, 5, 6, 7, 8, 32766, 32771, 32773, 32809, 32946, 34661, 34676, 34712, 34887, 34892, 34925)
_COMPRESSIONS += (50000, 50001, 50002, 52546)
_MEANINGFUL: dict[int, Sequence[int]] = {
    254: (0, 1, 2, 3, 4, 5, 6, 7),
    258: (0, 1, 2, 3, 4, 6, 8, 10, 12, 14, 15, 16, 24, 32, 33, 48, 64, 128, 65535),
    259: _COMPRESSIONS,
    262: (0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 32803, 32844, 32845, 34892),
    266: (0, 1, 2),
    274: tuple(range(10)),
    277: (0, 1, 2, 3, 4, 5, 63, 64, 65, 2048, 65535),
    284: (0, 1, 2, 3),
    317: (0, 1, 2, 3, 34892, 34895),
    338: (0, 1, 2, 3),
    339: (0, 1, 2, 3, 4, 5, 6, 7),
    530: (0, 1, 2, 3, 4, 8, 16),
}
_TAGS = (
    *range(254, 348),
    512,
    513,
    514,
    529,
    530,
    531,
    532,
    700,
    33432,
    33550,
    33922,
    34264,
    34377,
    34665,
    34675,
    34735,
)
_TAGS += (34736, 34737, 42112, 42113, 50674, 50844, 50909, 65000, 65001)


def mutated(seed: bytes, others: Sequence[bytes], source: random.Random) -> bytes:
    """One to six damages of a file, one after the other."""
    data = bytearray(seed)
    for _ in range(source.choice((1, 1, 1, 2, 2, 3, 4, 6))):
        kind = _KINDS.get(bytes(data[:4])[:2], ())
        choices = [*_BYTES, *kind * 3]
        change = source.choice(choices)
        data = bytearray(_splice(data, others, source) if change is None else change(data, source))[:MOST_BYTES]
        if not data:
            data = bytearray(seed[:1])
    return bytes(data)


def _flip(data: bytearray, source: random.Random) -> bytearray:
    for _ in range(source.choice((1, 1, 2, 8))):
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)
    return data


def _set(data: bytearray, source: random.Random) -> bytearray:
    for _ in range(source.choice((1, 2, 4))):
        data[source.randrange(len(data))] = source.choice((0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)))
    return data


def _number(data: bytearray, source: random.Random) -> bytearray:
    width = source.choice((1, 2, 4, 8))
    at = source.randrange(max(1, min(len(data), 2048) - width))
    Field(at=at, width=width, big=source.random() < 0.5).put(data, source.choice(NUMBERS))
    return data


def _truncate(data: bytearray, source: random.Random) -> bytearray:
    near = source.random() < 0.5
    return data[: max(1, len(data) - source.randrange(1, 64) if near else source.randrange(len(data)) + 1)]


def _range(data: bytearray, source: random.Random) -> tuple[int, int]:
    start = source.randrange(len(data))
    return start, min(len(data), start + source.choice((1, 2, 4, 12, 64, 512, 4096)))


def _drop(data: bytearray, source: random.Random) -> bytearray:
    start, stop = _range(data, source)
    return data[:start] + data[stop:]


def _repeat(data: bytearray, source: random.Random) -> bytearray:
    start, stop = _range(data, source)
    return data[:stop] + data[start:stop] * source.choice((1, 2, 50)) + data[stop:]


def _fill(data: bytearray, source: random.Random) -> bytearray:
    start, stop = _range(data, source)
    data[start:stop] = bytes([source.choice((0, 0xFF, 0x41))]) * (stop - start)
    return data


def _splice(data: bytearray, others: Sequence[bytes], source: random.Random) -> bytearray:
    other = source.choice(others)
    cut, start = source.randrange(len(data)), source.randrange(len(other))
    return data[:cut] + other[start:] if source.random() < 0.5 else data[:cut] + other[start : start + 512] + data[cut:]


def _field(data: bytearray, source: random.Random) -> bytearray:
    fields = tiff_fields(data)
    if not fields:
        return _set(data, source)
    for _ in range(source.choice((1, 1, 2))):
        # Values decide more often than the numbers about them.
        field = source.choice([field for field in fields if field.tag] or fields if source.random() < 0.6 else fields)
        old = field.value(data)
        plain = (*NUMBERS, old + 1, old - 1, old * 2, old // 2, len(data), len(data) - old, source.getrandbits(32))
        meant = _MEANINGFUL.get(field.tag, ())
        field.put(data, source.choice(meant if meant and source.random() < 0.7 else plain))
    return data


def _retag(data: bytearray, source: random.Random) -> bytearray:
    """A directory written anew at the end, with entries left out, doubled, exchanged or added."""
    layout = layout_of(data)
    found = list(directories(data, layout)) if layout else []
    if layout is None or not found:
        return _set(data, source)
    at, count = source.choice(found)
    size = struct.calcsize(layout.entry)
    first = at + layout.count
    pieces = (bytes(data[first + size * index : first + size * (index + 1)]) for index in range(count))
    entries = [piece for piece in pieces if len(piece) == size]
    behind = bytes(data[first + size * count :][: layout.pointer])
    for _ in range(source.choice((1, 1, 2, 4))):
        change = source.randrange(4)
        if change == 0 and entries:
            del entries[source.randrange(len(entries))]
        elif change == 1 and entries:
            entries.append(source.choice(entries))
        elif change == 2 and len(entries) > 1:
            one, two = source.sample(range(len(entries)), 2)
            entries[one], entries[two] = entries[one][:2] + entries[two][2:], entries[two][:2] + entries[one][2:]
        else:
            kind, number = (
                source.choice((1, 2, 3, 4, 5, 7, 12, 13, 16)),
                source.choice((0, 1, 2, 4, 100, 65535, 1 << 24)),
            )
            value = source.choice((*NUMBERS, len(data) // 2)) % (1 << 8 * layout.pointer)
            packed = value.to_bytes(layout.pointer, "big" if layout.big else "little")
            entries.append(struct.pack(layout.entry, source.choice(_TAGS), kind, number, packed))
    if source.random() < 0.8:
        entries.sort(key=lambda entry: struct.unpack(layout.order + "H", entry[:2]))
    order = "big" if layout.big else "little"
    whole = len(entries).to_bytes(layout.count, order) + b"".join(entries) + behind
    new = len(data) + len(data) % 2
    pointers = [field for field in tiff_fields(data) if field.width == layout.pointer and field.value(data) == at]
    for pointer in pointers[:1]:
        pointer.put(data, new)
    return data + bytes(new - len(data)) + whole


_BYTES: tuple[Mutation | None, ...] = (_flip, _set, _number, _truncate, _drop, _repeat, _fill, None)
_TIFF = (_field, _field, _retag)
_KINDS: dict[bytes, tuple[Mutation, ...]] = {
    b"II": _TIFF,
    b"MM": _TIFF,
    b"\x89P": (mutate_png, mutate_png, mutate_png),
    b"\xff\xd8": (mutate_jpeg, mutate_jpeg, mutate_jpeg),
}
"""By the first two bytes."""
