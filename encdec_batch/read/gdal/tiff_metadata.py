"""What a TIFF says beside its pixels: GDAL's XML with scales, offsets and names, and the place on the ground."""

from __future__ import annotations

from xml.parsers import expat

GDAL_METADATA = 42112
LARGEST = {
    # GDAL takes time with the square of the number of its items: 250,000 of them more than a minute.
    GDAL_METADATA: 1 << 20,
    # Ground control points, 48 bytes each: all of them go into the plan and to every worker.
    33922: 48 * 10_000,
    # Numbers and names of the coordinate system, which go there too.
    34735: 1 << 16,
    34736: 1 << 16,
    34737: 1 << 16,
    42113: 1 << 10,
}
"""Bytes of a tag's value at most."""


def metadata_fault(data: bytes) -> str | None:
    """What is wrong with GDAL's XML, None where nothing is.

    GDAL goes on without it: a file whose XML is damaged would have no scales and offsets, and nobody would be told (but
    the terminal, in words that quote the damage). Text that is no UTF-8 is Latin-1, as old writers meant it.
    """
    text = data.rstrip(b"\0")
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        return "it declares a document type"
    try:
        text.decode()
        encoding = "utf-8"
    except UnicodeDecodeError:
        encoding = "latin-1"
    try:
        expat.ParserCreate(encoding).Parse(text, True)
    except expat.ExpatError as error:
        return f"it is no XML ({error})"
    return None
