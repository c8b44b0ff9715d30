"""What chunks of Zarr arrays are packed with, unpacked to no more bytes than they must have.

zarr and numcodecs unpack whatever a chunk says: one of a kilobyte may become gigabytes. Here every codec is told how
much may come out before it begins.
"""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import imagecodecs

from encdec_batch.errors import ExtraMissing

Codec = Callable[[bytes, int], bytes]
"""What was packed, of at most so many bytes. Raises one of `DAMAGED` where there is more, or none."""

DAMAGED = (ValueError, RuntimeError, EOFError, OSError, zlib.error)
"""imagecodecs' errors are RuntimeErrors."""
CHECK_BYTES = 4
"""Of crc32c, behind what it is of."""


def _stream(new: Callable[[], Any]) -> Codec:
    """Of one stream that knows its end."""

    def unpack(data: bytes, most: int) -> bytes:
        stream = new()
        # One more than may come shows that there is more.
        unpacked: bytes = stream.decompress(data, most + 1)
        if len(unpacked) > most or not stream.eof:
            raise ValueError(f"more than {most} bytes, or no end")
        return unpacked

    return unpack


def _blosc(data: bytes, most: int) -> bytes:
    # c-blosc's README_CHUNK_FORMAT.rst: 4 bytes of versions and flags; bytes unpacked, of a block, packed.
    size, packed = int.from_bytes(data[4:8], "little"), int.from_bytes(data[12:16], "little")
    if len(data) < 16 or size > most or packed != len(data):
        raise ValueError(f"blosc of {len(data)} bytes that says {packed} and {size}")
    return bytes(imagecodecs.blosc_decode(data, numthreads=1))


def _zstd(data: bytes, most: int) -> bytes:
    return bytes(imagecodecs.zstd_decode(data, out=most))


def _lz4(data: bytes, most: int) -> bytes:
    # numcodecs puts the size before one raw block.
    size = int.from_bytes(data[:4], "little")
    if len(data) < 4 or size > most:
        raise ValueError(f"lz4 of {size} bytes")
    return bytes(imagecodecs.lz4_decode(data[4:], out=size))


def _crc32c(data: bytes, most: int) -> bytes:  # noqa: ARG001
    import google_crc32c

    found = int.from_bytes(data[-CHECK_BYTES:], "little")
    if len(data) < CHECK_BYTES or google_crc32c.value(data[:-CHECK_BYTES]) != found:
        raise ValueError("its check sum is another")
    return data[:-CHECK_BYTES]


CODECS: dict[str, Codec] = {
    "zlib": _stream(zlib.decompressobj),
    "gzip": _stream(lambda: zlib.decompressobj(31)),
    "bz2": _stream(bz2.BZ2Decompressor),
    "blosc": _blosc,
    "zstd": _zstd,
    "lz4": _lz4,
    "crc32c": _crc32c,
}
"""By numcodecs' ids and Zarr 3's names."""


def unpack(data: bytes, codecs: Sequence[str], size: int) -> bytes:
    """What a chunk was packed from.

    Args:
        data: the chunk.
        codecs: names, in the order in which they packed it.
        size: bytes that must come out.

    Raises:
        One of `DAMAGED`: anything else comes out, or nothing.
    """
    most = size + CHECK_BYTES * codecs.count("crc32c")
    for name in reversed(codecs):
        data = CODECS[name](data, most)
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes instead of {size}")
    return data


def check_installed(codecs: Sequence[str], *, uri: str) -> None:
    """Does nothing where all of these can be run.

    Raises:
        ExtraMissing: one comes with an extra.
    """
    if "crc32c" in codecs:
        try:
            import google_crc32c  # noqa: F401
        except ImportError as error:
            raise ExtraMissing(
                f"{uri}: its chunks have check sums by crc32c, and google-crc32c is not installed",
                hint='pip install "encdec-batch[medical]"',
                uri=uri,
            ) from error
