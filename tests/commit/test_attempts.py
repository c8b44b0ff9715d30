from __future__ import annotations

import json

import pytest
from fakes import FakeStore

from encdec_batch.commit.attempts import (
    Attempts,
    attempts_path,
    clear_attempts,
    count_death,
    read_attempts,
    try_to_count,
)
from encdec_batch.errors import TransientStoreError

ONE, TWO, OTHER = ("key", "0-0"), ("key", "commit"), ("other", "0-0")


@pytest.fixture
def store():
    return FakeStore()


def test_deaths_are_counted_by_block(store):
    assert count_death(store, ONE, scene_id="a", stage="read") == 1
    assert count_death(store, ONE, scene_id="a", stage="predict") == 2
    assert count_death(store, TWO, scene_id="a", stage="commit") == 1
    assert read_attempts(store) == {
        ONE: Attempts(scene_id="a", deaths=2, stage="predict"),
        TWO: Attempts(scene_id="a", deaths=1, stage="commit"),
    }


def test_a_count_lies_where_the_format_says(store):
    count_death(store, ONE, scene_id="a", stage="read")
    assert json.loads(store.get(".encdec/attempts/key/0-0.json")) == {
        "format_version": 1,
        "scene_id": "a",
        "deaths": 1,
        "stage": "read",
    }


def test_scenes_that_are_done_with_are_forgotten_by_one_listing(store):
    for place in (ONE, TWO, OTHER):
        count_death(store, place, scene_id="a", stage="read")
    store.requests.clear()
    clear_attempts(store, keep={"other"})
    assert read_attempts(store).keys() == {OTHER}
    assert [operation for operation, _ in store.requests].count("list") == 2  # one of them by this test


def test_what_cannot_be_read_counts_as_none(store):
    store.put(attempts_path(ONE), b'{"format_version": 2, "lives": 9}')
    assert read_attempts(store) == {}
    assert count_death(store, ONE, scene_id="a", stage="read") == 1


def test_a_store_that_does_not_answer_costs_the_note_alone(caplog):
    def down(operation, path):
        raise TransientStoreError(f"{operation} {path}: no answer")

    store = FakeStore(before=down)
    try_to_count(store, ONE, scene_id="a", stage="read")
    assert [record.getMessage() for record in caplog.records] == ["attempts.not_written"]
    with pytest.raises(TransientStoreError):
        count_death(store, ONE, scene_id="a", stage="read")
