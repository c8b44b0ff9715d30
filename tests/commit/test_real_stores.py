"""The protocol on stores as they are: what the fake promises, they keep."""

from __future__ import annotations

import os
from dataclasses import replace

import fsspec
import pytest
from fakes import fake_bytes, fake_marker
from servers import s3_server_process

from encdec_batch.commit.holder import HolderInfo
from encdec_batch.commit.lease import LeaseTimes, acquire_lease, check_lease
from encdec_batch.commit.marker import move_marker, read_marker, read_markers
from encdec_batch.commit.prune import PARTS_PREFIX, PruneRules, find_prunable, prune, remove_scene, remove_work
from encdec_batch.commit.quarantine import QuarantineRecord, list_quarantine, remove_quarantine, write_quarantine
from encdec_batch.errors import CommitConflict, LeaseHeld
from encdec_batch.store.open import open_store

SLOW = LeaseTimes(renew_s=3600)
AT_ONCE = PruneRules(keep_previous_s=-1, orphan_after_s=float("inf"))


@pytest.fixture(scope="module")
def server():
    with s3_server_process() as server:
        yield server


@pytest.fixture(params=["file", "memory", pytest.param("s3", marks=pytest.mark.integration)])
def store(request, tmp_path):
    if request.param == "file":
        yield open_store(str(tmp_path / "output"))
    elif request.param == "memory":
        root = f"/{tmp_path.name}"
        yield open_store(f"memory:/{root}")
        files = fsspec.filesystem("memory")
        if files.exists(root):
            files.rm(root, recursive=True)
    else:
        server = request.getfixturevalue("server")
        yield open_store(f"s3://{server.make_bucket()}/output", server.options)


def acquire(store, run_id, **changes):
    holder = replace(HolderInfo.current(run_id), boot_id="another machine")
    return acquire_lease(store, holder, times=replace(SLOW, **changes))


def commit(store, marker, lease_n, expected_etag=None):
    for file in marker.outputs.values():
        with store.open_writer(file.path) as writer:
            writer.write(fake_bytes(file.path))
            writer.finish()
    return move_marker(store, marker, expected_etag=expected_etag, lease_n=lease_n)


def test_leases(store):
    first = acquire(store, "run-a")
    first.renew()
    first.renew()
    with pytest.raises(LeaseHeld, match="run-a"):
        acquire(store, "run-b")
    with acquire(store, "run-b", dead_after_s=-1) as second:
        assert second.n == 2
        for still_held in (first.check, first.renew):
            with pytest.raises(LeaseHeld, match="run-b"):
                still_held()
        first.release()
        check_lease(store, 2)
    with acquire(store, "run-c") as third:
        assert third.n == 3


def test_commits(store):
    with acquire(store, "run") as lease:
        first = commit(store, fake_marker(key="A"), lease.n)
        second = commit(store, fake_marker(generation=2, key="B"), lease.n, first.etag)
        assert read_marker(store, "a") == (second.marker, second.etag)
        for expected in (None, first.etag):
            with pytest.raises(CommitConflict):
                commit(store, fake_marker(generation=2, key="C"), lease.n, expected)
        again = commit(store, fake_marker(generation=2, key="B", made_by="gpu"), lease.n, first.etag)
        assert (again.moved, again.marker, again.etag) == (False, second.marker, second.etag)
        commit(store, fake_marker("b"), lease.n)
        markers = [marker for marker, _ in read_markers(store)]
        assert [marker.scene_id for marker in markers] == ["a", "b"]


def test_prune(store):
    with acquire(store, "run") as lease:
        first = commit(store, fake_marker(key="A"), lease.n)
        commit(store, fake_marker(generation=2, key="B"), lease.n, first.etag)
        store.create(f"{PARTS_PREFIX}aa/0", b"part")
        assert list(find_prunable(store)) == []
        (folder,) = prune(store, lease_n=lease.n, rules=AT_ONCE)
        assert folder.objects == (first.marker.outputs["mask.tif"].path,)
        assert remove_work(store, PARTS_PREFIX, {"aa"}) == 1
        removed = remove_scene(store, "a", lease_n=lease.n, note="removed")
        list(prune(store, lease_n=lease.n, rules=AT_ONCE))
        assert list(store.list("scenes/")) == []
        assert read_marker(store, "a") == (removed.marker, removed.etag)


def test_quarantine(store):
    record = QuarantineRecord(
        stage="read", scene_id="a", uri="s3://x/a.tif", reason="torn", kind="condemned", trial_key="k"
    )
    write_quarantine(store, record)
    write_quarantine(store, record)
    assert list(list_quarantine(store)) == [record]
    remove_quarantine(store, ["a", "b"])
    assert list(list_quarantine(store)) == []


def test_prune_clears_what_killed_writers_left_anywhere(tmp_path):
    store = open_store(str(tmp_path / "output"))
    for path in ("report/index.html", "scenes/a/x"):
        store.open_writer(path).write(b"1")
    [old, young] = sorted((tmp_path / "output").rglob(".encdec-own-tmp-*"))
    os.utime(old, (0, 0))
    with acquire(store, "run") as lease:
        list(prune(store, lease_n=lease.n))
    assert sorted((tmp_path / "output").rglob(".encdec-own-tmp-*")) == [young]
