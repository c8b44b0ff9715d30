"""scenes.parquet and quarantine.parquet: derived from markers and quarantine records, written by the driver alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from io import BytesIO
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from encdec_batch.commit.marker import Marker, list_markers, read_markers
from encdec_batch.commit.quarantine import QuarantineRecord
from encdec_batch.errors import ObjectMissing
from encdec_batch.report.scene_row import SCENES, scene_row
from encdec_batch.store.object import ObjectInfo
from encdec_batch.store.store import Store

SCENES_TABLE = "scenes.parquet"
QUARANTINE_TABLE = "quarantine.parquet"
CHUNK = 4096
"""Markers that are held at a time, and rows of a row group."""
_CACHED = ("scene_id", "marker_etag", "marker")

_QUARANTINE = pa.schema(
    [(name, pa.string()) for name in ("scene_id", "uri", "stage", "block", "reason", "hint", "kind", "trial_key")]
)


def markers_of(store: Store) -> Iterator[tuple[Marker, ObjectInfo]]:
    """Every marker of an output, sorted by path: one listing, the last table, and a get for each that is newer.

    Holds no more than a chunk of them.
    """
    return iter(StoredMarkers(store))


class StoredMarkers:
    """Every marker of an output, as `markers_of` gives them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.in_table = False
        """After they were gone through: the last table has these very markers and no other, and all columns of now."""

    def __iter__(self) -> Iterator[tuple[Marker, ObjectInfo]]:
        last, listed, known = _LastMarkers(self._store), list_markers(self._store), True
        while chunk := list(islice(listed, CHUNK)):
            texts = {scene_id: last.text(scene_id, info.etag) for scene_id, info in chunk}
            newer = [scene_id for scene_id, text in texts.items() if text is None]
            known = known and not newer
            fresh = dict(_by_id(read_markers(self._store, newer))) if newer else {}
            for scene_id, info in chunk:
                text = texts[scene_id]
                if text is not None:
                    yield from _parsed(self._store, scene_id, text, info)
                elif scene_id in fresh:
                    yield fresh[scene_id]
        self.in_table = known and last.all_found


def removed_scenes(store: Store) -> dict[str, str]:
    """Scene id to etag of the markers that were without outputs when the tables were last written; reads no marker."""
    rows = _rows(_last_table(store), ["scene_id", "marker_etag", "outputs"])
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


class _LastMarkers:
    """The markers in the last table, walked through once: it is sorted as the listing is. What stands elsewhere in it,
    or is not of this etag, is not found, and read from the store.
    """

    def __init__(self, store: Store) -> None:
        table = _last_table(store)
        self._is_of_now = table is not None and SCENES.names == table.schema_arrow.names
        self._rows = _rows(table, _CACHED)
        self._row = next(self._rows, None)
        self._passed, self._found = 0, 0

    def text(self, scene_id: str, etag: str) -> str | None:
        """The marker of a scene, if it is the one of this etag; scenes are asked for in the order of their paths."""
        while self._row is not None and f"{self._row[0]}.json" < f"{scene_id}.json":
            self._passed, self._row = self._passed + 1, next(self._rows, None)
        if self._row is not None and self._row[:2] == (scene_id, etag):
            self._found += 1
            return str(self._row[2])
        return None

    @property
    def all_found(self) -> bool:
        """There is a table as this version writes it, and none of its rows was passed over."""
        while self._row is not None:
            self._passed, self._row = self._passed + 1, next(self._rows, None)
        return self._is_of_now and self._passed == self._found


def _last_table(store: Store) -> pq.ParquetFile | None:
    """The table of scenes as it is; None where it is missing or damaged."""
    try:
        return pq.ParquetFile(BytesIO(store.get(SCENES_TABLE)))
    except (ObjectMissing, pa.ArrowException, OSError):
        return None


def _rows(table: pq.ParquetFile | None, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Of the last table of scenes; no more where it is damaged or has not all of these columns."""
    if table is None:
        return
    try:
        for batch in table.iter_batches(CHUNK, columns=list(columns)):
            yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
    except (pa.ArrowException, KeyError, OSError):
        return


def gone_scenes(store: Store) -> dict[str, datetime]:
    """Scene id to when its input was first found to be gone, as the last table says it."""
    rows = _rows(_last_table(store), ["scene_id", "input_gone"])
    return {scene_id: since for scene_id, since in rows if since is not None}


def write_scenes(
    store: Store,
    markers: Iterable[tuple[Marker, ObjectInfo]],
    gone_since: Callable[[Marker], datetime | None] = lambda _: None,
) -> ObjectInfo:
    """One row per marker, the marker itself among its columns: the next run need not read it again. Holds the table as
    it is encoded, and a chunk of rows.

    Args:
        store: the root of the output.
        markers: all of it.
        gone_since: since when the input of a scene is gone; None: it is there.
    """
    left, buffer = iter(markers), BytesIO()
    with pq.ParquetWriter(buffer, SCENES, compression="zstd") as writer:
        while chunk := list(islice(left, CHUNK)):
            rows = [scene_row(marker, info, gone_since(marker)) for marker, info in chunk]
            writer.write_table(pa.Table.from_pylist(rows, SCENES))
    return store.put(SCENES_TABLE, buffer.getvalue())


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


def _write(store: Store, path: str, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> None:
    buffer = BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema), buffer, compression="zstd")
    store.put(path, buffer.getvalue())
