"""The process that reads: one file after the other from its input, one line of JSON for each.

    python -m fuzz.child whole|tiles|windows

What it dies of, hangs in or prints by itself is seen by whoever started it (pair.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import struct
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from encdec_batch.errors import PermanentStoreError, SceneChanged, SceneError
from encdec_batch.read.limits import MIB, Limits
from encdec_batch.read.open import contents_of, open_reader
from encdec_batch.read.patch import Patch
from encdec_batch.read.reader import Reader
from encdec_batch.store.object import ObjectInfo
from encdec_batch.window import Window

LIMITS = Limits(
    max_decoded_bytes=16 * MIB, max_pixels=1 << 26, max_whole_pixels=1 << 22, max_whole_bytes=16 * MIB, max_bands=64
)
"""Tight, so that what goes beyond shows."""
MOST_BYTES = 256 * MIB
"""That one file may add to the process: a tile, a window, a header's pages, and what decoders hold of them."""
ROOM_BYTES = 1 << 30
"""Of addresses above those of the idle process, or the system refuses."""
LARGEST_WINDOW = 1024
MOST_BANDS = 4


class OneObject:
    """A store of one object in memory, as far as a reader asks."""

    uri = "fuzz://store"

    def __init__(self, data: bytes) -> None:
        self._data = data
        # Readers keep what they found out of a version of an object.
        self._etag = hashlib.sha256(data).hexdigest()

    def info(self, path: str) -> ObjectInfo:
        return ObjectInfo(path=path, size=len(self._data), etag=self._etag, modified=0.0)

    def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]], *, etag: str | None = None) -> list[bytes]:  # noqa: ARG002
        if any(not 0 <= start <= stop <= len(self._data) for start, stop in ranges):
            raise PermanentStoreError(f"{path}: {ranges} of {len(self._data)} bytes")
        return [self._data[start:stop] for start, stop in ranges]


def read(data: bytes, how: str) -> dict[str, Any]:
    """What became of a file: the class of its error, or digests of header, pixels and thumbnail."""
    limits = LIMITS if how == "whole" else replace(LIMITS, small_file_bytes=0)
    store: Any = OneObject(data)
    try:
        plane = contents_of(store, "scene", limits=limits).planes[0]
        reader = open_reader(store, "scene", limits=limits, plane=plane)
        try:
            return {"pixels": _pixels(reader, how), "header": _digest(repr(reader.header).encode())} | _thumbnail(
                reader
            )
        finally:
            reader.close()
    except SceneError as error:
        return {"error": type(error).__name__, "said": error.message[:200], "hint": bool(error.hint)}


def _pixels(reader: Reader, how: str) -> str:
    header = reader.header
    height, width = min(header.height, LARGEST_WINDOW), min(header.width, LARGEST_WINDOW)
    bands = range(1, min(header.num_bands, MOST_BANDS) + 1)
    whole = Window(0, 0, width, height)
    if how != "windows" or min(height, width) < 4:
        patch = reader.read(whole, bands, rule="any")
    else:
        patch = _joined(reader, whole, bands)
    assert patch.pixels.shape == (len(bands), height, width)
    assert patch.valid_mask.shape == (height, width)
    assert patch.pixels.dtype.name == header.dtype
    return _digest(patch.pixels.tobytes() + patch.valid_mask.tobytes())


def _joined(reader: Reader, whole: Window, bands: range) -> Patch:
    """The same in four windows that meet where no tile ends."""
    row, col = whole.height // 2 + 1, whole.width // 2 - 1
    rows, cols = ((0, row), (row, whole.height)), ((0, col), (col, whole.width))
    patches = [[reader.read(Window.from_bounds(at, to), bands, rule="any") for to in cols] for at in rows]
    return Patch(
        pixels=np.block([[patch.pixels for patch in line] for line in patches]),
        valid_mask=np.block([[patch.valid_mask for patch in line] for line in patches]),
    )


def _thumbnail(reader: Reader) -> dict[str, str]:
    try:
        patch = reader.thumbnail(64)
    except SceneError as error:
        return {"thumbnail": type(error).__name__}
    return {"thumbnail": _digest(patch.pixels.tobytes() + patch.valid_mask.tobytes())}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _answer(data: bytes, how: str) -> dict[str, Any]:
    _forget_peak()
    before, clock = _kib("VmRSS"), time.process_time()
    try:
        found = read(data, how)
        if found.get("error") == SceneChanged.__name__ or not found.get("hint", True):
            found = {"fault": f"{found['error']}: {found['said']}"}
    except BaseException as error:  # noqa: BLE001  (whatever it is, it is what is looked for)
        where = "".join(traceback.format_tb(error.__traceback__)[-4:])
        found = {"fault": f"{type(error).__name__}: {str(error)[:300]}", "where": where}
    return found | {"seconds": time.process_time() - clock, "grown": (_kib("VmHWM") - before) * 1024}


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _kib(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _exactly(source: IO[bytes], size: int) -> bytes:
    data = source.read(size)
    if len(data) < size:
        raise SystemExit(0)  # whoever asked is through
    return data


def main() -> None:
    how = sys.argv[1]
    # Nothing but answers may go where answers are looked for.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    read(b"II*\0", how)
    top = _kib("VmSize") * 1024 + ROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (top, top))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        (size,) = struct.unpack("<Q", _exactly(sys.stdin.buffer, 8))
        answers.write(json.dumps(_answer(_exactly(sys.stdin.buffer, size), how)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
