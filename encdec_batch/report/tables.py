"""scenes.parquet and quarantine.parquet: derived from markers and quarantine records, written by the driver alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from encdec_batch.commit.marker import Marker
from encdec_batch.commit.quarantine import QuarantineRecord
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
        ("outputs", pa.map_(pa.string(), pa.string())),
        ("summary", pa.string()),
    ]
)
_QUARANTINE = pa.schema(
    [(name, pa.string()) for name in ("scene_id", "uri", "stage", "block", "reason", "hint", "kind", "scene_key")]
)


def write_scenes(store: Store, markers: Iterable[tuple[Marker, ObjectInfo]]) -> None:
    """One row per marker; `marker_etag` lets the next run know which markers it need not read."""
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
            "scene_key": record.key,
        }
        for record in records
    ]
    _write(store, QUARANTINE_TABLE, rows, _QUARANTINE)


def _scene_row(marker: Marker, info: ObjectInfo) -> dict[str, Any]:
    summary = marker.summary
    bounds = summary.get("bounds_wgs84")
    pixels = summary.get("class_pixels")
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
        "outputs": [(name, file.path) for name, file in sorted(marker.outputs.items())],
        "summary": json.dumps(summary, sort_keys=True),
    }


def _write(store: Store, path: str, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> None:
    buffer = BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema), buffer, compression="zstd")
    store.put(path, buffer.getvalue())
