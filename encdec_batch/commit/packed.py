"""A sequence of markers that is small in memory: some 250 bytes each instead of 5,000."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from encdec_batch.commit.marker import Marker

CHUNK = 256
"""Markers that are compressed together: they have much in common."""


def packed(markers: Iterable[Marker]) -> PackedMarkers:
    """All of these."""
    found = PackedMarkers()
    for marker in markers:
        found.append(marker)
    return found


class PackedMarkers(Sequence[Marker]):
    """Markers in the order in which they were appended; each is parsed anew whenever it is asked for."""

    def __init__(self) -> None:
        self._packed: list[bytes] = []
        self._last: list[bytes] = []

    def append(self, marker: Marker) -> None:
        self._last.append(marker.model_dump_json().encode())
        if len(self._last) == CHUNK:
            # JSON of one line: strings hold line feeds as two characters.
            self._packed.append(zlib.compress(b"\n".join(self._last), 1))
            self._last = []

    def __len__(self) -> int:
        return CHUNK * len(self._packed) + len(self._last)

    def __iter__(self) -> Iterator[Marker]:
        for chunk in range(len(self._packed) + 1):
            yield from map(Marker.model_validate_json, self._chunk(chunk))

    @overload
    def __getitem__(self, index: int) -> Marker: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Marker]: ...
    def __getitem__(self, index: int | slice) -> Marker | Sequence[Marker]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        number = range(len(self))[index]
        return Marker.model_validate_json(self._chunk(number // CHUNK)[number % CHUNK])

    def _chunk(self, number: int) -> list[bytes]:
        return zlib.decompress(self._packed[number]).split(b"\n") if number < len(self._packed) else self._last
