"""The plan of a run as it lies in the store."""

from __future__ import annotations

from io import BytesIO

import pyarrow.parquet as pq
from fakes import FakeStore
from plan.recipes import order, recipe, scene

from encdec_batch.plan.plan import Plan
from encdec_batch.plan.table import owners_of_parts, read_resolved, write_plan


def plan_of(*scenes, recipe_=None) -> Plan:
    return Plan(
        recipe=recipe_ or recipe(),
        scenes=scenes,
        bytes_to_read={made.scene_id: 7 for made in scenes},
        done=(),
        set_aside=(),
        keys={},
    )


def test_a_row_per_scene():
    store = FakeStore()
    write_plan(store, plan_of(scene("a", 100, 2000), scene("b", 10, 10)))
    rows = pq.read_table(BytesIO(store.get(".encdec/plans/1.parquet"))).to_pylist()
    assert [(row["scene_id"], row["width"], row["num_blocks"], row["outputs"]) for row in rows] == [
        ("a", 2000, 4, ["mask.tif"]),
        ("b", 10, 1, ["mask.tif"]),
    ]


def test_plans_are_numbered_and_stay():
    store = FakeStore()
    for _ in range(11):
        write_plan(store, plan_of())
    store.put(".encdec/plans/x.parquet", b"")
    store.put(".encdec/runs/99.parquet", b"")
    write_plan(store, plan_of())
    names = {info.path for info in store.list(".encdec/")}
    assert {f".encdec/plans/{n}.parquet" for n in range(1, 13)} <= names
    assert ".encdec/plans/13.parquet" not in names


def test_what_auto_became_stands_for_the_same_order_only():
    store = FakeStore()
    assert read_resolved(store, order()) is None
    made = recipe(core=384, rates=((384, 2.5), (512, 1.5)))
    write_plan(store, plan_of(recipe_=made))
    assert read_resolved(store, order()) == made.resolved
    assert read_resolved(store, order(tiling={"core": 512})) is None
    assert read_resolved(store, order(compute={"precision": "bfloat16"})) is None
    assert read_resolved(store, order(output={"uri": "/elsewhere"})) == made.resolved


def test_the_newest_plan_counts():
    store = FakeStore()
    for core in range(256, 256 + 12):
        write_plan(store, plan_of(recipe_=recipe(core=core)))
    assert read_resolved(store, order()).core == 267


def test_leftover_parts_are_known_by_the_plans_that_made_them():
    store = FakeStore()
    write_plan(store, plan_of(scene("a", 600, 2000, part_key="1" * 64, scene_key="2" * 64)))
    write_plan(store, plan_of(scene("b", 600, 2000, part_key="3" * 64, scene_key="4" * 64)))
    assert owners_of_parts(store) == {"1" * 64: ("a", "2" * 64), "3" * 64: ("b", "4" * 64)}
