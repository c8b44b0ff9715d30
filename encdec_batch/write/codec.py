"""One tile of 512 x 512 px, to bytes and back, as TIFF stores it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from encdec_batch.plan.product import Product
from encdec_batch.write.overview import TILE


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """A lossless codec and its effort; both are part of a part's key."""

    name: Literal["deflate", "zstd"]
    level: int


def predictor(product: Product) -> int:
    """TIFF tag 317: none for class ids (neighbours' differences mean nothing), 2 for integers, 3 for floats."""
    if product.kind == "classes":
        return 1
    return 3 if np.dtype(product.dtype).kind == "f" else 2


def encode_tile(pixels: NDArray[np.generic], product: Product, codec: Codec) -> bytes:
    """Up to 512 x 512 px (bands, height, width) to the bytes of a full tile, bands interleaved by pixel."""
    missing = TILE - pixels.shape[1], TILE - pixels.shape[2]
    if any(missing):
        # Pixels beyond the scene are in no reader's picture; repeated ones cost the fewest bytes.
        pixels = np.pad(pixels, ((0, 0), (0, missing[0]), (0, missing[1])), "edge")
    tile = np.ascontiguousarray(pixels.transpose(1, 2, 0)).astype(f"<{np.dtype(product.dtype).str[1:]}", copy=False)
    plain: NDArray[np.generic] | bytes = tile
    if predictor(product) == 2:
        plain = imagecodecs.delta_encode(tile, axis=1)
    elif predictor(product) == 3:
        plain = imagecodecs.floatpred_encode(tile, axis=1)
    raw = plain if isinstance(plain, bytes) else plain.tobytes()
    if codec.name == "zstd":
        return bytes(imagecodecs.zstd_encode(raw, level=codec.level))
    return bytes(imagecodecs.deflate_encode(raw, level=codec.level))


def decode_tile(data: bytes, product: Product, codec: Codec) -> NDArray[np.generic]:
    """The full tile (bands, 512, 512).

    Raises:
        RuntimeError: from the codec, when the bytes are not its own; callers have checked the crc32.
    """
    dtype = np.dtype(product.dtype)
    size = TILE * TILE * product.num_bands * dtype.itemsize
    decode = imagecodecs.zstd_decode if codec.name == "zstd" else imagecodecs.deflate_decode
    tile = np.frombuffer(decode(data, out=size), dtype).reshape(TILE, TILE, product.num_bands)
    if predictor(product) == 2:
        tile = imagecodecs.delta_decode(tile, axis=1)
    elif predictor(product) == 3:
        tile = imagecodecs.floatpred_decode(tile, axis=1)
    return tile.transpose(2, 0, 1)
