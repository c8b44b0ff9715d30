"""What the derived tables and the report say of a scene; it lies in the marker, so that they can be made anew."""

from __future__ import annotations

from functools import lru_cache
from math import isfinite

from pydantic import JsonValue
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.warp import transform_bounds

from encdec_batch.commit.area import class_areas
from encdec_batch.commit.footprint import on_the_map, outlines
from encdec_batch.commit.geo import Geo, geo_of
from encdec_batch.commit.parts import Parts
from encdec_batch.errors import UnsupportedScene
from encdec_batch.plan.recipe import Recipe
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.window import Window
from encdec_batch.write.statistics import add

OUTLINE_POINTS = 2
"""Of each side of a scene: its outline is for maps, and lies in every marker."""


def scene_summary(scene: ScenePlan, recipe: Recipe, parts: Parts) -> dict[str, JsonValue]:
    """Size, place and content of a scene: a function of its input and of its parts alone."""
    indexes = parts.indexes
    grid = scene.grid()
    height, width = grid.output_shape
    main, geo = recipe.products[0], geo_of(scene.header, scene.geometry.scale)
    summary: dict[str, JsonValue] = {
        "height": height,
        "width": width,
        "input_pixels": scene.num_pixels,
        "bands": list(scene.bands),
        "blocks": grid.num_blocks,
        "core": scene.tiling.core,
        "halo": recipe.halo_pixels,
        "tile": list(grid.tile_shape),
        # A scene of one tile is one plain pass, whatever the job does elsewhere.
        "exact": recipe.exact or grid.num_tiles == 1,
        "precision": recipe.resolved.precision,
        "device_kind": recipe.resolved.device_kind,
        "model": f"{recipe.card.name} {recipe.card.version}",
        "package": recipe.order.package_digest,
        "bounds_wgs84": _bounds(geo, height, width),
        **_place(geo, height, width),
    }
    measured = [(index.window, index.statistics[main.name]) for index in indexes if main.name in index.statistics]
    if measured:
        total = add(statistics for _, statistics in measured)
        summary["valid_pixels"] = total.valid_pixels
        if main.kind == "classes":
            summary["class_pixels"] = dict(zip(main.class_names, total.class_counts, strict=True))
            areas = class_areas([(window, said.class_counts) for window, said in measured], geo)
            summary["class_area_m2"] = None if areas is None else dict(zip(main.class_names, areas, strict=True))
    return summary


def _place(geo: Geo, height: int, width: int) -> dict[str, JsonValue]:
    """CRS, transform and outline, as catalogues want them; nothing for a scene without a place."""
    if geo.crs_wkt is None or geo.transform is None:
        return {}
    try:
        place: dict[str, JsonValue] = {"crs": _name_of(geo.crs_wkt), "transform": list(geo.transform)}
        [ring] = outlines([Window(0, 0, width, height)], geo, points=OUTLINE_POINTS)
    except (CRSError, UnsupportedScene):
        return {}  # files that need the CRS refuse the scene; to others it is no matter
    if ring is not None:
        # 7 decimals are a centimetre.
        place["outline_wgs84"] = [part.round(7).tolist() for part in on_the_map(ring)[1]]
    return place


@lru_cache(256)
def _name_of(wkt: str) -> str:
    """`EPSG:32633` where a CRS is exactly that, else its WKT of 2019."""
    crs = CRS.from_wkt(wkt)
    authority = crs.to_authority(confidence_threshold=100)
    return ":".join(authority) if authority else str(crs.to_wkt(version="WKT2_2019"))


def _bounds(geo: Geo, height: int, width: int) -> list[JsonValue] | None:
    """West, south, east, north in degrees; None without a transform, or where the CRS does not reach WGS84."""
    if geo.crs_wkt is None or geo.transform is None:
        return None
    a, b, c, d, e, f = geo.transform
    xs = [c + a * col + b * row for col in (0, width) for row in (0, height)]
    ys = [f + d * col + e * row for col in (0, width) for row in (0, height)]
    try:
        west, south, east, north = transform_bounds(
            CRS.from_wkt(geo.crs_wkt), "EPSG:4326", min(xs), min(ys), max(xs), max(ys)
        )
    except (CRSError, RasterioError):
        return None
    return [west, south, east, north] if all(map(isfinite, (west, south, east, north))) else None
