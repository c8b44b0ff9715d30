"""Where bytes go, in order, once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Sink(Protocol):
    """Takes bytes one after the other; a Writer of a store and io.BytesIO are sinks."""

    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a file is, without looking at it again."""

    size_bytes: int
    sha256: str


class CountingSink:
    """Hands bytes on, and knows how many they were and their sha256."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes, /) -> int:
        self._digest.update(data)
        self.size_bytes += len(data)
        self._sink.write(data)
        return len(data)

    @property
    def sha256(self) -> str:
        """Of the bytes so far, hexadecimal."""
        return self._digest.hexdigest()

    @property
    def written(self) -> Written:
        return Written(size_bytes=self.size_bytes, sha256=self.sha256)


def plain(data: bytes) -> Callable[[Sink], Written]:
    """What fills an object with these bytes."""

    def fill(sink: Sink) -> Written:
        counting = CountingSink(sink)
        counting.write(data)
        return counting.written

    return fill
