"""scenes.parquet and quarantine.parquet: derived from markers and quarantine records, written by the driver alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

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
            yield from _parsed(store, scene_id, cached[scene_id], info)
        elif scene_id in fresh:
            yield fresh[scene_id]


def removed_scenes(store: Store) -> dict[str, str]:
    """Scene id to etag of the markers that were without outputs when the tables were last written; reads no marker."""
    rows = _rows(store, ["scene_id", "marker_etag", "outputs"])
    return {scene_id: etag for scene_id, etag, outputs in rows if not outputs}


def _by_id(found: Iterable[tuple[Marker, ObjectInfo]]) -> Iterator[tuple[str, tuple[Marker, ObjectInfo]]]:
    return ((marker.scene_id, (marker, info)) for marker, info in found)


def _parsed(store: Store, scene_id: str, text: str, info: ObjectInfo) -> Iterator[tuple[Marker, ObjectInfo]]:
    try:
        marker = Marker.model_validate_json(text)
    except ValidationError:
        # A newer version wrote the table: read from its object, the marker is refused by name.
        yield from read_markers(store, [scene_id])
    else:
        yield marker, info


def _last_markers(store: Store) -> Iterator[tuple[str, str, str]]:
    """Scene id, etag and text of the markers in the last table."""
    for scene_id, etag, text in _rows(store, ["scene_id", "marker_etag", "marker"]):
        yield str(scene_id), str(etag), str(text)


def _rows(store: Store, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """Of the last table of scenes; none where it is missing, cut short or of another version."""
    try:
        table = pq.read_table(BytesIO(store.get(SCENES_TABLE)), columns=columns)
    except (ObjectMissing, pa.ArrowException, OSError):
        return
    if table.column_names == columns:
        yield from zip(*(table.column(name).to_pylist() for name in columns), strict=True)


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
    summary = marker.summary
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
        "outputs": [(name, file.path) for name, file in sorted(marker.outputs.items())],
        "marker": marker.to_json().decode(),
    }


def _write(store: Store, path: str, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> None:
    buffer = BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema), buffer, compression="zstd")
    store.put(path, buffer.getvalue())
