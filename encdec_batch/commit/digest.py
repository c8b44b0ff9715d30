"""One number for everything an output says is committed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from encdec_batch.commit.marker import Marker


def digest_of_markers(markers: Iterable[Marker]) -> str:
    """sha256 over the sorted lines `scene_id,output,sha256` of all markers, each ended by a newline.

    No generation, no key and no path is in it: an output that was made in one go and one that was made
    through kills, repetitions and added outputs have one digest, if their files have the same bytes.
    """
    lines = sorted(
        f"{marker.scene_id},{name},{file.sha256}\n".encode()
        for marker in markers
        for name, file in marker.outputs.items()
    )
    return hashlib.sha256(b"".join(lines)).hexdigest()
