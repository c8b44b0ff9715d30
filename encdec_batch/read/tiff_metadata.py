"""GDAL's XML within a TIFF (tag 42112): scales, offsets, names of bands."""

from __future__ import annotations

from xml.parsers import expat  # noqa: S407  (no document type is let in, so there are no entities to expand)

GDAL_METADATA = 42112


def metadata_fault(data: bytes) -> str | None:
    """What is wrong with it that GDAL would say in words which cannot be passed on; None for all else.

    Text that is UTF-8 is left to GDAL. Other text is read as Latin-1, as old writers meant it, and must be XML: of what
    is not, GDAL quotes bytes, which rasterio can only print to the terminal.
    """
    text = data.rstrip(b"\0")
    try:
        text.decode()
    except UnicodeDecodeError:
        pass
    else:
        return None
    if b"<!" in text:
        return "it declares a document type, or has a comment"
    try:
        expat.ParserCreate("latin-1").Parse(text, True)  # noqa: FBT003
    except expat.ExpatError as error:
        return f"it is no XML ({error})"
    return None
