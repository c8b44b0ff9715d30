"""Files over a header, as pydicom wants one: of an object, or of what its deflated part inflates to, within bounds."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from encdec_batch.errors import HeaderTooLarge
from encdec_batch.read.dicom.library import damaged
from encdec_batch.read.ranges import PAGE_BYTES, PinnedObject

_MOST_READS = 1 << 21
"""Of one header. An element takes two or three, whatever its length; an object of 10,000 frames a million."""
_STEP_BYTES = 1 << 20


class HeaderStream:
    """A read-only file.

    Args:
        source: the object.
        bytes_at: gives bytes between two places, short at the end.
        start: where it stands.
    """

    def __init__(self, source: PinnedObject, bytes_at: Callable[[int, int], bytes], start: int) -> None:
        self._source, self._bytes_at = source, bytes_at
        self._position = start
        self._page, self._page_start = b"", 0
        self._reads = 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; after an error, none, and the error stands in the source's `failure`, as for a `View`."""
        start, stop = self._position, self._position + size
        if start < self._page_start or stop > self._page_start + len(self._page):
            try:
                self._load(start, stop)
            except Exception as error:  # noqa: BLE001  pydicom would take it for the end of the file
                self._source.failure = self._source.failure or error
                return b""
        self._reads += 1
        data = self._page[start - self._page_start : stop - self._page_start]
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 2:
            raise ValueError("its end is not known")
        position = (0, self._position)[whence] + offset
        if position < 0:
            raise ValueError("before its beginning")
        self._position = position
        return position

    def tell(self) -> int:
        return self._position

    def _load(self, start: int, stop: int) -> None:
        if self._reads > _MOST_READS:
            raise HeaderTooLarge(
                f"{self._source.uri}: its header has more than a million elements",
                hint="the file is damaged, or has too many frames: divide it",
                uri=self._source.uri,
            )
        first = start // PAGE_BYTES * PAGE_BYTES
        self._page = self._bytes_at(first, max(stop, first + PAGE_BYTES))
        self._page_start = first


class Inflater:
    """The deflated part of an object, inflated as far as it is asked for.

    Args:
        source: the object.
        start: of the stream (RFC 1951) in it.
    """

    def __init__(self, source: PinnedObject, start: int) -> None:
        self._source, self._next = source, start
        self._packer = zlib.decompressobj(-zlib.MAX_WBITS)
        self._data = bytearray()

    def bytes_at(self, start: int, stop: int) -> bytes:
        """Bytes between two places of what it inflates to, short at the end.

        Raises:
            HeaderTooLarge: they lie further than a header may reach.
        """
        most = self._source.limits.max_header_bytes
        stop = min(stop, most + 1)
        while len(self._data) < stop and not self._packer.eof:
            packed = self._packer.unconsumed_tail
            if not packed:
                packed = self._source.bytes_at(self._next, self._next + PAGE_BYTES)
                self._next += len(packed)
            if not packed:
                break
            self._data += self._packer.decompress(packed, min(_STEP_BYTES, stop - len(self._data)))
        if len(self._data) > most:
            raise HeaderTooLarge(
                f"{self._source.uri}: its deflated header needs more than {most:,} bytes",
                hint="the file is damaged, or not what it should be",
                uri=self._source.uri,
            )
        return bytes(self._data[start:stop])


def inflated_range(packed: memoryview, start: int, stop: int, *, uri: str) -> bytes:
    """Bytes `start` to `stop` of what a stream (RFC 1951) inflates to; no more than these are held.

    Raises:
        SceneUnreadable: it is damaged, or shorter.
    """
    packer = zlib.decompressobj(-zlib.MAX_WBITS)
    kept = bytearray()
    position = taken = 0
    try:
        while position < stop and not packer.eof:
            rest = packer.unconsumed_tail or packed[taken : taken + PAGE_BYTES]
            taken += 0 if packer.unconsumed_tail else len(rest)
            if not len(rest):
                break
            piece = packer.decompress(rest, min(_STEP_BYTES, stop - position))
            kept += piece[max(0, start - position) :]
            position += len(piece)
    except zlib.error:
        raise damaged(uri, "its deflated part cannot be inflated") from None
    if position < stop:
        raise damaged(uri, f"its deflated part ends {stop - position:,} bytes before the pixels do")
    return bytes(kept)
