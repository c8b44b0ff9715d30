"""One number for everything an output says is committed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from encdec_batch.commit.marker import Marker


class OutputDigest:
    """sha256 over the sorted lines `scene_id,output,sha256` of all markers, each ended by a newline.

    No generation, no key and no path is in it: an output that was made in one go and one that was made
    through kills, repetitions and added outputs have one digest, if their files have the same bytes.
    """

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def add(self, marker: Marker) -> None:
        self._lines += [f"{marker.scene_id},{name},{file.sha256}\n".encode() for name, file in marker.outputs.items()]

    def hexdigest(self) -> str:
        self._lines.sort()
        digest = hashlib.sha256()
        for line in self._lines:
            digest.update(line)
        return digest.hexdigest()


def digest_of_markers(markers: Iterable[Marker]) -> str:
    """The digest of an output with these markers."""
    digest = OutputDigest()
    for marker in markers:
        digest.add(marker)
    return digest.hexdigest()
