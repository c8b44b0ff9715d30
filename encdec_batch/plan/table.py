"""`.encdec/plans/<n>-<segment>.parquet`: the plan of run n, a row per scene, and what `auto` became.

A segment is written before a block of its scenes is handed out, so that every part in the store has an owner here. The
headers in it are the memory of later runs (`plan/memory.py`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import cache
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter
from pydantic_core import to_json

from encdec_batch.errors import ObjectMissing
from encdec_batch.plan.keys import canonical_json
from encdec_batch.plan.plan import Planned
from encdec_batch.plan.recipe import Order, Recipe, Resolved
from encdec_batch.read.header import HEADER_FORMAT, SceneHeader
from encdec_batch.spec.job import JobSpec
from encdec_batch.store.store import Store

log = logging.getLogger(__name__)

PREFIX = ".encdec/plans/"
_NAME = re.compile(re.escape(PREFIX) + r"(\d+)-(\d+)\.parquet")
_SCHEMA = pa.schema(
    [
        ("scene_id", pa.string()),
        ("uri", pa.string()),
        ("plane", pa.string()),
        ("slices", pa.int64()),
        ("etag", pa.string()),
        ("size_bytes", pa.int64()),
        ("height", pa.int64()),
        ("width", pa.int64()),
        ("block", pa.int64()),
        ("levels", pa.int64()),
        ("core", pa.int64()),
        ("num_blocks", pa.int64()),
        ("blocks_done", pa.int64()),
        ("bytes_to_read", pa.int64()),
        ("staged", pa.bool_()),
        ("scene_key", pa.string()),
        ("part_key", pa.string()),
        ("generation", pa.int64()),
        ("outputs", pa.list_(pa.string())),
        ("header", pa.string()),
    ]
)


class PlanWriter:
    """Writes the plan of one run, a segment at a time, under the next number; earlier plans stay."""

    def __init__(self, store: Store, recipe: Recipe) -> None:
        self._store = store
        self._number = max((number for number, _ in segments(store)), default=0) + 1
        self._segments = 0
        about = {
            "order": _fingerprint(recipe.order),
            "reading": fingerprint_of_reading(recipe.spec),
            "headers": HEADER_FORMAT,
            "resolved": asdict(recipe.resolved),
        }
        self._schema = _SCHEMA.with_metadata({b"encdec": json.dumps(about).encode()})

    def write(self, planned: Sequence[Planned]) -> None:
        """One more segment. Rows that an earlier plan holds are not repeated, but in the first segment: that says what
        `auto` became, rows or none.
        """
        rows = [_row(one) for one in planned if not (self._segments and one.remembered)]
        if not rows and self._segments:
            return
        buffer = BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, self._schema), buffer, compression="zstd")
        self._store.put(f"{PREFIX}{self._number}-{self._segments:05d}.parquet", buffer.getvalue())
        self._segments += 1


def segments(store: Store) -> Iterator[tuple[int, str]]:
    """Number of the run and path of each segment, the oldest first."""
    found = (_NAME.fullmatch(info.path) for info in store.list(PREFIX))
    named = [(int(match[1]), int(match[2]), match[0]) for match in found if match]
    return ((number, path) for number, _, path in sorted(named))


def read_segment(store: Store, path: str, columns: Sequence[str]) -> tuple[pa.Table, dict[str, Any]] | None:
    """These columns of a segment and what it says of itself; None where it is damaged or of another version: a plan
    is a memory, and what is forgotten is looked up again.
    """
    try:
        table = pq.read_table(BytesIO(store.get(path)), columns=list(columns))
        about = json.loads((table.schema.metadata or {})[b"encdec"])
        # A column that is missing is left out without a word.
        if table.column_names == list(columns) and isinstance(about, dict):
            return table, about
        reason = "it has other columns"
    except (pa.ArrowException, OSError, ValueError, KeyError, ObjectMissing) as error:
        reason = str(error)
    log.warning("plan.segment_not_read", extra={"path": path, "reason": reason})
    return None


def read_resolved(store: Store, order: Order) -> Resolved | None:
    """What `auto` became in the newest plan, if that was for the same order; None also where another version of this
    program wrote it in its own way.
    """
    found = list(segments(store))
    newest = max((number for number, _ in found), default=0)
    for path in (path for number, path in found if number == newest):
        segment = read_segment(store, path, [])
        if segment is not None:
            about = segment[1]
            return _resolved_of(about.get("resolved")) if about.get("order") == _fingerprint(order) else None
    return None


def owners_of_parts(store: Store) -> dict[str, tuple[str, str]]:
    """Part key to scene id and scene key, of every plan of this output: says of leftover parts whose they were."""
    owners: dict[str, tuple[str, str]] = {}
    for _, path in segments(store):
        found = read_segment(store, path, ["part_key", "scene_id", "scene_key"])
        if found is not None:
            part_keys, ids, keys = (column.to_pylist() for column in found[0].columns)
            owners |= dict(zip(part_keys, zip(ids, keys, strict=True), strict=True))
    return owners


def fingerprint_of_reading(spec: JobSpec) -> str:
    """A header that was read within other limits might be refused by these; read in another way it is another."""
    asked = {"limits": spec.limits.model_dump(mode="json"), "source": spec.source.pixel_options}
    return hashlib.sha256(canonical_json(asked)).hexdigest()[:16]


def header_of(text: str) -> SceneHeader:
    """The header in a row.

    Raises:
        ValueError: of another version of this program.
    """
    header = _headers().validate_json(text)
    # One text for all scenes of a CRS, as a reader gives it.
    return replace(header, crs_wkt=sys.intern(header.crs_wkt)) if header.crs_wkt else header


def _row(planned: Planned) -> dict[str, Any]:
    scene = planned.scene
    return {
        "scene_id": scene.scene_id,
        "uri": scene.uri,
        "plane": str(scene.plane),
        "slices": len(scene.images),
        "etag": scene.etag,
        "size_bytes": scene.size_bytes,
        "height": scene.header.height,
        "width": scene.header.width,
        "block": scene.tiling.block,
        "levels": scene.levels,
        "core": scene.tiling.core,
        "num_blocks": scene.grid().num_blocks,
        "blocks_done": len(scene.blocks_done),
        "bytes_to_read": planned.bytes_to_read,
        "staged": scene.staged,
        "scene_key": scene.scene_key,
        "part_key": scene.part_key,
        "generation": scene.generation,
        "outputs": list(scene.outputs),
        # NaN is a nodata value like any other; by default JSON would make null of it.
        "header": to_json(scene.header, inf_nan_mode="constants").decode(),
    }


def _resolved_of(values: object) -> Resolved | None:
    if not isinstance(values, dict):
        return None
    try:
        rates = tuple((int(side), float(rate)) for side, rate in values["rates"])
        return Resolved(**{**values, "rates": rates})
    except (TypeError, KeyError, ValueError):
        return None


def _fingerprint(order: Order) -> str:
    """Of everything that `auto` is resolved from, but the device."""
    asked = [order.package_digest, order.spec.tiling.model_dump(mode="json"), order.spec.compute.precision]
    return hashlib.sha256(canonical_json(asked)).hexdigest()


@cache
def _headers() -> TypeAdapter[SceneHeader]:
    return TypeAdapter(SceneHeader)
