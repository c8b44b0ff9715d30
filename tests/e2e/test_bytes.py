"""A run reads what its plan said, and headers."""

from __future__ import annotations

import numpy as np
import pytest
from e2e.made import classes_package, run, write_spec, write_tiff

import encdec_batch as eb
from encdec_batch.plan.item import work_items
from encdec_batch.read.ranges import PAGE_BYTES

pytestmark = pytest.mark.e2e


def test_a_run_never_reads_more_than_its_plan_said(tmp_path):
    rng = np.random.default_rng(3)
    # Above the 8 MiB that are fetched whole by one get, below it, and of one block.
    for name, shape in (("large", (2600, 3600)), ("middle", (1100, 700)), ("small", (300, 200))):
        write_tiff(tmp_path / f"in/{name}.tif", rng.integers(0, 255, (1, *shape), dtype=np.uint8))
    spec = write_spec(tmp_path, tmp_path / "in", classes_package(), tiling={"core": 256, "block": 1024})
    plan = eb.build_plan(eb.load_spec(spec))
    assert set(plan.bytes_to_read) == {"large", "middle", "small"}
    said = sum(plan.bytes_to_read.values())
    encoded = sum(scene.header.encoded_bytes for scene in plan.scenes)
    assert encoded <= said + 3 * PAGE_BYTES, "a header's page may hold pixels"
    # Each piece of work opens its scene: a page or two of header, which a plan does not count.
    pieces = sum(len(item.pieces) for item in work_items(plan.scenes))
    ended = run(spec)
    assert ended.code == 0
    assert encoded <= ended.result["bytes_read"] <= said + pieces * 2 * PAGE_BYTES
    assert ended.result["bytes_in_scenes"] == encoded
