"""`volumes.parquet`: a row for each file of a volume, derived from records, written by the driver alone."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq

from encdec_batch.commit.volume_paths import VOLUMES_TABLE
from encdec_batch.store.store import Store
from encdec_batch.volume.record import VolumeRecord

SCHEMA = pa.schema(
    [
        ("volume_id", pa.string()),
        ("volume_key", pa.string()),
        ("slices", pa.list_(pa.string())),
        ("output", pa.string()),
        ("path", pa.string()),
        ("size_bytes", pa.int64()),
        ("sha256", pa.string()),
    ]
)


def write_volumes_table(store: Store, records: Sequence[VolumeRecord]) -> None:
    """Makes the table anew; of an output that never had a volume there is none. Under the lease.

    Args:
        store: the root of the output.
        records: of all its volumes, those that were taken out among them.
    """
    if not records:
        return
    rows = [
        {
            "volume_id": record.volume_id,
            "volume_key": record.volume_key,
            "slices": list(record.slices),
            "output": name,
            "path": file.path,
            "size_bytes": file.size,
            "sha256": file.sha256,
        }
        for record in sorted(records, key=lambda one: one.volume_id)
        for name, file in sorted(record.outputs.items())
    ]
    buffer = BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), buffer, compression="zstd")
    store.put(VOLUMES_TABLE, buffer.getvalue())
