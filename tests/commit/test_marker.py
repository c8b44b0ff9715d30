from __future__ import annotations

import hashlib
import json
import pickle

import pytest
from fakes import FakeStore, fake_marker
from pydantic import ValidationError

from encdec_batch.commit.holder import HolderInfo
from encdec_batch.commit.lease import LeaseTimes, acquire_lease, lease_path
from encdec_batch.commit.marker import (
    MOVE_TRIES,
    Marker,
    OutputFile,
    carry_on,
    is_committed,
    list_markers,
    marker_path,
    move_marker,
    next_generation,
    read_marker,
    read_markers,
)
from encdec_batch.errors import CommitConflict, CommitError, LeaseHeld, SpecError, TransientStoreError
from encdec_batch.write.sink import Written

PATH = marker_path("a")


def take_over(store, n):
    store.put(lease_path(n + 1), b"{}")


def move(store, marker, expected_etag=None, lease_n=1):
    return move_marker(store, marker, expected_etag=expected_etag, lease_n=lease_n)


def test_a_marker_is_read_as_it_was_written():
    store = FakeStore()
    assert read_marker(store, "a") is None
    marker = fake_marker(outputs=["mask.tif", "cells.parquet"])
    result = move(store, marker)
    assert result.moved
    assert read_marker(store, "a") == (marker, result.etag)
    assert store.info(PATH).etag == result.etag


def test_equal_markers_have_equal_bytes_whatever_the_order():
    one = fake_marker(outputs=["mask.tif", "mask.png"])
    two = fake_marker(outputs=["mask.png", "mask.tif"])
    assert list(one.outputs) != list(two.outputs)
    assert one.to_json() == two.to_json()


def test_two_generations_of_the_same_work_never_have_one_etag():
    first = fake_marker(outputs=[])
    second = first.model_copy(update={"generation": 2})
    assert first.to_json() != second.to_json()


def test_a_commit_asks_for_the_lease_and_then_puts():
    store = FakeStore()
    move(store, fake_marker())
    assert store.requests == [("get", lease_path(2)), ("create", PATH)]
    store.requests.clear()
    _, etag = read_marker(store, "a")
    move(store, fake_marker(generation=2, key="B"), etag)
    assert store.requests[1:] == [("get", lease_path(2)), ("replace", PATH)]


def test_a_zombie_of_a_lease_taken_over_moves_nothing():
    store = FakeStore()
    take_over(store, 1)
    with pytest.raises(LeaseHeld):
        move(store, fake_marker(), lease_n=1)
    assert read_marker(store, "a") is None


def test_a_zombie_stopped_between_lease_check_and_put_moves_nothing():
    store = FakeStore()
    newer = fake_marker(key="B")

    def overtake(operation, path):
        if operation == "create":
            store.before = lambda operation, path: None
            take_over(store, 1)
            move(store, newer, lease_n=2)

    store.before = overtake
    with pytest.raises(CommitConflict) as caught:
        move(store, fake_marker(key="A"), lease_n=1)
    marker, etag = read_marker(store, "a")
    assert marker == newer
    expected = {"found_key": newer.scene_key, "found_generation": 1, "found_etag": etag, "scene_id": "a"}
    assert caught.value.context.items() >= expected.items()
    assert pickle.loads(pickle.dumps(caught.value)).context == caught.value.context


def test_an_old_model_cannot_come_back():
    store = FakeStore()
    first = move(store, fake_marker(key="A"))
    second = move(store, fake_marker(generation=2, key="B"), first.etag)
    with pytest.raises(CommitConflict, match="generation 2, key"):
        move(store, fake_marker(generation=2, key="C"), first.etag)
    third = move(store, fake_marker(generation=3, key="A"), second.etag)
    with pytest.raises(CommitConflict):
        move(store, fake_marker(generation=2, key="B"), first.etag)
    assert read_marker(store, "a")[1] == third.etag
    assert third.etag != first.etag


def test_the_same_key_with_other_bytes_counts_as_success():
    store = FakeStore()
    mine, others = fake_marker(made_by="cpu"), fake_marker(made_by="gpu")
    assert mine.outputs["mask.tif"].sha256 != others.outputs["mask.tif"].sha256
    first = move(store, others)
    result = move(store, mine)
    assert (result.moved, result.marker, result.etag) == (False, others, first.etag)


def test_the_same_key_with_an_output_missing_is_a_conflict():
    store = FakeStore()
    move(store, fake_marker(outputs=["mask.tif"]))
    with pytest.raises(CommitConflict, match=r"outputs \['mask.tif'\]; wanted .* \['mask.png', 'mask.tif'\]"):
        move(store, fake_marker(outputs=["mask.tif", "mask.png"]))


