"""From the encoded tile of a slide to its pixels: imagecodecs alone, one tile at a time.

GDAL is not asked: it knows no JPEG 2000 here, and of JPEG with subsampled colours it makes other pixels than openslide,
tifffile and QuPath do (docs/decisions/031). What a tile decodes to depends on its bytes alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import EncdecError, SceneUnreadable, UnsupportedScene
from encdec_batch.read.gdal.describe import DTYPES
from encdec_batch.read.gdal.tiff_index import COMPRESSION_JPEG, TilePage
from encdec_batch.read.memory import memory_limit
from encdec_batch.read.ranges import PinnedObject
from encdec_batch.read.slide.directory import Directory

_YCBCR_2000, _RGB_2000, _JPEG_2000 = 33003, 33005, 34712
_RAW: dict[int, Callable[..., Any] | None] = {
    1: None,
    5: imagecodecs.lzw_decode,
    8: imagecodecs.deflate_decode,
    32773: imagecodecs.packbits_decode,
    32946: imagecodecs.deflate_decode,
    50000: imagecodecs.zstd_decode,
}
NAMES = {
    1: "NONE",
    5: "LZW",
    COMPRESSION_JPEG: "JPEG",
    8: "DEFLATE",
    32773: "PACKBITS",
    32946: "DEFLATE",
    50000: "ZSTD",
    _YCBCR_2000: "JPEG2000",
    _RGB_2000: "JPEG2000",
    _JPEG_2000: "JPEG2000",
}
"""Of the compressions that are read."""
_GREY_LOW, _GREY, _RGB, _YCBCR = 0, 1, 2, 6
_KINDS = {(8, 1): "uint8", (16, 1): "uint16", (16, 2): "int16", (32, 3): "float32", (64, 3): "float64"}
"""By bits and SampleFormat."""
_SIZ = b"\xff\x4f\xff\x51"
_MOST_COMPONENTS = 4


def decoder_name() -> str:
    """What decodes, with all that decides which pixels come of lossy bytes."""
    jpeg, jpeg_2000 = imagecodecs.jpeg8_version(), imagecodecs.jpeg2k_version()
    return f"imagecodecs {imagecodecs.__version__} ({jpeg}, {jpeg_2000})"


@dataclass(frozen=True, slots=True, kw_only=True)
class TileFormat:
    """How the tiles of one image are encoded."""

    compression: int
    dtype: str
    order: Literal["<", ">"]
    predictor: int
    samples: int
    """In one tile."""
    photometric: int
    jpeg_tables: bytes = field(repr=False)


def tile_format(directory: Directory, page: TilePage, source: PinnedObject) -> TileFormat:
    """The format of an image's tiles.

    Raises:
        UnsupportedScene: it is not read.
        ValueError: a tag is damaged.
    """
    kind = _KINDS.get((page.num_bits, directory.number(339, 1)))
    photometric, predictor = directory.number(262, _GREY), directory.number(317, 1)
    is_coded = page.compression not in _RAW
    alpha = [int(one) for one in directory.tags[338].value if one in (1, 2)] if 338 in directory.tags else []
    faults = {
        f"pixels of {page.num_bits} bits, SampleFormat {directory.number(339, 1)}": kind is None,
        f"colours of kind {photometric}": photometric not in (_GREY_LOW, _GREY, _RGB, _YCBCR),
        "subsampled colours without JPEG": photometric == _YCBCR and not is_coded,
        f"predictor {predictor}": not is_coded and predictor not in (1, 2, 3),
        "bits in reverse order": not is_coded and directory.number(266, 1) != 1,
        f"{page.num_bits}-bit JPEG": page.compression == COMPRESSION_JPEG and page.num_bits != 8,
        "an alpha band": bool(alpha),
    }
    fault = next((what for what, found in faults.items() if found), None)
    if fault is not None or kind is None:
        raise UnsupportedScene(
            f"{source.uri}: a slide of {fault}",
            hint=f"write it as grey or RGB of one of {', '.join(DTYPES)}",
            uri=source.uri,
        )
    return TileFormat(
        compression=page.compression,
        dtype=kind,
        order=directory.order,
        predictor=predictor,
        samples=1 if page.planar else page.num_samples,
        photometric=photometric,
        jpeg_tables=page.jpeg_tables,
    )


def decode_tile(data: bytes, tile: TileFormat, room: NDArray[Any], *, source: PinnedObject) -> NDArray[Any]:
    """(height, width, samples) of one tile.

    Args:
        data: encoded.
        tile: how.
        room: of the shape and type that it must have; may be what is given back. Room that was used before saves a
            third of the time of a JPEG: new memory costs more than its pixels.
        source: whose it is.

    Raises:
        SceneUnreadable: it is damaged, or of another size.
        UnsupportedScene: it takes more memory than the limits admit.
    """
    decode = _decode_raw if tile.compression in _RAW else _decode_jpeg
    if tile.compression in (_YCBCR_2000, _RGB_2000, _JPEG_2000):
        decode = _decode_jpeg_2000
    try:
        with memory_limit(source.limits.max_growth_bytes):
            return decode(data, tile, room)
    except EncdecError:
        raise
    except MemoryError as error:
        if source.limits.max_growth_bytes is None:
            raise  # the limits admitted it: the machine's, not the file's
        raise UnsupportedScene(
            f"{source.uri}: a tile takes more than {source.limits.max_growth_bytes:,} bytes to decode",
            hint="raise limits.decoder_gib, if the scene is what it should be",
            uri=source.uri,
        ) from error
    except (ValueError, RuntimeError, TypeError, LookupError, OSError) as error:
        is_known = isinstance(error, NotImplementedError)
        raise SceneUnreadable(
            f"{source.uri}: a tile of {NAMES[tile.compression]} cannot be decoded" + (f": {error}" if is_known else ""),
            hint="convert it to OME-TIFF, e.g. by bfconvert" if is_known else "the file is damaged; fetch it anew",
            uri=source.uri,
        ) from error


def _decode_raw(data: bytes, tile: TileFormat, room: NDArray[Any]) -> NDArray[Any]:
    dtype, full, num_bytes = room.dtype, room.shape, room.nbytes
    decompress = _RAW[tile.compression]
    raw = data[:num_bytes] if decompress is None else decompress(data, out=num_bytes)
    if len(raw) != num_bytes:
        raise ValueError(f"{len(raw)} bytes, not {num_bytes}")
    if tile.predictor == 3:
        big = np.frombuffer(raw, dtype).reshape(full)
        found: NDArray[Any] = imagecodecs.floatpred_decode(big, axis=-2, dist=1).astype(dtype, copy=False)
        return found.reshape(full)
    pixels: NDArray[Any] = np.frombuffer(raw, dtype.newbyteorder(tile.order)).reshape(full).astype(dtype, copy=False)
    if tile.predictor == 2:
        # Of floats the differences are of their bits.
        bits = pixels.view(f"u{dtype.itemsize}")
        pixels = imagecodecs.delta_decode(bits, axis=1).view(dtype)
    return pixels


def _decode_jpeg(data: bytes, tile: TileFormat, room: NDArray[Any]) -> NDArray[Any]:
    if b"\xff\xd9" not in data[-64:]:
        raise ValueError("it is cut short")  # libjpeg fills what is missing with grey
    # Scanners leave out the markers that would say so; only JFIF is YCbCr by itself, whatever the directory says.
    stored = {_YCBCR: "YCBCR", _RGB: "RGB"}.get(tile.photometric) if tile.samples == 3 else None
    if stored == "RGB" and b"JFIF\0" in data[:32]:
        stored = "YCBCR"
    # With an array to fill, its size is compared before anything is decoded.
    imagecodecs.jpeg8_decode(
        data,
        tables=tile.jpeg_tables or None,
        colorspace=stored,
        outcolorspace="RGB" if stored else None,
        out=room if tile.samples > 1 else room[..., 0],
    )
    return room


def _decode_jpeg_2000(data: bytes, tile: TileFormat, room: NDArray[Any]) -> NDArray[Any]:
    _check_codestream(data, room.shape)
    pixels: NDArray[Any] = imagecodecs.jpeg2k_decode(data, numthreads=1)
    pixels = pixels.reshape(room.shape)
    if pixels.dtype != tile.dtype:
        raise ValueError(f"pixels are {pixels.dtype}")
    is_ycbcr = tile.compression == _YCBCR_2000 or (tile.compression == _JPEG_2000 and tile.photometric == _YCBCR)
    return _rgb_of(pixels) if is_ycbcr else pixels


def _check_codestream(data: bytes, shape: tuple[int, ...]) -> None:
    """Before anything is decoded: the SIZ marker, ISO/IEC 15444-1 A.5.1."""
    if not data.startswith(_SIZ) or len(data) < 42:
        raise ValueError("it is no codestream")
    right, bottom, left, top = (int.from_bytes(data[at : at + 4]) for at in (8, 12, 16, 20))
    components = int.from_bytes(data[40:42])
    sampling = {data[42 + 3 * number + part] for number in range(min(components, _MOST_COMPONENTS)) for part in (1, 2)}
    if (bottom - top, right - left, components) != shape:
        raise ValueError("it is of another size")
    if sampling != {1}:
        raise NotImplementedError("its colours are subsampled")


def _rgb_of(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """RGB of YCbCr as JFIF 1.02 defines it."""
    luma, blue, red = (pixels[..., band].astype(np.float64) for band in range(3))
    blue, red = blue - 128, red - 128
    parts = (luma + 1.402 * red, luma - 0.34414 * blue - 0.71414 * red, luma + 1.772 * blue)
    return np.floor(np.stack(parts, axis=-1) + 0.5).clip(0, 255).astype(np.uint8)
