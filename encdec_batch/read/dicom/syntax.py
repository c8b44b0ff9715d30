"""Transfer syntaxes: how the elements of a file and its pixels are encoded (DICOM PS3.5, section 10 and annex A)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Codec = Literal["native", "rle", "jpeg", "jpegls", "jpeg2000"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSyntax:
    """One that is read."""

    codec: Codec
    """Of a frame."""
    name: str
    """Of the compression, for people."""
    implicit: bool = False
    """Elements do not say their types."""
    big_endian: bool = False
    deflated: bool = False
    """All that follows the file's own header is one stream (RFC 1951)."""


SYNTAXES: dict[str, TransferSyntax] = {
    "1.2.840.10008.1.2": TransferSyntax(codec="native", name="NONE", implicit=True),
    "1.2.840.10008.1.2.1": TransferSyntax(codec="native", name="NONE"),
    "1.2.840.10008.1.2.1.99": TransferSyntax(codec="native", name="DEFLATE", deflated=True),
    "1.2.840.10008.1.2.2": TransferSyntax(codec="native", name="NONE", big_endian=True),
    "1.2.840.10008.1.2.4.50": TransferSyntax(codec="jpeg", name="JPEG"),
    "1.2.840.10008.1.2.4.51": TransferSyntax(codec="jpeg", name="JPEG"),
    "1.2.840.10008.1.2.4.57": TransferSyntax(codec="jpeg", name="JPEG lossless"),
    "1.2.840.10008.1.2.4.70": TransferSyntax(codec="jpeg", name="JPEG lossless"),
    "1.2.840.10008.1.2.4.80": TransferSyntax(codec="jpegls", name="JPEG-LS"),
    "1.2.840.10008.1.2.4.81": TransferSyntax(codec="jpegls", name="JPEG-LS"),
    "1.2.840.10008.1.2.4.90": TransferSyntax(codec="jpeg2000", name="JPEG 2000"),
    "1.2.840.10008.1.2.4.91": TransferSyntax(codec="jpeg2000", name="JPEG 2000"),
    "1.2.840.10008.1.2.4.201": TransferSyntax(codec="jpeg2000", name="HTJ2K"),
    "1.2.840.10008.1.2.4.202": TransferSyntax(codec="jpeg2000", name="HTJ2K"),
    "1.2.840.10008.1.2.4.203": TransferSyntax(codec="jpeg2000", name="HTJ2K"),
    "1.2.840.10008.1.2.5": TransferSyntax(codec="rle", name="RLE"),
}
"""By UID: PS3.6, table A-1."""
