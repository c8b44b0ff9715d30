"""A row of scenes.parquet: what a marker says, as GeoParquet 1.1 and stac-geoparquet want it.

Sources: geoparquet.org/releases/v1.1.0, and the columns that STAC's GeoParquet specification asks for.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from encdec_batch.commit.marker import Marker
from encdec_batch.report.place import place_of
from encdec_batch.report.stac import OUTPUT_NAMES, PROJECTION, STAC_VERSION, assets_of
from encdec_batch.store.object import ObjectInfo

_BBOX = pa.struct([(name, pa.float64()) for name in ("xmin", "ymin", "xmax", "ymax")])
_ASSET = pa.struct(
    [("href", pa.string()), ("type", pa.string()), ("title", pa.string()), ("roles", pa.list_(pa.string()))]
)
_LINK = pa.struct([("rel", pa.string()), ("href", pa.string()), ("type", pa.string())])
_GEO = {
    "version": "1.1.0",
    "primary_column": "geometry",
    "columns": {
        "geometry": {
            "encoding": "WKB",
            "geometry_types": ["Polygon", "MultiPolygon"],
            # No `crs`: longitude and latitude of WGS 84, in this order.
            "covering": {"bbox": {name: ["bbox", name] for name in ("xmin", "ymin", "xmax", "ymax")}},
        }
    },
}
SCENES = pa.schema(
    [
        ("scene_id", pa.string()),
        ("uri", pa.string()),
        ("etag", pa.string()),
        ("generation", pa.int64()),
        ("scene_key", pa.string()),
        ("marker_etag", pa.string()),
        ("committed", pa.timestamp("ms", "UTC")),
        ("height", pa.int64()),
        ("width", pa.int64()),
        ("bbox", _BBOX),
        ("valid_pixels", pa.int64()),
        ("class_pixels", pa.map_(pa.string(), pa.int64())),
        ("class_area_m2", pa.map_(pa.string(), pa.float64())),
        ("certificate", pa.string()),
        ("check_windows", pa.int64()),
        ("check_pixels", pa.int64()),
        ("check_differing", pa.int64()),
        ("check_worst", pa.float64()),
        ("check_tolerance", pa.float64()),
        ("outputs", pa.map_(pa.string(), pa.string())),
        ("marker", pa.string()),
        ("input", pa.string()),
        ("input_gone", pa.timestamp("ms", "UTC")),
        ("removed", pa.timestamp("ms", "UTC")),
        ("geometry", pa.binary()),
        ("id", pa.string()),
        ("stac_version", pa.string()),
        ("stac_extensions", pa.list_(pa.string())),
        ("datetime", pa.timestamp("ms", "UTC")),
        ("proj:code", pa.string()),
        ("assets", pa.struct([(name, _ASSET) for name in OUTPUT_NAMES])),
        ("links", pa.list_(_LINK)),
    ],
    metadata={b"geo": json.dumps(_GEO).encode(), b"stac-geoparquet": b'{"version":"1.1.0"}'},
)


def scene_row(marker: Marker, info: ObjectInfo, gone: datetime | None) -> dict[str, Any]:
    """The row of a scene.

    Args:
        marker: of the scene.
        info: of the marker's object.
        gone: since when its input is known to be gone; None: it is there.
    """
    summary, certificate = marker.summary, marker.certificate or {}
    pixels, areas = summary.get("class_pixels"), summary.get("class_area_m2")
    place, code = place_of(summary), str(summary.get("crs") or "")
    committed = datetime.fromtimestamp(info.modified, UTC)
    return {
        "scene_id": marker.scene_id,
        "uri": marker.input.uri,
        "etag": marker.input.etag,
        "generation": marker.generation,
        "scene_key": marker.scene_key,
        "marker_etag": info.etag,
        "committed": committed,
        "height": summary.get("height"),
        "width": summary.get("width"),
        "bbox": dict(zip(("xmin", "ymin", "xmax", "ymax"), place.bbox, strict=True)) if place else None,
        "valid_pixels": summary.get("valid_pixels"),
        "class_pixels": list(pixels.items()) if isinstance(pixels, dict) else None,
        "class_area_m2": list(areas.items()) if isinstance(areas, dict) else None,
        "certificate": certificate.get("result"),
        **{f"check_{name}": certificate.get(name) for name in ("windows", "pixels", "differing", "worst", "tolerance")},
        "outputs": [(name, file.path) for name, file in sorted(marker.outputs.items())],
        "marker": marker.to_json().decode(),
        "input": "gone" if gone else None,
        "input_gone": gone,
        "removed": None if marker.outputs else committed,
        "geometry": place.wkb if place else None,
        "id": marker.scene_id,
        "stac_version": STAC_VERSION,
        "stac_extensions": [PROJECTION] if code else [],
        "datetime": committed,
        "proj:code": code if code.startswith("EPSG:") else None,
        "assets": _assets(marker),
        "links": [],
    }


def _assets(marker: Marker) -> dict[str, Any] | None:
    """By name; what it has not is null."""
    assets = dict(assets_of(marker, "./"))
    return {name: assets.get(name) for name in OUTPUT_NAMES} if assets else None
