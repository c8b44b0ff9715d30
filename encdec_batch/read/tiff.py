"""What a TIFF is: a slide or a stack of microscopy, by what its first directory says; anything else is read by GDAL."""

from __future__ import annotations

from typing import Literal

from encdec_batch.errors import HeaderTooLarge
from encdec_batch.read.contents import ONE_IMAGE, Contents
from encdec_batch.read.gdal.geotiff import open_geotiff
from encdec_batch.read.options import ReadOptions
from encdec_batch.read.plane import Plane
from encdec_batch.read.ranges import PinnedObject
from encdec_batch.read.reader import Reader
from encdec_batch.read.slide.directory import MALFORMED, Directory, first_directory

Kind = Literal["plain", "aperio", "ome", "philips", "vendor"]

_DESCRIPTION, _SOFTWARE, _XMP, _GEO_KEYS, _NDPI = 270, 305, 700, 34735, 65420
_ENDS = 32
"""Bytes of a text that are looked at, at either end."""


def open_tiff(source: PinnedObject, plane: Plane, options: ReadOptions) -> Reader:
    """A reader of one plane of a TIFF. Raises as `open_reader`."""
    kind = tiff_kind(source)
    if kind == "plain":
        return open_geotiff(source)
    if kind == "vendor":
        from encdec_batch.read.slide.vendor import open_vendor_slide

        return open_vendor_slide(source, plane, options)
    from encdec_batch.read.slide.open import open_slide

    return open_slide(source, kind, plane, options)


def contents_of_tiff(source: PinnedObject, options: ReadOptions) -> Contents:  # noqa: ARG001  (what a Format wants)
    """The planes of a TIFF. Raises as `open_reader`."""
    kind = tiff_kind(source)
    if kind != "ome":
        return ONE_IMAGE if kind == "plain" else Contents(medical=True)
    from encdec_batch.read.slide.ome import contents_of_ome

    return contents_of_ome(source)


def tiff_kind(source: PinnedObject) -> Kind:
    """Who wrote it, as far as it matters; `vendor`: a slide that openslide reads and we do not.

    What has a place on the ground is plain, whatever its description says; so is what has no readable directory.
    """
    try:
        directory = first_directory(source)
        return "plain" if _GEO_KEYS in directory.tags else _kind(directory)
    except HeaderTooLarge:
        return "plain"
    except MALFORMED:
        return "plain"


def _kind(directory: Directory) -> Kind:
    begin, end = _ends(directory, _DESCRIPTION)
    software = _ends(directory, _SOFTWARE)[0]
    if begin.startswith(b"Aperio "):
        return "aperio"
    if end.endswith(b"OME>"):
        return "ome"
    if software.startswith(b"Philips") and end.endswith(b"</DataObject>"):
        return "philips"
    ventana = _XMP in directory.tags and (b"Ventana" in software or software.startswith(b"ScanOutputManager"))
    return "vendor" if _NDPI in directory.tags or end.endswith(b"</scn>") or ventana else "plain"


def _ends(directory: Directory, code: int) -> tuple[bytes, bytes]:
    tag = directory.tags.get(code)
    if tag is None:
        return b"", b""
    return tag.head(_ENDS), tag.tail(_ENDS).rstrip(b"\0 \r\n\t")
