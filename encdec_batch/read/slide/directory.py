"""The directories of a TIFF, tag by tag, for slides: tifffile would read the arrays of all levels at once."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import EncdecError, SceneUnreadable, UnsupportedScene
from encdec_batch.read.ranges import PinnedObject

_MOST_TAGS = 4096
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of one value, by type: TIFF 6.0 page 15, and BigTIFF."""
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 6: "i1", 8: "i2", 9: "i4", 13: "u4", 16: "u8", 17: "i8", 18: "u8"}
_TEXTS = (2, 7)

MALFORMED = (ValueError, LookupError, ArithmeticError, TypeError, struct.error)
"""What comes of a header that is no proper one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """One value of a directory; it is read when it is asked for."""

    kind: int
    count: int
    valueoffset: int
    """In the file."""
    order: Literal["<", ">"]
    source: PinnedObject = field(repr=False, compare=False)

    @property
    def valuebytecount(self) -> int:
        return self.count * _SIZES[self.kind]

    @property
    def value(self) -> NDArray[np.generic] | bytes:
        """Integers, or the bytes of a text.

        Raises:
            ValueError: it lies beyond the file, or is neither.
        """
        data = self.head(self.valuebytecount)
        if len(data) < self.valuebytecount:
            raise ValueError("a value lies beyond the end of the file")
        if self.kind in _TEXTS:
            return data
        if self.kind not in _INTEGERS:
            raise ValueError(f"a value is of type {self.kind}")
        return np.frombuffer(data, dtype=self.order + _INTEGERS[self.kind])

    def head(self, num_bytes: int) -> bytes:
        """The first bytes of the value; fewer, where it has no more."""
        return self.source.bytes_at(self.valueoffset, self.valueoffset + min(num_bytes, self.valuebytecount))

    def tail(self, num_bytes: int) -> bytes:
        """The last ones."""
        stop = self.valueoffset + self.valuebytecount
        return self.source.bytes_at(max(self.valueoffset, stop - num_bytes), stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """What a TIFF says of one of its images."""

    offset: int
    order: Literal["<", ">"]
    tags: Mapping[int, Tag]
    following: int
    """Where the next one begins; 0: there is none."""

    def number(self, code: int, default: int | None = None) -> int:
        """The first integer of a tag.

        Raises:
            ValueError: it is not there, and there is no default.
        """
        tag = self.tags.get(code)
        if tag is None:
            if default is None:
                raise ValueError(f"tag {code} is missing")
            return default
        return int(np.atleast_1d(tag.value)[0])

    def text(self, code: int, most_bytes: int, *, what: str) -> bytes:
        """The bytes of a text, empty where it is not there.

        Raises:
            UnsupportedScene: it has more than `most_bytes`; `what` names it.
        """
        tag = self.tags.get(code)
        if tag is None or tag.kind not in _TEXTS:
            return b""
        if tag.valuebytecount > most_bytes:
            raise UnsupportedScene(
                f"{tag.source.uri}: {what} has {tag.valuebytecount:,} bytes, more than {most_bytes:,}",
                hint="leave out of it what is not needed",
                uri=tag.source.uri,
            )
        return tag.head(tag.valuebytecount).rstrip(b"\0 \r\n\t")


def first_directory(source: PinnedObject) -> Directory:
    """The directory that the header names.

    Raises:
        ValueError, struct.error: there is none.
    """
    head = source.bytes_at(0, 16)
    order = _order(head)
    is_big = struct.unpack_from(f"{order}H", head, 2)[0] == 43
    return _read(source, struct.unpack_from(f"{order}Q" if is_big else f"{order}I", head, 8 if is_big else 4)[0], order)


def directory_at(source: PinnedObject, offset: int) -> Directory:
    """The directory that begins there.

    Raises:
        ValueError, struct.error: none does.
    """
    return _read(source, offset, _order(source.bytes_at(0, 2)))


def directories(source: PinnedObject) -> Iterator[Directory]:
    """All of the main chain; it ends at a loop.

    Raises:
        ValueError, struct.error: the next one is none.
        UnsupportedScene: there are more than the limits admit.
    """
    directory, seen = first_directory(source), set[int]()
    while True:
        if len(seen) >= source.limits.max_ifds:
            raise UnsupportedScene(
                f"{source.uri}: more than {source.limits.max_ifds} images in one file",
                hint="split it into one file per scene",
                uri=source.uri,
            )
        seen.add(directory.offset)
        yield directory
        if not directory.following or directory.following in seen:
            return
        directory = directory_at(source, directory.following)


@contextmanager
def as_damaged(source: PinnedObject, what: str) -> Iterator[None]:
    """What goes wrong within says that the file's `what` cannot be read; no words of the file are in it.

    Raises:
        SceneUnreadable: it went wrong.
    """
    try:
        yield
    except EncdecError:
        raise
    except MALFORMED as error:
        raise SceneUnreadable(
            f"{source.uri}: its {what} cannot be read",
            hint="the file is damaged or truncated; fetch it anew",
            uri=source.uri,
        ) from error


def _order(head: bytes) -> Literal["<", ">"]:
    return "<" if head.startswith(b"II") else ">"


def _read(source: PinnedObject, offset: int, order: Literal["<", ">"]) -> Directory:
    is_big = struct.unpack(f"{order}H", source.bytes_at(2, 4))[0] == 43
    head, entry, word = ("Q", "HHQQ", "Q") if is_big else ("H", "HHII", "I")
    head_bytes, entry_bytes, word_bytes = (struct.calcsize(order + one) for one in (head, entry, word))
    (count,) = struct.unpack(order + head, source.bytes_at(offset, offset + head_bytes))
    if not 0 < count <= _MOST_TAGS:
        raise ValueError(f"a directory of {count} tags")
    start = offset + head_bytes
    data = source.bytes_at(start, start + count * entry_bytes + word_bytes)
    tags: dict[int, Tag] = {}
    for number in range(count):
        code, kind, values, place = struct.unpack_from(order + entry, data, number * entry_bytes)
        if kind not in _SIZES:
            continue
        if values * _SIZES[kind] <= word_bytes:
            place = start + (number + 1) * entry_bytes - word_bytes
        tags.setdefault(code, Tag(kind=kind, count=values, valueoffset=place, order=order, source=source))
    (following,) = struct.unpack_from(order + word, data, count * entry_bytes)
    return Directory(offset=offset, order=order, tags=tags, following=following)
