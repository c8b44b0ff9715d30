"""The pieces a PNG is made of, and a whole one of a class mask.

Source: PNG (third edition), W3C, sections 5 and 11.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from encdec_batch.plan.product import Product

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_LEVEL = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PngFormat:
    """How pixels are written: what IHDR, PLTE and tRNS say."""

    bit_depth: int
    """8 or 16 bits a sample."""
    color_type: int
    """0 grey, 2 RGB, 3 palette."""
    palette: bytes = b""
    transparency: bytes = b""

    @property
    def samples(self) -> int:
        return 3 if self.color_type == 2 else 1

    def head(self, height: int, width: int) -> bytes:
        """Everything before the pixels."""
        header = struct.pack(">IIBBBBB", width, height, self.bit_depth, self.color_type, 0, 0, 0)
        parts = [SIGNATURE, chunk(b"IHDR", header)]
        if self.palette:
            parts.append(chunk(b"PLTE", self.palette))
        if self.transparency:
            parts.append(chunk(b"tRNS", self.transparency))
        return b"".join(parts)


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk with its length and check sum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def mask_format(product: Product) -> PngFormat:
    """A palette for up to 256 ids, nodata transparent; above it the ids as 16-bit grey."""
    nodata = None if product.nodata is None else int(product.nodata)
    if np.dtype(product.dtype).itemsize > 1:
        return PngFormat(bit_depth=16, color_type=0, transparency=b"" if nodata is None else struct.pack(">H", nodata))
    colors = dict(zip(product.class_ids, product.class_colors, strict=True))
    last = max([*colors, nodata or 0])
    palette = b"".join(bytes(colors.get(entry, (0, 0, 0))) for entry in range(last + 1))
    alpha = b"" if nodata is None else b"\xff" * nodata + b"\x00"
    return PngFormat(bit_depth=8, color_type=3, palette=palette, transparency=alpha)


def unfiltered(pixels: NDArray[np.generic]) -> bytes:
    """Rows (height, width) or (height, width, 3), each behind the filter byte "none"."""
    height = pixels.shape[0]
    samples = pixels.reshape(height, -1)
    row = samples.astype(f">{samples.dtype.str[1:]}", copy=False).view(np.uint8).reshape(height, -1)
    framed = np.zeros((height, row.shape[1] + 1), np.uint8)
    framed[:, 1:] = row
    return framed.tobytes()


def encode_mask(mask: NDArray[np.generic], product: Product) -> bytes:
    """A whole PNG of class ids (height, width); filter "none", since ids have no gradients."""
    body = imagecodecs.deflate_encode(unfiltered(np.ascontiguousarray(mask)), level=_LEVEL)
    return mask_format(product).head(*mask.shape) + chunk(b"IDAT", bytes(body)) + END
