from __future__ import annotations

import pytest
from fakes import FakeStore, fake_bytes, fake_marker

from encdec_batch.commit.lease import lease_path
from encdec_batch.commit.marker import carry_on, is_committed, move_marker, read_marker
from encdec_batch.commit.prune import (
    PARTS_PREFIX,
    STAGED_PREFIX,
    PruneRules,
    find_prunable,
    prune,
    remove_scene,
    remove_work,
)
from encdec_batch.errors import LeaseHeld
from encdec_batch.store.probe import PROBE_PREFIX

DAY = 24 * 3600.0


def write_files(store, marker):
    for file in marker.outputs.values():
        if file.path not in store.objects:
            store.create(file.path, fake_bytes(file.path))


def commit(store, marker):
    write_files(store, marker)
    found = read_marker(store, marker.scene_id)
    move_marker(store, marker, expected_etag=found[1] if found else None, lease_n=1)
    return marker


def folder_of(marker, name="mask.tif"):
    return marker.outputs[name].path.removesuffix(name)


DEFAULT = PruneRules()


def found(store, rules=DEFAULT):
    return {folder.path: folder.reason for folder in find_prunable(store, rules)}


def test_a_superseded_folder_goes_a_day_after_the_marker_moved():
    store = FakeStore()
    first = commit(store, fake_marker())
    store.advance(30 * DAY)
    second = commit(store, fake_marker(generation=2, key="B"))
    store.advance(DAY - 1)
    assert found(store) == {}
    store.advance(1)
    assert found(store) == {folder_of(first): "superseded"}
    assert folder_of(first) + "mask.tif" in store.objects, "a dry run deletes nothing"
    assert [folder.path for folder in prune(store, lease_n=1)] == [folder_of(first)]
    assert {path for path in store.objects if path.startswith("scenes/")} == {folder_of(second) + "mask.tif"}
    assert found(store) == {}


def test_how_long_a_previous_generation_stays_can_be_chosen():
    store = FakeStore()
    commit(store, fake_marker())
    commit(store, fake_marker(generation=2, key="B"))
    store.advance(10)
    assert len(found(store, PruneRules(keep_previous_s=10))) == 1
    assert len(found(store, PruneRules(keep_previous_s=11))) == 0


def test_files_carried_on_keep_their_folder():
    store = FakeStore()
    first = commit(store, fake_marker(outputs=["mask.tif"]))
    carried = carry_on(first, scene_key=first.scene_key, asked=["mask.tif", "mask.png"])
    commit(store, fake_marker(generation=2, outputs=["mask.png"], carried=carried))
    store.advance(30 * DAY)
    assert found(store) == {}


def test_the_losers_folder_of_the_same_generation_is_superseded():
    store = FakeStore()
    loser = fake_marker(made_by="gpu")
    write_files(store, loser)
    commit(store, fake_marker(made_by="cpu"))
    store.advance(DAY)
    assert found(store) == {folder_of(loser): "superseded"}


def test_a_folder_that_may_still_be_named_goes_only_after_a_week_without_a_write():
    store = FakeStore()
    commit(store, fake_marker("a"))
    higher, unmarked = fake_marker("a", generation=2, key="B"), fake_marker("b", outputs=["mask.tif", "mask.png"])
    write_files(store, higher)
    write_files(store, unmarked)
    store.advance(3 * DAY)
    store.put(folder_of(unmarked) + "mask.png", b"")
    store.advance(4 * DAY - 1)
    assert found(store) == {}
    store.advance(1)
    assert found(store) == {folder_of(higher): "never committed"}
    store.advance(3 * DAY)
    assert found(store) == {folder_of(higher): "never committed", folder_of(unmarked): "never committed"}


def test_a_removed_scene_has_a_marker_without_outputs_and_loses_its_files_later():
    store = FakeStore()
    first = commit(store, fake_marker())
    result = remove_scene(store, "a", lease_n=1, note="removed")
    assert (result.marker.generation, result.marker.outputs) == (2, {})
    assert not is_committed(result.marker, scene_key=first.scene_key, asked=["mask.tif"])
    assert found(store) == {}
    store.advance(DAY)
    assert found(store) == {folder_of(first): "superseded"}
    list(prune(store, lease_n=1))
    assert read_marker(store, "a") == (result.marker, result.etag)
    assert remove_scene(store, "a", lease_n=1, note="removed") is None
    assert remove_scene(store, "never-there", lease_n=1, note="removed") is None
    again = commit(store, fake_marker(generation=3))
    assert read_marker(store, "a")[0] == again


def test_nothing_is_deleted_once_the_lease_is_gone():
    store = FakeStore()
    first = commit(store, fake_marker())
    commit(store, fake_marker(generation=2, key="B"))
    store.advance(DAY)
    store.put(lease_path(2), b"{}")
    with pytest.raises(LeaseHeld):
        list(prune(store, lease_n=1))
    with pytest.raises(LeaseHeld):
        remove_scene(store, "a", lease_n=1, note="removed")
    assert folder_of(first) + "mask.tif" in store.objects


def test_objects_that_are_not_ours_are_left_alone():
    store = FakeStore()
    for path in ("scenes/notes.txt", "scenes/a/notes.txt", "scenes/a/old/mask.tif", "other/x"):
        store.put(path, b"")
    store.advance(365 * DAY)
    assert found(store) == {}


def test_parts_of_committed_keys_go_by_one_listing_and_in_batches():
    class Batches(FakeStore):
        def delete(self, paths):
            paths = list(paths)
            batches.append(len(paths))
            super().delete(paths)

    batches = []
    store = Batches()
    for key in ("aa", "bb", "cc"):
        for block in range(700):
            store.put(f"{PARTS_PREFIX}{key}/{block}", b"")
    store.requests.clear()
    assert remove_work(store, PARTS_PREFIX, {"aa", "bb"}) == 1400
    assert batches == [1000, 400]
    assert [request for request in store.requests if request[0] == "list"] == [("list", PARTS_PREFIX)]
    assert {path.split("/")[2] for path in store.objects} == {"cc"}
    assert remove_work(store, PARTS_PREFIX, set()) == 0


def test_work_left_over_goes_after_a_week_without_a_write():
    store = FakeStore()
    store.put(f"{PARTS_PREFIX}aa/0", b"12")
    store.put(f"{PARTS_PREFIX}bb/0", b"")
    store.put(f"{STAGED_PREFIX}cc/0", b"")
    store.put(f"{PROBE_PREFIX}dd", b"")
    store.advance(6 * DAY)
    store.put(f"{PARTS_PREFIX}bb/1", b"")
    store.advance(DAY)
    assert found(store) == dict.fromkeys(
        [f"{PARTS_PREFIX}aa/", f"{STAGED_PREFIX}cc/", f"{PROBE_PREFIX}dd/"], "left over work"
    )
    assert next(find_prunable(store)).size_bytes == 2
    list(prune(store, lease_n=1))
    assert set(store.objects) == {f"{PARTS_PREFIX}bb/0", f"{PARTS_PREFIX}bb/1"}


def test_many_scenes_are_looked_at():
    store = FakeStore()
    for n in range(300):
        commit(store, fake_marker(f"s{n}"))
        commit(store, fake_marker(f"s{n}", generation=2, key="B"))
    store.advance(DAY)
    assert len(list(prune(store, lease_n=1))) == 300
    assert found(store) == {}
