"""Where a scene lies, from what its marker says: GeoJSON for catalogues, WKB for tables, in WGS 84."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BBox = tuple[float, float, float, float]
"""West, south, east, north in degrees; west is the larger where it crosses the antimeridian."""
Rings = Sequence[Sequence[Sequence[float]]]
"""Closed rings of longitude and latitude, a polygon each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Of one scene."""

    bbox: BBox
    rings: Rings

    @property
    def geojson(self) -> dict[str, Any]:
        """Polygon, or MultiPolygon where it crosses the antimeridian."""
        if len(self.rings) == 1:
            return {"type": "Polygon", "coordinates": [self.rings[0]]}
        return {"type": "MultiPolygon", "coordinates": [[ring] for ring in self.rings]}

    @property
    def wkb(self) -> bytes:
        """The same."""
        polygons = [_polygon(ring) for ring in self.rings]
        return polygons[0] if len(polygons) == 1 else struct.pack("<BII", 1, 6, len(polygons)) + b"".join(polygons)


def place_of(summary: Mapping[str, Any]) -> Place | None:
    """Of the scene that a marker is of; None without a place. Markers of earlier versions know only the bounds."""
    bounds, outline = summary.get("bounds_wgs84"), summary.get("outline_wgs84")
    if isinstance(outline, list) and outline:
        return Place(bbox=_bbox(bounds) or _around(outline), rings=outline)
    bbox = _bbox(bounds)
    return None if bbox is None else Place(bbox=bbox, rings=_rectangles(bbox))


def _bbox(bounds: object) -> BBox | None:
    if not isinstance(bounds, list):
        return None
    west, south, east, north = map(float, bounds)
    return west, south, east, north


def _around(rings: Rings) -> BBox:
    lon, lat = zip(*(point for ring in rings for point in ring), strict=True)
    return min(lon), min(lat), max(lon), max(lat)


def _rectangles(bbox: BBox) -> Rings:
    west, south, east, north = bbox
    spans = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    return [[(w, south), (e, south), (e, north), (w, north), (w, south)] for w, e in spans]


def _polygon(ring: Sequence[Sequence[float]]) -> bytes:
    return struct.pack(f"<BIII{2 * len(ring)}d", 1, 3, 1, len(ring), *(value for point in ring for value in point))
