from __future__ import annotations

import pytest
from fakes import FakeStore, fake_marker

from encdec_batch.commit.marker import Marker, marker_path
from encdec_batch.commit.quarantine import QuarantineRecord, write_quarantine
from encdec_batch.commit.scene import part_path
from encdec_batch.errors import CommitError
from encdec_batch.job.survey import parts_of, survey


def put(store: FakeStore, marker: Marker) -> str:
    return store.put(marker_path(marker.scene_id), marker.to_json()).etag


def test_a_new_output_holds_nothing():
    known = survey(FakeStore())
    assert (known.committed, known.quarantined, known.parts) == ({}, {}, {})


def test_markers_by_scene():
    store = FakeStore()
    marker = fake_marker("a", generation=3, outputs=("mask.tif", "quicklook.png"))
    etag = put(store, marker)
    put(store, fake_marker("b", key="B"))
    known = survey(store)
    assert set(known.committed) == {"a", "b"}
    found = known.committed["a"]
    assert (found.generation, found.etag, found.scene_key) == (3, etag, marker.scene_key)
    assert found.outputs == {"mask.tif", "quicklook.png"}


def test_parts_by_key():
    store = FakeStore()
    for key, name in [("k1", "0-0"), ("k1", "0-1"), ("k2", "0-0")]:
        store.put(part_path(key, name), b"part")
    assert survey(store).parts == {"k1": {"0-0", "0-1"}, "k2": {"0-0"}}


def test_files_without_a_marker_are_nobody_s():
    store = FakeStore()
    store.put("scenes/a/1-0123456789abcdef-01234567/mask.tif", b"left over")
    store.put("markers/notes.txt", b"not a marker")
    known = survey(store)
    assert known.committed == {}


@pytest.mark.parametrize("kind", ["condemned", "transient"])
def test_quarantine_by_scene(kind):
    store = FakeStore()
    record = QuarantineRecord(
        stage="read",
        scene_id="a",
        uri="s3://x/a.tif",
        block="1-1",
        reason="bad",
        hint="mend it",
        kind=kind,
        trial_key="k",
    )
    write_quarantine(store, record)
    [(scene_id, found)] = survey(store).quarantined.items()
    assert (scene_id, found.trial_key, found.aside.transient) == ("a", "k", kind == "transient")
    aside = found.aside
    assert (aside.stage, aside.block, aside.reason, aside.hint) == ("read", "1-1", "bad", "mend it")


def test_a_marker_of_a_newer_version_stops_the_survey():
    store = FakeStore()
    store.put(marker_path("a"), fake_marker("a").to_json().replace(b'"format_version":1', b'"format_version":2'))
    with pytest.raises(CommitError, match="format version 2, newer than 1"):
        survey(store)


def test_what_lies_beside_parts_and_has_no_name_of_one_is_not_counted_as_done():
    store = FakeStore()
    for name in ("0-0", "12-3", "check-2", "coarse", "notes.txt", "0-0.tmp", "1-2-3", "a/0-1"):
        store.put(part_path("k1", name), b"part")
    store.put(".encdec/parts/readme", b"mine")
    assert survey(store).parts == {"k1": {"0-0", "12-3", "check-2"}}
    assert parts_of(store, "k1") == {"0-0", "12-3", "check-2"}
