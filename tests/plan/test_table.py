"""The plan of a run as it lies in the store."""

from __future__ import annotations

import json
from io import BytesIO

import pyarrow.parquet as pq
import pytest
from fakes import FakeStore
from plan.recipes import order, recipe, scene

from encdec_batch.plan.plan import Planned
from encdec_batch.plan.table import PlanWriter, owners_of_parts, read_resolved


def planned(*args, remembered: bool = False, **changes) -> Planned:
    return Planned(scene=scene(*args, **changes), bytes_to_read=7, remembered=remembered)


def write(store: FakeStore, *segments, recipe_=None) -> None:
    """The plan of one run."""
    writer = PlanWriter(store, recipe_ or recipe())
    for segment in segments or [()]:
        writer.write(segment)


def rows(store: FakeStore, name: str) -> list[dict]:
    return pq.read_table(BytesIO(store.get(f".encdec/plans/{name}.parquet"))).to_pylist()


def names(store: FakeStore) -> set[str]:
    return {info.path.removeprefix(".encdec/plans/") for info in store.list(".encdec/plans/")}


def test_a_row_per_scene():
    store = FakeStore()
    write(store, [planned("a", 100, 2000), planned("b", 10, 10)])
    assert [(row["scene_id"], row["width"], row["num_blocks"], row["outputs"]) for row in rows(store, "1-00000")] == [
        ("a", 2000, 4, ["mask.tif"]),
        ("b", 10, 1, ["mask.tif"]),
    ]


def test_plans_are_numbered_and_stay():
    store = FakeStore()
    for _ in range(11):
        write(store)
    store.put(".encdec/plans/x.parquet", b"")
    store.put(".encdec/runs/99-00000.parquet", b"")
    write(store)
    assert names(store) == {"x.parquet", *(f"{n}-00000.parquet" for n in range(1, 13))}


def test_segments_hold_what_no_earlier_plan_does():
    """But for the first, which says what `auto` became, with rows or without."""
    store = FakeStore()
    known, new = planned("a", 10, 10, remembered=True), planned("b", 10, 10)
    write(store, [known], [known], [known, new], ())
    assert names(store) == {"1-00000.parquet", "1-00001.parquet"}
    assert [row["scene_id"] for row in rows(store, "1-00000") + rows(store, "1-00001")] == ["a", "b"]


def test_what_auto_became_stands_for_the_same_order_only():
    store = FakeStore()
    assert read_resolved(store, order()) is None
    made = recipe(core=384, rates=((384, 2.5), (512, 1.5)))
    write(store, recipe_=made)
    assert read_resolved(store, order()) == made.resolved
    assert read_resolved(store, order(tiling={"core": 512})) is None
    assert read_resolved(store, order(compute={"precision": "bfloat16"})) is None
    assert read_resolved(store, order(output={"uri": "/elsewhere"})) == made.resolved


def test_the_newest_plan_counts():
    store = FakeStore()
    for core in range(256, 256 + 12):
        write(store, recipe_=recipe(core=core))
    assert read_resolved(store, order()).core == 267


@pytest.mark.parametrize(
    "resolved",
    [{"threads": 2}, {"rates": 7}, {"rates": [["x", 1.0]]}, {"rates": None}, None, [], "eager"],
    ids=str,
)
def test_what_another_version_says_of_auto_is_as_if_it_said_nothing(resolved):
    store, made = FakeStore(), recipe()
    write(store, recipe_=made)
    path = ".encdec/plans/1-00000.parquet"
    table = pq.read_table(BytesIO(store.get(path)))
    about = json.loads(table.schema.metadata[b"encdec"])
    about["resolved"] = about["resolved"] | resolved if isinstance(resolved, dict) else resolved
    buffer = BytesIO()
    pq.write_table(table.replace_schema_metadata({b"encdec": json.dumps(about).encode()}), buffer)
    store.put(path, buffer.getvalue())
    assert read_resolved(store, order()) is None


def test_leftover_parts_are_known_by_the_plans_that_made_them():
    store = FakeStore()
    write(store, [planned("a", 600, 2000, part_key="1" * 64, scene_key="2" * 64)])
    write(store, [], [planned("b", 600, 2000, part_key="3" * 64, scene_key="4" * 64)])
    assert owners_of_parts(store) == {"1" * 64: ("a", "2" * 64), "3" * 64: ("b", "4" * 64)}


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-9], lambda data: b"", lambda data: data[:9] + data[40:]],
    ids=["cut_short", "empty", "holed"],
)
def test_a_damaged_segment_is_as_if_it_were_not_there(damage, caplog):
    store = FakeStore()
    write(store, [planned("a", 600, 2000, part_key="1" * 64)], [planned("b", 600, 2000, part_key="3" * 64)])
    path = ".encdec/plans/1-00000.parquet"
    store.put(path, damage(store.get(path)))
    assert set(owners_of_parts(store)) == {"3" * 64}
    assert read_resolved(store, order()) == recipe().resolved
    assert "plan.segment_not_read" in caplog.text
    write(store)
    assert "2-00000.parquet" in names(store)
