"""`.encdec/plans/<n>.parquet`: the plan of a run, a row per scene, and what `auto` became."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq

from encdec_batch.plan.keys import canonical_json
from encdec_batch.plan.plan import Plan
from encdec_batch.plan.recipe import Order, Resolved
from encdec_batch.store.store import Store

log = logging.getLogger(__name__)

PREFIX = ".encdec/plans/"
_SCHEMA = pa.schema(
    [
        ("scene_id", pa.string()),
        ("uri", pa.string()),
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
        ("scene_key", pa.string()),
        ("part_key", pa.string()),
        ("generation", pa.int64()),
        ("outputs", pa.list_(pa.string())),
    ]
)


def write_plan(store: Store, plan: Plan) -> None:
    """Writes the plan under the next number; earlier ones stay."""
    rows = [
        {
            "scene_id": scene.scene_id,
            "uri": scene.uri,
            "etag": scene.etag,
            "size_bytes": scene.size_bytes,
            "height": scene.header.height,
            "width": scene.header.width,
            "block": scene.tiling.block,
            "levels": scene.levels,
            "core": scene.tiling.core,
            "num_blocks": scene.grid().num_blocks,
            "blocks_done": len(scene.blocks_done),
            "bytes_to_read": plan.bytes_to_read[scene.scene_id],
            "scene_key": scene.scene_key,
            "part_key": scene.part_key,
            "generation": scene.generation,
            "outputs": list(scene.outputs),
        }
        for scene in plan.scenes
    ]
    about = {"order": _fingerprint(plan.recipe.order), "resolved": asdict(plan.recipe.resolved)}
    schema = _SCHEMA.with_metadata({b"encdec": json.dumps(about).encode()})
    buffer = BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), buffer, compression="zstd")
    store.put(f"{PREFIX}{max(_numbers(store), default=0) + 1}.parquet", buffer.getvalue())


def read_resolved(store: Store, order: Order) -> Resolved | None:
    """What `auto` became in the newest plan, if that was for the same order."""
    newest = max(_numbers(store), default=0)
    table = _read(store, newest, ["scene_id"]) if newest else None
    if table is None:
        return None
    about = json.loads((table.schema.metadata or {}).get(b"encdec", b"{}"))
    if about.get("order") != _fingerprint(order):
        return None
    values = about["resolved"]
    return Resolved(**{**values, "rates": tuple((int(side), rate) for side, rate in values["rates"])})


def owners_of_parts(store: Store) -> dict[str, tuple[str, str]]:
    """Part key to scene id and scene key, of every plan of this output: says of leftover parts whose they were."""
    owners: dict[str, tuple[str, str]] = {}
    for number in sorted(_numbers(store)):
        table = _read(store, number, ["part_key", "scene_id", "scene_key"])
        rows = table.to_pylist() if table is not None else []
        owners |= {row["part_key"]: (row["scene_id"], row["scene_key"]) for row in rows}
    return owners


def _read(store: Store, number: int, columns: list[str]) -> pa.Table | None:
    """Columns of a plan; None, and a warning, where it is cut short or of another version: it only saves work."""
    path = f"{PREFIX}{number}.parquet"
    try:
        table = pq.read_table(BytesIO(store.get(path)), columns=columns)
    except (pa.ArrowException, OSError) as error:
        log.warning("plan.not_read", extra={"object": path, "reason": str(error)})
        return None
    return table if table.column_names == columns else None


def _fingerprint(order: Order) -> str:
    """Of everything that `auto` is resolved from, but the device."""
    asked = [order.package_digest, order.spec.tiling.model_dump(mode="json"), order.spec.compute.precision]
    return hashlib.sha256(canonical_json(asked)).hexdigest()


def _numbers(store: Store) -> list[int]:
    stems = (info.path.removeprefix(PREFIX).removesuffix(".parquet") for info in store.list(PREFIX))
    return [int(stem) for stem in stems if stem.isdecimal()]
