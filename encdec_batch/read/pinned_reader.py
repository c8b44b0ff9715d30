"""What readers of one pinned object have in common, whatever its format."""

from __future__ import annotations

from typing import Protocol

from encdec_batch.read.header import SceneHeader


class Pinned(Protocol):
    """One version of an object, or of a folder of objects."""

    @property
    def etag(self) -> str: ...

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def bytes_read(self) -> int: ...


class PinnedReader:
    """The part of the `Reader` protocol that says what is read."""

    def __init__(self, pinned: Pinned, header: SceneHeader) -> None:
        self._pinned, self._header = pinned, header

    @property
    def header(self) -> SceneHeader:
        return self._header

    @property
    def etag(self) -> str:
        return self._pinned.etag

    @property
    def size_bytes(self) -> int:
        return self._pinned.size

    @property
    def bytes_read(self) -> int:
        return self._pinned.bytes_read
