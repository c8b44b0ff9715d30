"""The place of a scene's output, and the TIFF tags that say it.

GDAL itself writes the tags, into a file of one pixel that never leaves memory; they are copied from it
byte by byte. So CRS, transform, ground control points, nodata, palette and descriptions mean to every
reader what GDAL means by them, for whichever CRS it knows.
"""

from __future__ import annotations

import io
import json
import struct
import warnings
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TypeGuard

import numpy as np
import rasterio
import tifffile
from affine import Affine
from rasterio.control import GroundControlPoint as RasterioPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import CRSError, NotGeoreferencedWarning

from encdec_batch.errors import UnsupportedScene
from encdec_batch.plan.product import Product
from encdec_batch.read.header import GroundControlPoint, SceneHeader
from encdec_batch.write.codec import Codec, predictor
from encdec_batch.write.overview import TILE
from encdec_batch.write.tiff import Tag

_PLACED_BY_US = frozenset({254, 256, 257, 324, 325})
"""NewSubfileType, ImageWidth, ImageLength, TileOffsets, TileByteCounts: they differ from level to level."""
_PIXEL_SCALE, _TIE_POINT = 33550, 33922
_FULL_LEVEL_ONLY = frozenset({_PIXEL_SCALE, _TIE_POINT, 34264, 34735, 34736, 34737, 42112, 50844})
"""Geo tags and GDAL's metadata; an overview has its place from the full level. Palette and nodata are on each."""

_WARNINGS = Lock()
"""Python's filters of warnings belong to the process, and the files of a scene are written by several threads."""

MANY_SORTS = 1000
_NEEDS_WORDS: dict[tuple[str | None, bool, bool], bool] = {}
"""CRS, no transform, control points: whether GeoTIFF says less than that. Guarded by `_WARNINGS`."""


Transform = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Geo:
    """Where output pixels lie; everything None or empty for a scene without georeference."""

    crs_wkt: str | None = None
    """Of the transform, or of the control points where there are some."""
    transform: Transform | None = None
    """Output pixel to world, in the order of affine.Affine."""
    gcps: tuple[GroundControlPoint, ...] = ()
    """In output pixels; where there are some, the transform isn't written."""


def geo_of(header: SceneHeader, scale: int) -> Geo:
    """The place of an output of `scale` pixels per input pixel."""
    if header.gcps:
        points = tuple(
            GroundControlPoint(row=p.row * scale, col=p.col * scale, x=p.x, y=p.y, z=p.z) for p in header.gcps
        )
        return Geo(crs_wkt=header.gcps_crs_wkt, gcps=points)
    if header.transform is None:
        return Geo(crs_wkt=header.crs_wkt)
    a, b, c, d, e, f = header.transform
    return Geo(crs_wkt=header.crs_wkt, transform=(a / scale, b / scale, c, d / scale, e / scale, f))


def image_tags(product: Product, geo: Geo, codec: Codec) -> tuple[tuple[Tag, ...], tuple[Tag, ...]]:
    """All tags of the full level, and of an overview, but those of size and tile places.

    Raises:
        UnsupportedScene: GDAL does not know the CRS.
    """
    if geo.gcps or not _is_north_up(geo.transform):
        tags = _tags(product, geo, codec)
    else:
        # The place is numbers alone then; all else is the same for every scene of a CRS.
        tags = tuple(_moved(tag, geo.transform) for tag in _north_up_tags(product, geo.crs_wkt, codec))
    return tags, tuple(tag for tag in tags if tag.code not in _FULL_LEVEL_ONLY)


def _is_north_up(transform: Transform | None) -> TypeGuard[Transform]:
    if transform is None:
        return False
    a, b, _, d, e, _ = transform
    return a > 0 and e < 0 and b == d == 0


@lru_cache(256)
def _north_up_tags(product: Product, crs_wkt: str | None, codec: Codec) -> tuple[Tag, ...]:
    """Of a scene somewhere."""
    return _tags(product, Geo(crs_wkt=crs_wkt, transform=(2.0, 0.0, 3.0, 0.0, -5.0, 7.0)), codec)


def _moved(tag: Tag, transform: Transform) -> Tag:
    """The tag of a scene that lies elsewhere."""
    a, _, c, _, e, f = transform
    numbers = {_PIXEL_SCALE: (a, -e, 0.0), _TIE_POINT: (0.0, 0.0, 0.0, c, f, 0.0)}.get(tag.code)
    return tag if numbers is None else tag._replace(data=struct.pack(f"<{len(numbers)}d", *numbers))


