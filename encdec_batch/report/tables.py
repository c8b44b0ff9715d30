"""scenes.parquet and quarantine.parquet: derived from markers and quarantine records, written by the driver alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from encdec_batch.commit.marker import Marker, list_markers, read_markers
from encdec_batch.commit.quarantine import QuarantineRecord
from encdec_batch.errors import ObjectMissing
from encdec_batch.store.object import ObjectInfo
from encdec_batch.store.store import Store

SCENES_TABLE = "scenes.parquet"
QUARANTINE_TABLE = "quarantine.parquet"

_BBOX = pa.struct([(name, pa.float64()) for name in ("xmin", "ymin", "xmax", "ymax")])
_SCENES = pa.schema(
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
    ]
)
_QUARANTINE = pa.schema(
    [(name, pa.string()) for name in ("scene_id", "uri", "stage", "block", "reason", "hint", "kind", "trial_key")]
)


def markers_of(store: Store) -> Iterator[tuple[Marker, ObjectInfo]]:
    """Every marker of an output, sorted by scene id: one listing, the last table, and a get for each that is newer."""
    listed = dict(list_markers(store))
    cached = {
        scene_id: marker
        for scene_id, etag, marker in _last_markers(store)
        if scene_id in listed and listed[scene_id].etag == etag
    }
    fresh = dict(_by_id(read_markers(store, [scene_id for scene_id in listed if scene_id not in cached])))
    for scene_id, info in listed.items():
        if scene_id in cached:
            yield Marker.model_validate_json(cached[scene_id]), info
        elif scene_id in fresh:
            yield fresh[scene_id]


def _by_id(found: Iterable[tuple[Marker, ObjectInfo]]) -> Iterator[tuple[str, tuple[Marker, ObjectInfo]]]:
    return ((marker.scene_id, (marker, info)) for marker, info in found)


def _last_markers(store: Store) -> Iterator[tuple[str, str, str]]:
    """Scene id, etag and text of the markers in the last table; nothing where it is missing or of another version."""
    try:
        table = pq.read_table(BytesIO(store.get(SCENES_TABLE)), columns=["scene_id", "marker_etag", "marker"])
    except (ObjectMissing, pa.ArrowException):
        return
    yield from zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True)


def write_scenes(store: Store, markers: Iterable[tuple[Marker, ObjectInfo]]) -> None:
    """One row per marker, the marker itself among its columns: the next run need not read it again."""
    _write(store, SCENES_TABLE, [_scene_row(marker, info) for marker, info in markers], _SCENES)


def write_quarantine_table(store: Store, records: Iterable[QuarantineRecord]) -> None:
    """One row per scene that is set aside."""
    rows = [
        {
            "scene_id": record.scene_id,
            "uri": record.uri,
            "stage": record.stage,
            "block": record.block,
            "reason": record.reason,
            "hint": record.hint,
            "kind": record.kind,
            "trial_key": record.trial_key,
        }
        for record in records
    ]
    _write(store, QUARANTINE_TABLE, rows, _QUARANTINE)


def _scene_row(marker: Marker, info: ObjectInfo) -> dict[str, Any]:
    summary, certificate = marker.summary, marker.certificate or {}
    bounds = summary.get("bounds_wgs84")
    pixels, areas = summary.get("class_pixels"), summary.get("class_area_m2")
    return {
        "scene_id": marker.scene_id,
        "uri": marker.input.uri,
        "etag": marker.input.etag,
        "generation": marker.generation,
        "scene_key": marker.scene_key,
        "marker_etag": info.etag,
        "committed": datetime.fromtimestamp(info.modified, UTC),
        "height": summary.get("height"),
        "width": summary.get("width"),
        "bbox": dict(zip(("xmin", "ymin", "xmax", "ymax"), bounds, strict=True)) if isinstance(bounds, list) else None,
        "valid_pixels": summary.get("valid_pixels"),
        "class_pixels": list(pixels.items()) if isinstance(pixels, dict) else None,
        "class_area_m2": list(areas.items()) if isinstance(areas, dict) else None,
        "certificate": certificate.get("result"),
        **{f"check_{name}": certificate.get(name) for name in ("windows", "pixels", "differing", "worst", "tolerance")},
        "outputs": [(name, file.path) for name, file in sorted(marker.outputs.items())],
        "marker": marker.to_json().decode(),
    }


def _write(store: Store, path: str, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> None:
    buffer = BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema), buffer, compression="zstd")
    store.put(path, buffer.getvalue())
