"""Derived tables hold what markers say, and spare the next run reading them."""

from __future__ import annotations

from io import BytesIO

import pyarrow.parquet as pq
import pytest
from fakes import FakeStore, fake_marker
from hypothesis import given, settings
from hypothesis import strategies as st

from encdec_batch.commit.marker import Marker, marker_path
from encdec_batch.report import tables
from encdec_batch.report.tables import markers_of, write_scenes


def put(store: FakeStore, *markers: Marker) -> None:
    for marker in markers:
        store.put(marker_path(marker.scene_id), marker.to_json())


def found(store: FakeStore) -> dict[str, Marker]:
    return {marker.scene_id: marker for marker, _ in markers_of(store)}


def gets(store: FakeStore) -> list[str]:
    return [path for operation, path in store.requests if operation == "get" and path.startswith("markers/")]


ids = st.sets(st.sampled_from(["a", "a-b", "a.b", "a_b", "ab", "b", "B", "0"]))


@settings(max_examples=60)
@given(before=ids, changed=ids, removed=ids, added=ids)
def test_markers_come_whatever_the_last_table_holds_and_only_the_newer_are_read(before, changed, removed, added):
    """Chunks of two, so that the walk through the table goes on from chunk to chunk."""
    store = FakeStore()
    put(store, *(fake_marker(name) for name in before))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "CHUNK", 2)
        write_scenes(store, markers_of(store))
        put(store, *(fake_marker(name, generation=2) for name in changed | added))
        store.delete([marker_path(name) for name in removed])
        store.requests.clear()
        now = found(store)
    assert set(now) == (before | changed | added) - removed
    assert all(marker.generation == (2 if name in changed | added else 1) for name, marker in now.items())
    assert set(gets(store)) == {marker_path(name) for name in now if name in changed | added}


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b""], ids=["cut_short", "empty"])
def test_a_damaged_table_is_as_if_it_were_not_there(damage):
    store = FakeStore()
    put(store, fake_marker("a"), fake_marker("b"))
    write_scenes(store, markers_of(store))
    store.put("scenes.parquet", damage(store.get("scenes.parquet")))
    assert set(found(store)) == {"a", "b"}


def test_a_table_of_many_row_groups_has_every_row(monkeypatch):
    monkeypatch.setattr(tables, "CHUNK", 3)
    store = FakeStore()
    put(store, *(fake_marker(f"s{n:02d}") for n in range(10)))
    write_scenes(store, markers_of(store))
    rows = pq.read_table(BytesIO(store.get("scenes.parquet"))).to_pylist()
    assert [row["scene_id"] for row in rows] == [f"s{n:02d}" for n in range(10)]
    assert all(Marker.model_validate_json(row["marker"]).scene_id == row["scene_id"] for row in rows)


def test_of_no_markers_there_is_an_empty_table():
    store = FakeStore()
    write_scenes(store, ())
    assert pq.read_table(BytesIO(store.get("scenes.parquet"))).num_rows == 0
