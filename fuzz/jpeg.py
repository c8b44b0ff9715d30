"""Damages of a JPEG's segments."""

from __future__ import annotations

import random

Segment = tuple[int, bytes]
"""Marker and payload, the length not among it."""

_SCAN = 0xDA
_MOST_SCANS = 300


def segments_of(data: bytes) -> tuple[list[Segment], bytes]:
    """Up to the first scan, and what follows the header of that."""
    found: list[Segment] = []
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        length = int.from_bytes(data[at + 2 : at + 4])
        found.append((data[at + 1], bytes(data[at + 4 : at + 2 + max(2, length)])))
        at += 2 + max(2, length)
        if found[-1][0] == _SCAN:
            break
    return found, bytes(data[at:])


def jpeg_of(segments: list[Segment], coded: bytes, source: random.Random) -> bytes:
    """A few lengths are wrong."""
    whole = bytearray(b"\xff\xd8")
    for marker, body in segments:
        length = len(body) + 2
        if source.random() < 0.01:
            length = source.choice((0, 1, 2, length + 1, length - 1, 0xFFFF))
        whole += bytes([0xFF, marker]) + length.to_bytes(4)[-2:] + body
    return bytes(whole) + coded


def mutate_jpeg(data: bytearray, source: random.Random) -> bytes:
    segments, coded = segments_of(data)
    if not segments:
        return bytes(data) + bytes(16)
    change = source.choice((_frame, _body, _body, _drop, _double, _swap, _insert, _coded, _scans))
    coded = change(segments, coded, source)
    return jpeg_of(segments, coded, source)


def _frame(segments: list[Segment], coded: bytes, source: random.Random) -> bytes:
    """Precision, size, components, sampling, or the kind of frame."""
    for at, (marker, body) in enumerate(segments):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(body) >= 6:
            damaged = bytearray(body)
            if source.random() < 0.2:
                marker = source.choice((0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA))  # noqa: PLW2901
            else:
                damaged[source.randrange(len(damaged))] = source.choice((0, 1, 2, 3, 4, 8, 12, 17, 0x11, 0x44, 0xFF))
            segments[at] = marker, bytes(damaged)
    return coded


def _body(segments: list[Segment], coded: bytes, source: random.Random) -> bytes:
    at = source.randrange(len(segments))
    marker, body = segments[at]
    damaged = bytearray(body)
    for _ in range(source.choice((1, 1, 4))):
        if damaged:
            damaged[source.randrange(len(damaged))] = source.choice((0, 1, 0x7F, 0xFF, source.randrange(256)))
    segments[at] = marker, bytes(damaged)
    return coded


def _drop(segments: list[Segment], coded: bytes, source: random.Random) -> bytes:
    if len(segments) > 1:
        del segments[source.randrange(len(segments))]
    return coded


def _double(segments: list[Segment], coded: bytes, source: random.Random) -> bytes:
    at = source.randrange(len(segments))
    segments[at:at] = [segments[at]] * source.choice((1, 1, 30))
    return coded


def _swap(segments: list[Segment], coded: bytes, source: random.Random) -> bytes:
    one, two = source.randrange(len(segments)), source.randrange(len(segments))
    segments[one], segments[two] = segments[two], segments[one]
    return coded


def _insert(segments: list[Segment], coded: bytes, source: random.Random) -> bytes:
    noise = source.randbytes(source.choice((0, 2, 6, 14, 64, 2000)))
    new = source.choice(
        (
            (0xDD, source.choice((b"\0\0", b"\0\1", b"\xff\xff"))),
            (0xDC, source.choice((b"\0\0", b"\0\1", b"\xff\xff"))),
            (0xE1, b"Exif\0\0II*\0\x08\0\0\0" + noise),
            (0xE1, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + noise),
            (0xE2, b"ICC_PROFILE\0" + bytes([source.randrange(4), source.randrange(4)]) + noise),
            (0xE2, b"MPF\0II*\0\x08\0\0\0" + noise),
            (0xEE, b"Adobe\0d\0\0\0\0" + bytes([source.randrange(4)])),
            (0xFE, noise),
            (0xC4, noise),
            (0xDB, noise),
        )
    )
    segments.insert(source.randrange(len(segments) + 1), new)
    return coded


def _coded(segments: list[Segment], coded: bytes, source: random.Random) -> bytes:  # noqa: ARG001
    damaged = bytearray(coded or b"\0")
    change = source.randrange(3)
    if change == 0:
        damaged[source.randrange(len(damaged))] ^= 1 << source.randrange(8)
    elif change == 1:
        at = source.randrange(len(damaged))
        damaged[at:at] = bytes([0xFF, source.choice((*range(0xC0, 0xFF), 0))])
    else:
        start = source.randrange(len(damaged))
        del damaged[start : start + source.choice((1, 100, 10_000))]
        damaged += b"\xff\xd9" * (source.random() < 0.7)
    return bytes(damaged)


def _scans(segments: list[Segment], coded: bytes, source: random.Random) -> bytes:
    """The same scan again and again, as a progressive file may have it: each is decoded over the whole image."""
    marker, body = segments[-1]
    if marker != _SCAN:
        return coded
    scan = b"\xff\xda" + (len(body) + 2).to_bytes(2) + body
    return coded.removesuffix(b"\xff\xd9") + scan * source.choice((2, _MOST_SCANS)) + b"\xff\xd9"
