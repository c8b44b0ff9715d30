from __future__ import annotations

import pytest
from fakes import FakeStore

from encdec_batch.commit.quarantine import (
    QuarantineRecord,
    list_quarantine,
    quarantine_path,
    remove_quarantine,
    write_quarantine,
)
from encdec_batch.errors import CommitError, SpecError


def record(scene_id="a", **change):
    values = {
        "stage": "read",
        "scene_id": scene_id,
        "uri": f"s3://archive/{scene_id}.tif",
        "block": "0-2",
        "reason": "not an image",
        "hint": "look at it",
        "kind": "condemned",
        "trial_key": "k" * 64,
    }
    return QuarantineRecord(**{**values, **change})


def test_records_are_listed_as_written_sorted_and_removed():
    store = FakeStore()
    for scene_id in ("b", "a", "c"):
        write_quarantine(store, record(scene_id))
    assert list(list_quarantine(store)) == [record("a"), record("b"), record("c")]
    remove_quarantine(store, ["b", "never-there"])
    assert [found.scene_id for found in list_quarantine(store)] == ["a", "c"]


def test_a_second_record_of_a_scene_replaces_the_first():
    store = FakeStore()
    write_quarantine(store, record(kind="transient"))
    write_quarantine(store, record(kind="condemned", reason="worse"))
    assert list(list_quarantine(store)) == [record(kind="condemned", reason="worse")]


def test_text_of_any_script_survives():
    store = FakeStore()
    odd = record(uri="s3://archive/Ångström 雪.tif", reason="„schlecht“\n")
    write_quarantine(store, odd)
    assert list(list_quarantine(store)) == [odd]


def test_a_record_removed_while_listing_is_skipped():
    store = FakeStore()
    write_quarantine(store, record("a"))
    write_quarantine(store, record("b"))
    listing = list_quarantine(store)
    assert next(listing).scene_id == "a"
    remove_quarantine(store, ["b"])
    assert list(listing) == []


def test_bytes_that_are_no_record_are_one_clear_error():
    store = FakeStore()
    store.put(quarantine_path("a"), b"{}")
    with pytest.raises(CommitError, match=r"quarantine/a.json is not a record"):
        list(list_quarantine(store))


def test_an_id_cannot_leave_the_folder():
    with pytest.raises(SpecError):
        write_quarantine(FakeStore(), record("../../markers/a"))
