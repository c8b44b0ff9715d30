"""Tables with damaged bytes: rows, or one error that names the table."""

from __future__ import annotations

import random
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from encdec_batch.errors import SpecError
from encdec_batch.plan.discover import find_scenes
from encdec_batch.spec.source import TableSource


def damaged(data: bytes, source: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(source.choice((1, 1, 2, 4))):
        # The footer of a Parquet file, and with it all its structure, is at the end.
        at = max(0, len(changed) - 1 - source.randrange(source.choice((900, len(changed)))))
        end = at + source.choice((1, 4, 40))
        change = source.randrange(3)
        changed[at:end] = (b"", changed[at:end] * 2, source.randbytes(end - at))[change]
    return bytes(changed or b"x")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_damaged_table_is_rows_or_one_error(tmp_path, kind):
    path = tmp_path / f"scenes.{kind}"
    names = [f"s3://a/{number}.tif" for number in range(20)]
    pq.write_table(pa.table({"uri": names, "bands": [[1, 2]] * 20}), tmp_path / "scenes.parquet")
    csv = "uri,bands\n" + "".join(f"{name},1;2\n" for name in names)
    whole = csv.encode() if kind == "csv" else path.read_bytes()
    ends: Counter[str] = Counter()
    for number in range(300):
        path.write_bytes(damaged(whole, random.Random(number)))
        try:
            find_scenes(TableSource(kind="table", uri=str(path), schemes=("s3",)))
            ends["rows"] += 1
        except SpecError as error:
            ends["error" if path.name in str(error) else str(error)] += 1
    assert set(ends) == {"rows", "error"}
