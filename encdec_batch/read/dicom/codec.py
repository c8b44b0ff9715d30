"""One encapsulated frame, decoded by imagecodecs: one decoder for each format, named here.

| pixels | decoder |
|---|---|
| JPEG baseline, extended (8 and 12 bits), lossless | libjpeg-turbo |
| JPEG-LS | CharLS |
| JPEG 2000, HTJ2K | OpenJPEG |
| RLE | imagecodecs' own |

What a codestream claims is compared with the header before it is decoded, and what comes out before it is used.
"""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from encdec_batch.read.dicom.bits import BitField
from encdec_batch.read.dicom.codestream import (
    BadCodestream,
    Codestream,
    read_jpeg,
)
from encdec_batch.read.dicom.colour import rgb_of_ybr
from encdec_batch.read.dicom.image import DicomImage
from encdec_batch.read.dicom.jpeg2000 import bare_jpeg2000, read_jpeg2000
from encdec_batch.read.dicom.syntax import TransferSyntax

_RLE_HEADER_BYTES = 64


def decode_frame(data: bytes, image: DicomImage, syntax: TransferSyntax) -> NDArray[np.generic]:
    """Stored values of a frame, (samples, rows, columns), of `image.dtype`; colours are RGB.

    Args:
        data: its fragments, joined.
        image: what the header says of it.
        syntax: how it is encoded.

    Raises:
        BadCodestream: it is not what the header says.
        RuntimeError, ValueError, ...: the decoder fails (see `MALFORMED`).
    """
    if syntax.codec == "rle":
        return _rgb(_rle(data, image), image)
    if syntax.codec == "jpeg2000":
        data = bare_jpeg2000(data)
        claims = read_jpeg2000(data)
        _check(claims, image)
        decoded = imagecodecs.jpeg2k_decode(data, numthreads=1)
    elif syntax.codec == "jpegls":
        claims = read_jpeg(data)
        _check(claims, image)
        decoded = imagecodecs.jpegls_decode(data)
    else:
        claims = read_jpeg(data)
        _check(claims, image)
        return _jpeg(data, claims, image)
    return _rgb(_stored(decoded, claims, image), image)


def _check(claims: Codestream, image: DicomImage) -> None:
    if (claims.height, claims.width) != (image.rows, image.columns):
        raise BadCodestream(
            f"it has {claims.width:,} x {claims.height:,} px, and its header says {image.columns:,} x {image.rows:,}"
        )
    if claims.components != image.samples:
        raise BadCodestream(f"it has {claims.components} components, and its header says {image.samples}")
    if claims.precision > 8 * image.dtype.itemsize:
        raise BadCodestream(f"it has {claims.precision} bits, and its header says {8 * image.dtype.itemsize}")


def _jpeg(data: bytes, claims: Codestream, image: DicomImage) -> NDArray[np.generic]:
    # What the codestream says of its colours goes before what the header says: headers are often copied from before
    # the compression. A grey image has none.
    is_ybr = image.samples == 3 and (claims.colour or image.photometric[:3].lower()) == "ybr"
    if is_ybr and not claims.lossless:
        decoded = imagecodecs.jpeg8_decode(data, colorspace="YCBCR", outcolorspace="RGB")
        return _stored(decoded, claims, image)
    if image.samples == 3:
        decoded = imagecodecs.jpeg8_decode(data, colorspace="RGB", outcolorspace="RGB")
    else:
        decoded = imagecodecs.jpeg8_decode(data)
    stored = _stored(decoded, claims, image)
    return rgb_of_ybr(stored) if is_ybr else stored


def _stored(decoded: NDArray[Any], claims: Codestream, image: DicomImage) -> NDArray[np.generic]:
    """What a decoder gave, in the type and with the sign that the header says."""
    shape = (image.rows, image.columns) if image.samples == 1 else (image.rows, image.columns, image.samples)
    if decoded.shape != shape or decoded.dtype.kind not in "iu" or decoded.dtype.itemsize > image.dtype.itemsize:
        raise BadCodestream(f"it decodes to {decoded.dtype.name} of {decoded.shape}")
    if image.bits is None:
        raise BadCodestream("its pixels are no integers")
    if claims.signed == image.bits.signed:
        found = decoded.astype(image.dtype, copy=False)
    else:
        # A sign that was encoded as if it were the leading bit of a number, or the other way round.
        cells = decoded.astype(image.bits.cell)
        found = image.bits.of_precision(claims.precision).values(cells)
    return found[None] if image.samples == 1 else np.moveaxis(found, -1, 0)


def _rle(data: bytes, image: DicomImage) -> NDArray[np.generic]:
    """DICOM PS3.5, annex G: a segment for each byte of a pixel, the leading byte first."""
    itemsize = image.dtype.itemsize
    segments = int.from_bytes(data[:4], "little")
    if len(data) < _RLE_HEADER_BYTES or segments != image.samples * itemsize:
        raise BadCodestream(f"it has {segments:,} segments, and its header says {image.samples * itemsize}")
    pixels = image.rows * image.columns
    size = -(-pixels // 8) if image.is_packed else pixels * image.samples * itemsize
    # A longer stream is an error for the decoder.
    decoded = imagecodecs.dicomrle_decode(data, f"<u{itemsize}", out=size)
    if len(decoded) != size:
        raise BadCodestream(f"it decodes to {len(decoded):,} bytes, and its header says {size:,}")
    if image.is_packed:
        packed = np.frombuffer(decoded, np.uint8)
        return np.unpackbits(packed, count=pixels, bitorder="little").reshape(1, image.rows, image.columns)
    cells = np.frombuffer(decoded, f"<u{itemsize}").reshape(image.samples, image.rows, image.columns)
    bits: BitField | None = image.bits
    if bits is None:
        raise BadCodestream("its pixels are no integers")
    return bits.values(cells)


def _rgb(stored_SHW: NDArray[np.generic], image: DicomImage) -> NDArray[np.generic]:
    return rgb_of_ybr(stored_SHW) if image.photometric.startswith("YBR_FULL") else stored_SHW
