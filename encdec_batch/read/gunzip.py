"""A gzip unpacked as it comes, never more of it than was promised."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import SceneUnreadable

MAGIC = b"\x1f\x8b"
MOST_TIMES = 1032
"""Deflate packs no tighter: zlib's technical notes, "Maximum Compression Factor"."""
_PIECE = 1 << 20
_SLICE = 1 << 14
_MOST_MEMBERS = 20_000
"""bgzip makes one of each 64 KiB: 1.2 GiB. An empty one costs 20 bytes."""
_GZIP = 31
"""zlib's wbits for the largest window and a gzip's header and check sum."""


def unpacked(pieces: Iterable[bytes], *, uri: str) -> Iterator[bytes]:
    """What is in a gzip of one or several members, in pieces of at most 1 MiB.

    Args:
        pieces: the file, from its beginning.
        uri: for messages.

    Raises:
        SceneUnreadable: it is damaged, or ends within a member.
    """
    member, num_members, begun = zlib.decompressobj(_GZIP), 0, False
    for left in _slices(pieces):
        while left:
            if not begun:
                # gzip(1) passes over zeros behind a member: tapes are filled up with them.
                left = left.lstrip(b"\0")  # noqa: PLW2901
                begun = bool(left)
                continue
            try:
                data = member.decompress(left, _PIECE)
                left = member.unconsumed_tail  # noqa: PLW2901
                yield data
                while len(data) == _PIECE and not left and not member.eof:
                    data = member.decompress(b"", _PIECE)
                    yield data
            except zlib.error as error:
                raise _damaged(uri, f"its gzip cannot be unpacked ({error})") from error
            if member.eof:
                left = member.unused_data  # noqa: PLW2901
                member, num_members, begun = zlib.decompressobj(_GZIP), num_members + 1, False
                if num_members > _MOST_MEMBERS:
                    raise _damaged(uri, f"its gzip has more than {_MOST_MEMBERS:,} members")
    if begun:
        raise _damaged(uri, "its gzip ends before its end")


def _slices(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Small, as what follows a member is copied at its end."""
    for piece in pieces:
        for start in range(0, len(piece), _SLICE):
            yield piece[start : start + _SLICE]


def first_bytes(head: bytes, size: int, *, uri: str) -> bytes:
    """The first bytes of what is in a gzip, of which `head` is the beginning; fewer where it holds fewer."""
    found = b""
    try:
        for data in unpacked([head], uri=uri):
            found += data[: size - len(found)]
            if len(found) == size:
                break
    except SceneUnreadable:
        # That it is cut off here says nothing: so is every gzip, at the end of this head.
        if not found:
            raise
    return found


def unpack_to(
    put: Callable[[NDArray[np.uint8]], None], size: int, pieces: Iterable[bytes], *, skip: int, uri: str
) -> None:
    """Gives away what is in a gzip, in order, but for its first `skip` bytes.

    Args:
        put: takes what comes next.
        size: bytes that it takes in all.
        pieces: the file, from its beginning.
        skip: bytes before.
        uri: for messages.

    Raises:
        SceneUnreadable: it is damaged, or holds more or less than that: no byte beyond is unpacked but those of the
            piece that shows it.
    """
    position = -skip
    for data in unpacked(pieces, uri=uri):
        if position + len(data) > size:
            raise _damaged(uri, f"its gzip holds more than the {skip + size:,} bytes that its header promises")
        put(np.frombuffer(data, np.uint8)[max(0, -position) :])
        position += len(data)
    if position < size:
        raise _damaged(uri, f"its gzip holds {position + skip:,} bytes, and its header promises {skip + size:,}")


def _damaged(uri: str, what: str) -> SceneUnreadable:
    return SceneUnreadable(f"{uri}: {what}", hint="the file is damaged or truncated; fetch or write it anew", uri=uri)