def _tags(product: Product, geo: Geo, codec: Codec) -> tuple[Tag, ...]:
    """As GDAL writes them."""
    data = _one_pixel_file(product, geo, codec)
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page = tiff.pages.first
        return tuple(
            Tag(tag.code, int(tag.dtype), tag.count, data[tag.valueoffset : tag.valueoffset + tag.valuebytecount])
            for tag in page.tags
            if tag.code not in _PLACED_BY_US
        )


def known_crs(wkt: str | None) -> CRS | None:
    """The CRS of a WKT text.

    Raises:
        UnsupportedScene: GDAL does not know it.
    """
    if not wkt:
        return None
    try:
        return CRS.from_wkt(wkt)
    except CRSError as error:
        raise UnsupportedScene(
            f"a CRS that GDAL {rasterio.__gdal_version__} does not know: {wkt[:80]}",
            hint="assign the scene a CRS that it knows, or none",
        ) from error


def _one_pixel_file(product: Product, geo: Geo, codec: Codec) -> bytes:
    crs = known_crs(geo.crs_wkt)
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        if crs is None:
            return _write(product, geo, codec, crs, {})
        # GeoTIFF has no keys for some CRSs (a rotated pole): the words are kept beside what GDAL could say. Found out
        # once for each CRS: reading the file back costs five times what writing it does.
        sort = geo.crs_wkt, geo.transform is None, bool(geo.gcps)
        if sort not in _NEEDS_WORDS:
            if len(_NEEDS_WORDS) == MANY_SORTS:
                _NEEDS_WORDS.clear()
            _NEEDS_WORDS[sort] = _crs_in(_write(product, geo, codec, crs, {})) != crs
        return _write(product, geo, codec, crs, {"CRS_WKT": geo.crs_wkt or ""} if _NEEDS_WORDS[sort] else {})


def _write(product: Product, geo: Geo, codec: Codec, crs: CRS | None, tags: dict[str, str]) -> bytes:
    place: dict[str, object] = {}
    if not geo.gcps:
        place["crs"] = crs
        if geo.transform is not None:
            place["transform"] = Affine(*geo.transform)
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=1,
            height=1,
            count=product.num_bands,
            dtype=product.dtype,
            nodata=product.nodata,
            tiled=True,
            blockxsize=TILE,
            blockysize=TILE,
            interleave="pixel",
            compress=codec.name,
            predictor=predictor(product),
            photometric="RGB" if _is_rgb(product) else "MINISBLACK",
            # GDAL takes a fourth band for alpha unless told.
            alpha="NO",
            bigtiff="NO",
            endianness="LITTLE",
            **place,
        ) as file:
            if geo.gcps:
                points = [RasterioPoint(row=p.row, col=p.col, x=p.x, y=p.y, z=p.z) for p in geo.gcps]
                file.gcps = (points, crs)
            file.update_tags(**tags)
            _describe(file, product)
        return bytes(memory.read())


def _describe(file: rasterio.io.DatasetWriter, product: Product) -> None:
    for band, name in enumerate(product.band_names, 1):
        file.set_band_description(band, name)
    if (product.scale, product.offset) != (1.0, 0.0):
        file.scales, file.offsets = (product.scale,) * product.num_bands, (product.offset,) * product.num_bands
    if product.kind != "classes":
        return
    names = {str(number): name for number, name in zip(product.class_ids, product.class_names, strict=True)}
    file.update_tags(1, CLASS_NAMES=json.dumps(names, ensure_ascii=False))
    colors = {number: (*color, 255) for number, color in zip(product.class_ids, product.class_colors, strict=True)}
    # A palette of 16 bits is 384 KiB in every directory.
    if colors and np.dtype(product.dtype).itemsize == 1:
        if product.nodata is not None:
            colors[int(product.nodata)] = (0, 0, 0, 0)
        file.write_colormap(1, colors)
        file.colorinterp = (ColorInterp.palette,)


def _is_rgb(product: Product) -> bool:
    return product.kind == "image" and product.num_bands == 3 and np.dtype(product.dtype).kind == "u"


def _crs_in(data: bytes) -> CRS | None:
    with rasterio.MemoryFile(data) as memory, memory.open() as file:
        return file.crs or file.gcps[1]
