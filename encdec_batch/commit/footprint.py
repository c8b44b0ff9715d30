"""Where cores lie: bounds in the scene's CRS, outline in WGS 84."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.warp import transform

from encdec_batch.commit.geo import Geo, known_crs
from encdec_batch.window import Window

Bounds = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax."""

_POINTS_A_SIDE = 16
"""A straight side of a core is a curve in other CRSs."""
_WGS84 = CRS.from_epsg(4326)
Ring = NDArray[np.float64]
"""(points, 2), closed: the last is the first, but where it goes round a pole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """An outline in longitude and latitude."""

    bounds: Bounds
    """They cover the outline; one that crosses the antimeridian spans all longitudes."""
    wkb: bytes
    """Polygon, or MultiPolygon where it crosses the antimeridian."""


def has_place(geo: Geo) -> bool:
    """Whether cores have an outline: a transform into a CRS of the Earth. Control points alone give none."""
    crs = known_crs(geo.crs_wkt)
    return crs is not None and geo.transform is not None and bool(crs.is_geographic or crs.is_projected)


def native_bounds(window: Window, geo: Geo) -> Bounds | None:
    """Bounds in the scene's CRS, or in whatever units its transform has."""
    if geo.transform is None:
        return None
    xs, ys = _to_world(_outline(window, 1), geo)
    return float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())


def footprints(windows: Sequence[Window], geo: Geo) -> list[Footprint | None]:
    """One per window; None without a place, and for windows outside what the CRS can map."""
    return [None if ring is None else _footprint(ring) for ring in outlines(windows, geo)]


def outlines(windows: Sequence[Window], geo: Geo, *, points: int = _POINTS_A_SIDE) -> list[Ring | None]:
    """Longitudes and latitudes of each window's border, in degrees; longitudes run on past 180.

    None without a place, and for windows outside what the CRS can map. `points` of each side are mapped.
    """
    if not windows or not has_place(geo):
        return [None] * len(windows)
    rings = [_outline(window, points) for window in windows]
    mapped = _to_wgs84(np.concatenate(rings), geo)
    # One point that cannot be mapped fails them all: then each window is tried alone.
    alone = [_to_wgs84(ring, geo) for ring in rings] if mapped is None else np.split(mapped, len(rings))
    return [None if ring is None else _without_jumps(ring) for ring in alone]


def _without_jumps(ring: Ring) -> Ring:
    return np.stack([np.unwrap(ring[:, 0], period=360), ring[:, 1]], axis=1)


def _outline(window: Window, points: int) -> Ring:
    """The closed border of a window, (points, 2) of column and row."""
    share = np.arange(points) / points
    left, right, top, bottom = window.col_off, window.col_stop, window.row_off, window.row_stop
    corners = np.array([(left, top), (left, bottom), (right, bottom), (right, top), (left, top)], np.float64)
    sides = [start + share[:, None] * (end - start) for start, end in pairwise(corners)]
    return np.concatenate([*sides, corners[-1:]])


def _to_world(ring: Ring, geo: Geo) -> tuple[Ring, Ring]:
    if geo.transform is None:
        raise ValueError("a scene without a transform has no world")
    a, b, c, d, e, f = Affine(*geo.transform)[:6]
    return a * ring[:, 0] + b * ring[:, 1] + c, d * ring[:, 0] + e * ring[:, 1] + f


def _to_wgs84(ring: Ring, geo: Geo) -> Ring | None:
    xs, ys = _to_world(ring, geo)
    try:
        lon, lat = transform(known_crs(geo.crs_wkt), _WGS84, xs, ys)[:2]
    except CPLE_BaseError:
        return None
    found = np.stack([np.asarray(lon, np.float64), np.asarray(lat, np.float64)], axis=1)
    return found if np.isfinite(found).all() else None


def _footprint(ring: Ring) -> Footprint:
    bounds, polygons = on_the_map(ring)
    if len(polygons) == 1:
        return Footprint(bounds=bounds, wkb=_polygon(polygons[0]))
    parts = struct.pack("<BII", 1, 6, len(polygons)) + b"".join(map(_polygon, polygons))
    return Footprint(bounds=bounds, wkb=parts)


def on_the_map(ring: Ring) -> tuple[Bounds, list[Ring]]:
    """Bounds of an outline and its closed rings, all within -180 to 180 degrees of longitude: two rings where it
    crosses the antimeridian.
    """
    lon, lat = ring[:, 0], ring[:, 1]
    south, north = float(lat.min()), float(lat.max())
    if abs(lon[-1] - lon[0]) > 180:
        # Round the Earth without closing: a pole lies inside.
        south, north = (south, 90.0) if lat.mean() > 0 else (-90.0, north)
        cap = np.array([(-180, south), (180, south), (180, north), (-180, north), (-180, south)], np.float64)
        return (-180.0, south, 180.0, north), [cap]
    lon = lon - 360 * np.floor((lon.min() + 180) / 360)
    whole = np.stack([lon, lat], axis=1)
    if lon.max() <= 180:
        return (float(lon.min()), south, float(lon.max()), north), [whole]
    return (-180.0, south, 180.0, north), [_cut(whole, keep_below=True), _cut(whole, keep_below=False) - (360, 0)]


def _cut(ring: Ring, *, keep_below: bool) -> Ring:
    """The part of a ring on one side of longitude 180 (Sutherland and Hodgman 1974, one edge)."""
    kept: list[Ring] = []
    for start, end in pairwise(ring):
        if (start[0] <= 180) == keep_below or start[0] == 180:
            kept.append(start)
        if (start[0] - 180) * (end[0] - 180) < 0:
            share = (180 - start[0]) / (end[0] - start[0])
            kept.append(np.array([180.0, start[1] + share * (end[1] - start[1])]))
    return np.array([*kept, kept[0]])


def _polygon(ring: Ring) -> bytes:
    return struct.pack("<BIII", 1, 3, 1, len(ring)) + ring.astype("<f8").tobytes()
