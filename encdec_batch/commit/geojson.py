"""Outlines of classes as GeoJSON, in the form that QuPath reads and writes.

A feature is a polygon of connected pixels (that share an edge) of one class, with holes. Coordinates are pixels of the
slide's finest level, from its upper left corner, y downwards, whatever pixels the job read or made. That is no GeoJSON
of the Earth, whose coordinates are longitude and latitude: a scene with a place there has none (`refuse_outlines`).

Source: RFC 7946; QuPath 0.4 and later: `objectType`, and `classification` of `name` and `color`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from encdec_batch.commit.outline.region import Polygon, Ring
from encdec_batch.commit.outline.simplify import simplified
from encdec_batch.commit.outline.trace import Tracer
from encdec_batch.commit.parts import SceneTiles
from encdec_batch.plan.products import outlined_ids
from encdec_batch.spec.output import GeojsonFile
from encdec_batch.write.sink import CountingSink, Sink, Written

DECIMALS = 3
"""Of a coordinate: thousandths of a pixel."""
_PIECE_BYTES = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelSize:
    """Height and width of a pixel of the mask, in pixels of the finest level."""

    height: float
    width: float


def write_geojson(sink: Sink, tiles: SceneTiles, file: GeojsonFile, size: PixelSize) -> Written:
    """Writes the outlines; memory holds a row of tiles, and what is open there.

    Args:
        sink: takes the file.
        tiles: the mask.
        file: which classes, and what becomes of small regions and of points.
        size: of a pixel.

    Raises:
        PartMissing: names every part that is gone or damaged.
    """
    counting = CountingSink(sink)
    waiting = bytearray(b'{"type":"FeatureCollection","features":[')
    tracers = {number: Tracer(tiles.shapes[0][1]) for number in outlined_ids(tiles.product, file.classes)}
    separator = b"\n"
    for number, polygon in _polygons(tiles, tracers):
        if polygon.area < file.min_area_px:
            continue
        waiting += separator + feature(polygon, _properties(tiles, number, file), file.tolerance_px, size)
        separator = b",\n"
        if len(waiting) >= _PIECE_BYTES:
            counting.write(bytes(waiting))
            waiting.clear()
    cuts = {str(number): tracer.cuts for number, tracer in tracers.items() if tracer.cuts}
    # Rows of the mask at which outlines of a class, by its id, were closed for want of memory.
    about = b',"encdec":' + _json({"cut_at_rows": cuts}) if cuts else b""
    counting.write(bytes(waiting) + b"\n]" + about + b"}\n")
    return counting.written


def feature(polygon: Polygon, properties: dict[str, object], tolerance: float, size: PixelSize) -> bytes:
    """One polygon, on one line."""
    rings = [_coordinates(simplified(ring, tolerance), size) for ring in polygon.rings]
    geometry = {"type": "Polygon", "coordinates": rings}
    return _json({"type": "Feature", "geometry": geometry, "properties": properties})


def _polygons(tiles: SceneTiles, tracers: dict[int, Tracer]) -> Iterator[tuple[int, Polygon]]:
    """Class ids and outlines, as they are closed from top to bottom."""
    for strip in tiles.pixel_rows(0):
        for number, tracer in tracers.items():
            for polygon in tracer.push(strip[0] == number):
                yield number, polygon
    for number, tracer in tracers.items():
        for polygon in tracer.close():
            yield number, polygon


def _properties(tiles: SceneTiles, number: int, file: GeojsonFile) -> dict[str, object]:
    place = tiles.product.class_ids.index(number)
    name, color = tiles.product.class_names[place], list(tiles.product.class_colors[place])
    return {"objectType": file.objects, "classification": {"name": name, "color": color}}


def _coordinates(ring: Ring, size: PixelSize) -> list[list[float]]:
    """Closed, as GeoJSON wants it."""
    closed = np.concatenate([ring, ring[:1]])
    if size.width == int(size.width) and size.height == int(size.height):
        whole: list[list[float]] = (closed * (int(size.width), int(size.height))).tolist()
        return whole
    found: list[list[float]] = np.round(closed * (size.width, size.height), DECIMALS).tolist()
    return found


def _json(value: object) -> bytes:
    # Names of classes as they are: readers take UTF-8.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