def test_a_removal_and_a_commit_are_no_substitute_for_each_other():
    store = FakeStore()
    first = move(store, fake_marker())
    with pytest.raises(CommitConflict):
        move(store, fake_marker(outputs=[]))
    move(store, fake_marker(generation=2, outputs=[]), first.etag)
    with pytest.raises(CommitConflict):
        move(store, fake_marker(generation=2), first.etag)


def test_a_lost_answer_is_found_to_be_done():
    store = FakeStore(faults={PATH: ["lost answer"]})
    result = move(store, fake_marker())
    assert result.marker == fake_marker()
    assert [path for operation, path in store.requests if operation == "create"] == [PATH]


def test_a_lost_request_is_sent_once_more_after_the_lease_is_checked_again():
    store = FakeStore(faults={PATH: ["never"]})
    assert move(store, fake_marker()).moved
    once = [("get", lease_path(2)), ("create", PATH)]
    assert store.requests == [*once, ("get", PATH), *once]


def test_a_store_that_loses_many_requests_commits_in_the_end():
    store = FakeStore(faults={PATH: ["never"] * (MOVE_TRIES - 1)})
    assert move(store, fake_marker()).moved
    assert store.requests.count(("get", lease_path(2))) == store.requests.count(("create", PATH)) == MOVE_TRIES


def test_a_lost_request_is_not_sent_again_once_the_lease_is_gone():
    store = FakeStore(faults={PATH: ["never"]})
    store.before = lambda operation, path: take_over(store, 1) if (operation, path) == ("get", PATH) else None
    with pytest.raises(LeaseHeld):
        move(store, fake_marker())
    assert read_marker(store, "a") is None


def test_a_late_request_and_its_repetition_commit_once():
    store = FakeStore(faults={PATH: ["late"]})
    result = move(store, fake_marker())
    store.deliver()
    assert read_marker(store, "a") == (fake_marker(), result.etag)


def test_a_late_request_that_arrives_before_its_repetition():
    store = FakeStore(faults={PATH: ["late"]})
    store.before = lambda operation, path: store.deliver() if operation == "create" and store.late else None
    result = move(store, fake_marker())
    assert not result.moved
    assert result.marker == fake_marker()


@pytest.mark.parametrize("faults", [["late", "late"], ["never", "never"], ["late", "never"], ["never", "late"]])
def test_a_store_that_never_answers_leaves_it_open(faults):
    faults = faults * (MOVE_TRIES // 2)
    store = FakeStore(faults={PATH: list(faults)})
    with pytest.raises(TransientStoreError):
        move(store, fake_marker())
    assert read_marker(store, "a") is None
    while store.late:
        store.deliver()
    committed = read_marker(store, "a")
    assert (committed is not None) == ("late" in faults)
    assert committed is None or committed[0] == fake_marker()


def test_no_answer_and_the_marker_of_another():
    store = FakeStore(faults={PATH: ["never"]})
    other = fake_marker(key="B").to_json()
    store.before = lambda operation, path: store.objects.update({PATH: (other, 0.0)}) if path == PATH else None
    with pytest.raises(CommitConflict):
        move(store, fake_marker(key="A"))


def test_a_marker_that_is_gone_is_a_conflict():
    store = FakeStore()
    first = move(store, fake_marker())
    del store.objects[PATH]
    with pytest.raises(CommitConflict, match="is gone") as caught:
        move(store, fake_marker(generation=2), first.etag)
    assert caught.value.context["found_etag"] is None


def test_the_lease_of_a_real_holder_lets_its_committers_commit():
    store = FakeStore()
    with acquire_lease(store, HolderInfo.current("run"), times=LeaseTimes(renew_s=3600)) as lease:
        assert move(store, fake_marker(), lease_n=lease.n).moved


def test_an_added_output_carries_the_older_files_on_by_their_paths():
    store = FakeStore()
    first = fake_marker(outputs=["mask.tif"])
    etag = move(store, first).etag
    asked = {"mask.tif", "mask.png"}
    carried = carry_on(first, scene_key=first.scene_key, asked=asked)
    assert carried == first.outputs
    second = fake_marker(generation=next_generation(first), outputs=asked - carried.keys(), carried=carried)
    move(store, second, etag)
    marker, _ = read_marker(store, "a")
    assert marker.outputs["mask.tif"].path.startswith("scenes/a/1-")
    assert marker.outputs["mask.png"].path.startswith("scenes/a/2-")
    assert is_committed(marker, scene_key=marker.scene_key, asked=asked)


def test_what_is_committed_depends_on_key_and_outputs_asked_for():
    marker = fake_marker(outputs=["mask.tif", "mask.png"])
    other_key = fake_marker(key="B").scene_key
    assert is_committed(marker, scene_key=marker.scene_key, asked=["mask.tif"])
    assert not is_committed(marker, scene_key=marker.scene_key, asked=["mask.tif", "cells.parquet"])
    assert not is_committed(marker, scene_key=other_key, asked=["mask.tif"])
    assert not is_committed(None, scene_key=marker.scene_key, asked=["mask.tif"])
    assert carry_on(marker, scene_key=marker.scene_key, asked=["mask.tif"]).keys() == {"mask.tif"}
    assert carry_on(marker, scene_key=other_key, asked=["mask.tif"]) == {}
    assert carry_on(None, scene_key=other_key, asked=["mask.tif"]) == {}
    assert next_generation(None) == 1


def test_markers_are_listed_and_read_in_order():
    store = FakeStore()
    ids = [f"s{n:03}" for n in range(300)]
    for scene_id in ids:
        move(store, fake_marker(scene_id))
    store.put("markers/notes.txt", b"")
    store.put("markers/deeper/a.json", b"")
    assert [scene_id for scene_id, _ in list_markers(store)] == ids
    assert [(marker.scene_id, info.etag) for marker, info in read_markers(store)] == [
        (scene_id, info.etag) for scene_id, info in list_markers(store)
    ]
    assert [marker.scene_id for marker, _ in read_markers(store, ["s007", "none", "s003"])] == ["s007", "s003"]


def named(path):
    return {"path": path, "size": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 2},
        {"unknown": 1},
        {"scene_id": "b"},
        {"scene_id": "../b"},
        {"generation": 0},
        {"scene_key": "A"},
        {"outputs": {"mask.tif": named("scenes/b/1-0123456789abcdef-01234567/mask.tif")}},
        {"outputs": {"mask.tif": named("scenes/a/2-0123456789abcdef-01234567/mask.tif")}},
        {"outputs": {"mask.tif": named("scenes/a/../../secret")}},
    ],
)
def test_a_marker_that_is_not_to_be_trusted_is_refused(change):
    store = FakeStore()
    store.put(PATH, json.dumps({**json.loads(fake_marker("a").to_json()), **change}).encode())
    with pytest.raises(CommitError) as caught:
        read_marker(store, "a")
    assert caught.value.context["scene_id"] == "a"


