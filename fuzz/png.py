"""Damages of a PNG's chunks, with checksums that are right, so that decoders look at what is inside."""

from __future__ import annotations

import random
import struct
import zlib

Chunk = tuple[bytes, bytes]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BOMB = zlib.compress(bytes(8 << 20), 9)
_SIDES = (0, 1, 2, 7, 255, 300, 2048, 65535, 1 << 20, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def chunks_of(data: bytes) -> list[Chunk]:
    """As far as they lie in the file; checksums are not looked at."""
    found, at = [], len(SIGNATURE)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        found.append((bytes(data[at + 4 : at + 8]), bytes(data[at + 8 : at + 8 + length])))
        at += 12 + length
    return found


def png_of(chunks: list[Chunk], source: random.Random) -> bytes:
    """A few checksums and lengths are wrong."""
    whole = bytearray(SIGNATURE)
    for kind, body in chunks:
        length = len(body) if source.random() < 0.99 else source.choice((0, len(body) + 1, 0x7FFFFFFF, 0xFFFFFFFF))
        checksum = zlib.crc32(kind + body) ^ (source.random() < 0.01)
        whole += struct.pack(">I", length) + kind + body + struct.pack(">I", checksum)
    return bytes(whole)


def mutate_png(data: bytearray, source: random.Random) -> bytes:
    chunks = chunks_of(data)
    if not chunks:
        return bytes(data) + bytes(16)
    change = source.choice((_header, _body, _drop, _double, _swap, _insert, _pixels, _split, _end_early))
    change(chunks, source)
    return png_of(chunks, source)


def _header(chunks: list[Chunk], source: random.Random) -> None:
    kind, body = chunks[0]
    if kind == b"IHDR" and len(body) == 13:
        values = list(struct.unpack(">IIBBBBB", body))
        for _ in range(source.choice((1, 1, 2))):
            at = source.randrange(7)
            near = (values[at] + 1, max(0, values[at] - 1), values[at] * 2)
            values[at] = source.choice(_SIDES + near if at < 2 else (0, 1, 2, 3, 4, 6, 8, 16, 255)) % (1 << 32)
        chunks[0] = kind, struct.pack(">IIBBBBB", *values[:2], *(value % 256 for value in values[2:]))


def _body(chunks: list[Chunk], source: random.Random) -> None:
    at = source.randrange(len(chunks))
    kind, body = chunks[at]
    damaged = bytearray(body)
    for _ in range(source.choice((1, 2, 4))):
        if damaged:
            damaged[source.randrange(len(damaged))] = source.randrange(256)
    cut = source.randrange(len(damaged) + 1) if source.random() < 0.2 else len(damaged)
    chunks[at] = kind, bytes(damaged[:cut])


def _drop(chunks: list[Chunk], source: random.Random) -> None:
    if len(chunks) > 1:
        del chunks[source.randrange(len(chunks))]


def _double(chunks: list[Chunk], source: random.Random) -> None:
    chunk = source.choice(chunks)
    chunks[source.randrange(len(chunks)) :][:0] = []
    at = source.randrange(len(chunks) + 1)
    chunks[at:at] = [chunk] * source.choice((1, 2, 500))


def _swap(chunks: list[Chunk], source: random.Random) -> None:
    one, two = source.randrange(len(chunks)), source.randrange(len(chunks))
    chunks[one], chunks[two] = chunks[two], chunks[one]


def _insert(chunks: list[Chunk], source: random.Random) -> None:
    noise = source.randbytes(source.choice((0, 1, 3, 4, 6, 9, 256, 769)))
    new = source.choice(
        (
            (b"tRNS", noise),
            (b"PLTE", noise),
            (b"iCCP", b"icc\0\0" + _BOMB),
            (b"zTXt", b"text\0\0" + _BOMB),
            (b"iTXt", b"text\0\1\0\0\0" + _BOMB),
            (b"tEXt", b"text\0" + noise),
            (b"eXIf", b"II*\0\x08\0\0\0\xff\xff" + noise),
            (b"gAMA", noise),
            (b"cHRM", noise),
            (b"sBIT", noise),
            (b"pHYs", noise),
            (b"acTL", noise),
            (b"fdAT", noise),
            (b"IEND", b""),
            (b"IDAT", b""),
            (b"ABCD", noise),
        )
    )
    chunks.insert(source.randrange(len(chunks) + 1), new)


def _pixels(chunks: list[Chunk], source: random.Random) -> None:
    """What the stream of pixels inflates to is changed: filters, too few rows, too many."""
    where = [at for at, (kind, _) in enumerate(chunks) if kind == b"IDAT"]
    try:
        raw = bytearray(zlib.decompressobj().decompress(b"".join(chunks[at][1] for at in where), 4 << 20))
    except zlib.error:
        return
    if not raw:
        return
    change = source.randrange(4)
    if change == 0:
        raw[source.randrange(len(raw))] = source.randrange(256)
    elif change == 1:
        del raw[source.randrange(len(raw)) :]
    elif change == 2:
        raw += bytes(source.choice((1, 1000, 1 << 20)))
    else:
        raw[0] = source.randrange(256)
    for at in reversed(where):
        del chunks[at]
    chunks.insert(where[0], (b"IDAT", zlib.compress(bytes(raw), source.choice((0, 1, 6)))))


def _split(chunks: list[Chunk], source: random.Random) -> None:
    for at, (kind, body) in enumerate(chunks):
        if kind == b"IDAT":
            step = max(1, len(body) // source.choice((2, 50, 1000)))
            chunks[at : at + 1] = [(kind, body[start : start + step]) for start in range(0, len(body), step)]
            return


def _end_early(chunks: list[Chunk], source: random.Random) -> None:
    at = source.randrange(len(chunks) + 1)
    chunks[at:at] = [(b"IEND", b"")]
