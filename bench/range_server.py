"""One giant scene that lies nowhere: an S3 server whose only object is made up as it is read.

The object is a tiled BigTIFF, three quarters of it sparse (nodata, which needs no network). Its tiles lie apart, as in
a file of its size, but are a few that repeat. Run as a process of its own (`python -m bench.range_server SIDE`) it
prints its port, serves until standard input ends, and then prints how many requests it had, and bytes it sent.
"""

from __future__ import annotations

import json
import struct
import sys
import threading
import zlib
from collections import Counter
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

TILE = 512
BANDS = 3
DISTINCT = 16
"""Tiles that differ."""
SQUARE = 8
"""Tiles a side of what is there or not there: 4096 px."""
BUCKET, KEY = "giant", "in/giant.tif"
ETAG = "0123456789abcdef0123456789abcdef"
MODIFIED = 1_700_000_000
_ASCII, _SHORT, _LONG, _DOUBLE, _LONG8 = 2, 3, 4, 12, 16
_CODES = {_ASCII: "B", _SHORT: "H", _LONG: "I", _DOUBLE: "d", _LONG8: "Q"}


class GiantTiff:
    """The bytes of a scene of `side` px, any range of them."""

    def __init__(self, side: int) -> None:
        self._tiles = [_tile(number) for number in range(DISTINCT)]
        self._slot = max(map(len, self._tiles))
        across = -(-side // TILE)
        count = across**2
        there = [_is_there(*divmod(number, across)) for number in range(count)]
        lengths = [len(self._tiles[number % DISTINCT]) if there[number] else 0 for number in range(count)]
        # The header's size does not depend on the offsets in it.
        start = len(_header(side, [0] * count, lengths))
        offsets = [start + number * self._slot if there[number] else 0 for number in range(count)]
        self._head = _header(side, offsets, lengths)
        self.size = start + count * self._slot

    def read(self, start: int, stop: int) -> bytes:
        """Half-open."""
        stop, pieces = min(stop, self.size), [self._head[start:stop]]
        at = max(start, len(self._head))
        while at < stop:
            number, inside = divmod(at - len(self._head), self._slot)
            slot = self._tiles[number % DISTINCT].ljust(self._slot, b"\0")
            piece = slot[inside : inside + stop - at]
            pieces.append(piece)
            at += len(piece)
        return b"".join(pieces)


def _is_there(row: int, col: int) -> bool:
    """One square in four; the others are nodata."""
    return (row // SQUARE + 2 * (col // SQUARE)) % 4 == 0


def _tile(number: int) -> bytes:
    """(512, 512, 3) of repeating noise, deflated: some 15 KB."""
    grain = np.random.default_rng(number).integers(60, 200, (16, 256, BANDS), dtype=np.uint8)
    return zlib.compress(np.tile(grain, (TILE // 16, TILE // 256, 1)).tobytes(), 6)


def _header(side: int, offsets: list[int], lengths: list[int]) -> bytes:
    """BigTIFF, little-endian: RGB of uint8, deflate, nodata 0, in UTM 33N. A tile without bytes is nodata."""
    keys = [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633]
    tags: list[tuple[int, int, list[Any]]] = [
        (256, _LONG, [side]), (257, _LONG, [side]), (258, _SHORT, [8] * BANDS), (259, _SHORT, [8]), (262, _SHORT, [2]),
        (277, _SHORT, [BANDS]), (284, _SHORT, [1]), (322, _LONG, [TILE]), (323, _LONG, [TILE]),
        (324, _LONG8, offsets), (325, _LONG, lengths), (33550, _DOUBLE, [0.5, 0.5, 0.0]),
        (33922, _DOUBLE, [0.0, 0.0, 0.0, 5e5, 4e6, 0.0]), (34735, _SHORT, keys), (42113, _ASCII, [*b"0\0"]),
    ]  # fmt: skip
    place = 16 + 8 + 20 * len(tags) + 8
    entries, values = [], b""
    for code, kind, numbers in tags:
        data = struct.pack(f"<{len(numbers)}{_CODES[kind]}", *numbers)
        if len(data) > 8:
            data, values = struct.pack("<Q", place + len(values)), values + data
        entries.append(struct.pack("<HHQ", code, kind, len(numbers)) + data.ljust(8, b"\0"))
    return (
        struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16)
        + struct.pack("<Q", len(tags))
        + b"".join(entries)
        + bytes(8)
        + values
    )


class _Handler(BaseHTTPRequestHandler):
    """What a reader asks of S3: HEAD, ranged GET with If-Match, and a listing."""

    protocol_version = "HTTP/1.1"
    giant: GiantTiff
    counted: Counter[str]

    def do_HEAD(self) -> None:
        if urlsplit(self.path).path != f"/{BUCKET}/{KEY}":
            self._answer(404, b"")
            return
        self._answer(200, b"", {"Content-Length": str(self.giant.size), **_about()})

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if "list-type" in parse_qs(url.query):
            self._answer(200, _listing(self.giant.size), {"Content-Type": "application/xml"})
        elif url.path != f"/{BUCKET}/{KEY}":
            self._answer(404, _error("NoSuchKey"), {"Content-Type": "application/xml"})
        elif self.headers.get("If-Match", ETAG).strip('"') != ETAG:
            self._answer(412, _error("PreconditionFailed"), {"Content-Type": "application/xml"})
        else:
            start, stop = _range(self.headers.get("Range"), self.giant.size)
            place = {"Content-Range": f"bytes {start}-{stop - 1}/{self.giant.size}"}
            self._answer(206, self.giant.read(start, stop), place | _about())

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.counted[self.command] += 1
        self.counted["bytes"] += len(body)
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: requests are counted."""


def _about() -> dict[str, str]:
    return {"ETag": f'"{ETAG}"', "Last-Modified": formatdate(MODIFIED, usegmt=True), "Accept-Ranges": "bytes"}


def _range(said: str | None, size: int) -> tuple[int, int]:
    if said is None:
        return 0, size
    first, _, last = said.removeprefix("bytes=").partition("-")
    return int(first), min(int(last) + 1 if last else size, size)


def _listing(size: int) -> bytes:
    return (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{BUCKET}</Name><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated><Contents><Key>{KEY}</Key>"
        f"<LastModified>2023-11-14T22:13:20.000Z</LastModified><ETag>&quot;{ETAG}&quot;</ETag><Size>{size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents></ListBucketResult>"
    ).encode()


def _error(code: str) -> bytes:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'.encode()


def main() -> None:
    _Handler.giant, _Handler.counted = GiantTiff(int(sys.argv[1])), Counter()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_port, "size": _Handler.giant.size}), flush=True)
    sys.stdin.read()
    print(json.dumps(_Handler.counted), flush=True)


if __name__ == "__main__":
    main()