def test_bytes_that_are_no_marker_are_refused():
    store = FakeStore()
    for data in (b"", b"{", b"[]", b"\xff", fake_marker().to_json()[:-9]):
        store.put(PATH, data)
        with pytest.raises(CommitError, match=r"markers/a.json is not a marker"):
            read_marker(store, "a")


@pytest.mark.parametrize("scene_id", ["", "../a", "a/b", ".a", "a\n", "ä", "a b"])
def test_ids_that_may_not_stand_in_a_path(scene_id):
    with pytest.raises(SpecError):
        marker_path(scene_id)


def test_a_marker_cannot_be_changed():
    with pytest.raises(ValidationError):
        fake_marker().generation = 2


def test_the_certificate_is_free_for_now():
    certificate = {"windows": 4, "flips": 0, "text": None}
    marker = fake_marker().model_copy(update={"certificate": certificate})
    assert Marker.model_validate_json(marker.to_json()).certificate == certificate


# Outputs that are folders


def folder_marker():
    path = fake_marker(outputs=["mask.tif"]).outputs["mask.tif"].path.replace("mask.tif", "mask.ome.zarr")
    written = {name: Written(size_bytes=len(name), sha256=f"{size:064x}") for size, name in enumerate(("b", "0/c/0"))}
    return fake_marker(outputs=["mask.tif"]).model_copy(
        update={"outputs": {"mask.ome.zarr": OutputFile.of_folder(path, written)}}
    )


def test_a_folder_is_its_members_in_whichever_order_they_came():
    marker = folder_marker()
    [file] = marker.outputs.values()
    assert Marker.model_validate_json(marker.to_json()) == marker
    assert file.size == 6
    assert [(one.path, one.size) for one in file.objects()] == [(f"{file.path}/0/c/0", 5), (f"{file.path}/b", 1)]
    lines = f"0/c/0,5,{1:064x}\nb,1,{0:064x}\n"
    assert file.sha256 == hashlib.sha256(lines.encode()).hexdigest()


def test_a_file_says_nothing_of_members():
    marker = fake_marker(outputs=["mask.tif"])
    [file] = marker.outputs.values()
    assert list(file.objects()) == [file]
    assert set(json.loads(marker.to_json())["outputs"]["mask.tif"]) == {"path", "size", "sha256"}


@pytest.mark.parametrize("change", [("0/c/0", "../0/c/0"), ('"size":5', '"size":4'), (f"{1:064x}", f"{2:064x}")])
def test_a_folder_whose_members_are_not_of_it_is_no_marker(change):
    with pytest.raises(ValidationError, match="member"):
        Marker.model_validate_json(folder_marker().to_json().decode().replace(*change))
