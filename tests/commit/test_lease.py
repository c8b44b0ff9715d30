from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import FakeStore

from encdec_batch.commit.holder import HolderInfo, is_gone
from encdec_batch.commit.lease import (
    LEASE_PREFIX,
    LeaseRecord,
    LeaseTimes,
    acquire_lease,
    check_lease,
    lease_path,
)
from encdec_batch.errors import CommitError, LeaseHeld, PermanentStoreError, TransientStoreError

ELSEWHERE = HolderInfo(run_id="run-a", host="far", pid=7, boot_id="other", pid_namespace="pid:[1]", process_started=1)
SLOW = LeaseTimes(renew_s=3600)


def acquire(store, run_id="run-a", **options):
    return acquire_lease(store, replace(ELSEWHERE, run_id=run_id), times=SLOW, **options)


def record(store, n):
    return LeaseRecord.from_json(store.objects[lease_path(n)][0])


def test_numbers_are_never_used_again_and_no_file_goes():
    store = FakeStore()
    for n in (1, 2, 3):
        with acquire(store) as lease:
            assert lease.n == n
            lease.check()
    assert sorted(store.objects) == [lease_path(n) for n in (1, 2, 3)]
    assert all(record(store, n).ended for n in (1, 2, 3))


def test_a_live_lease_is_refused_and_says_who_and_how_long():
    store = FakeStore()
    with acquire(store, "run-a") as lease:
        store.advance(44)
        with pytest.raises(LeaseHeld, match=r"run run-a \(process 7 on far\), which renewed its lease 1 44 s ago"):
            acquire(store, "run-b")
        lease.check()
    assert lease_path(2) not in store.objects


def test_a_lease_is_dead_45_s_after_its_last_renewal_by_the_stores_clock():
    store = FakeStore()
    first = acquire(store, "run-a")
    store.advance(40)
    first.renew()
    store.advance(44)
    with pytest.raises(LeaseHeld):
        acquire(store, "run-b")
    store.advance(1)
    with acquire(store, "run-b") as second:
        assert second.n == 2
        second.check()
        with pytest.raises(LeaseHeld, match="taken over by run run-b"):
            first.check()
        with pytest.raises(LeaseHeld):
            check_lease(store, 1)
        with pytest.raises(LeaseHeld):
            first.renew()
    first.release()


def test_an_ended_lease_is_taken_at_once():
    store = FakeStore()
    acquire(store, "run-a").release()
    with acquire(store, "run-b") as lease:
        assert lease.n == 2


def test_waiting_ends_when_the_other_ends():
    store = FakeStore()
    first = acquire(store, "run-a")
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        store.advance(seconds)
        first.renew()
        if len(waited) == 3:
            first.release()

    with acquire(store, "run-b", wait_s=1000, sleep=sleep) as second:
        assert second.n == 2
    assert len(waited) == 3


def test_waiting_ends_when_its_time_is_up():
    store = FakeStore()
    with acquire(store, "run-a") as first:
        waited = []

        def sleep(seconds):
            waited.append(seconds)
            store.advance(seconds)
            first.renew()

        with pytest.raises(LeaseHeld):
            acquire(store, "run-b", wait_s=5, sleep=sleep)
        assert sum(waited) == 5


def test_of_two_who_find_it_free_one_gets_it():
    store = FakeStore()
    others = []

    def overtake(operation, path):
        if operation == "create" and not others:
            others.append("in between")
            others.append(acquire(store, "run-b"))

    store.before = overtake
    with pytest.raises(LeaseHeld, match="run-b"):
        acquire(store, "run-a")
    others[1].check()
    assert [others[1].n, *store.objects] == [1, lease_path(1)]
    others[1].release()


def test_a_late_listing_does_not_hide_the_newest_lease():
    class LateListing(FakeStore):
        def list(self, prefix=""):
            return iter([info for info in super().list(prefix) if info.path != lease_path(2)])

    store = LateListing()
    acquire(store, "run-a").release()
    with acquire(store, "run-b") as lease:
        assert lease.n == 2
        with pytest.raises(LeaseHeld, match="run-b"):
            acquire(store, "run-c")


@pytest.mark.parametrize("fault", ["lost answer", "late", "never"])
def test_requests_without_an_answer(fault):
    store = FakeStore(faults={lease_path(1): [fault]})
    lease = acquire(store)
    for _ in range(3):
        store.faults[lease_path(1)] = [fault]
        lease.renew()
        while store.late:
            store.deliver()
    assert record(store, 1).renewals == 3
    store.faults[lease_path(1)] = [fault]
    lease.release()
    assert record(store, 1).ended


def test_a_late_renewal_does_not_undo_the_end():
    store = FakeStore()
    lease = acquire(store)
    store.faults[lease_path(1)] = ["late"]
    lease.renew()
    lease.release()
    assert store.late
    store.deliver()
    assert record(store, 1).ended


def test_an_answer_lost_at_creation_when_the_store_then_says_it_exists():
    class Forgetful(FakeStore):
        """Repeats a create and does not compare the bytes it finds."""

        def create(self, path, data, *, retry_unknown=True):
            super().create(path, data)
            return super().create(path, data)

    with acquire(Forgetful()) as lease:
        assert lease.n == 1
        lease.renew()


def test_the_thread_renews_and_notices_a_take_over():
    store = FakeStore()
    renewed, looked = threading.Event(), threading.Event()

    def before(operation, path):
        if operation == "replace":
            renewed.set()
        if (operation, path) == ("get", lease_path(2)) and lease_path(2) in store.objects:
            looked.set()

    store.before = before
    lease = acquire_lease(store, ELSEWHERE, times=LeaseTimes(renew_s=0.001))
    assert renewed.wait(30)
    store.objects[lease_path(2)] = (b"{}", store.clock)
    assert looked.wait(30)
    lease.release()
    with pytest.raises(LeaseHeld, match="a run of another version"):
        lease.check()


def test_a_store_that_fails_for_a_while_does_not_end_the_renewals():
    store = FakeStore()
    failures = iter([True, True, False])
    renewed = threading.Event()

    def before(operation, path):
        if operation == "replace":
            if next(failures, False):
                raise TransientStoreError("no route to host")
            renewed.set()

    store.before = before
    lease = acquire_lease(store, ELSEWHERE, times=LeaseTimes(renew_s=0.001))
    assert renewed.wait(30)
    store.before = lambda operation, path: None
    lease.release()
    lease.check()


def test_a_store_that_says_it_has_no_if_match_is_renewed_too():
    class NoIfMatch(FakeStore):
        def replace(self, path, data, *, etag, retry_unknown=True):
            raise PermanentStoreError(f"{self.uri}/{path}: NotImplemented")

    store = NoIfMatch()
    lease = acquire(store, "run-a")
    store.advance(40)
    lease.renew()
    store.advance(40)
    with pytest.raises(LeaseHeld, match="40 s ago"):
        acquire(store, "run-b")
    lease.release()
    assert record(store, 1).ended
    assert acquire(store, "run-b").n == 2


def test_release_does_not_raise_when_the_store_is_down_and_ends_once():
    store = FakeStore()
    lease = acquire(store)

    def down(operation, path):
        raise TransientStoreError("no route to host")

    store.before = down
    lease.release()
    store.before = lambda operation, path: None
    before = len(store.requests)
    lease.release()
    assert len(store.requests) == before


def test_a_lease_file_that_somebody_removed_is_lost():
    store = FakeStore()
    lease = acquire(store)
    del store.objects[lease_path(1)]
    with pytest.raises(LeaseHeld, match="no longer the file"):
        lease.renew()
    with pytest.raises(LeaseHeld):
        lease.check()


def test_an_unreadable_lease_counts_by_its_age():
    store = FakeStore()
    store.put(lease_path(4), b"not a lease")
    store.put(f"{LEASE_PREFIX}notes.txt", b"")
    with pytest.raises(LeaseHeld, match="a run of another version"):
        acquire(store)
    store.advance(45)
    with acquire(store) as lease:
        assert lease.n == 5


def test_created_is_before_the_file():
    store = FakeStore(clock=500.0)
    with acquire(store) as lease:
        assert lease.created == record(store, 1).created == 500.0


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"n": 1}', b'{"holder": 3}', b"\xff"])
def test_bytes_that_are_no_lease(data):
    with pytest.raises(CommitError):
        LeaseRecord.from_json(data)


@pytest.fixture
def ended_process():
    """Identity of a process of this boot that has ended and was waited for."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        started = _holder_of(child.pid)
        assert not is_gone(started)
    return started


def _holder_of(pid):
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    ticks = int(stat.rpartition(")")[2].split()[19])
    return replace(HolderInfo.current("run-a"), pid=pid, process_started=ticks)


def test_a_pid_gone_on_this_boot_frees_the_lease_at_once(ended_process):
    store = FakeStore()
    acquire_lease(store, ended_process, times=SLOW)
    with acquire(store, "run-b") as lease:
        assert lease.n == 2


@pytest.mark.parametrize("change", [{"boot_id": "other"}, {"pid_namespace": "pid:[1]"}, {"boot_id": ""}])
def test_a_pid_of_another_boot_or_namespace_is_never_believed_gone(ended_process, change):
    store = FakeStore()
    acquire_lease(store, replace(ended_process, **change), times=SLOW)
    with pytest.raises(LeaseHeld):
        acquire(store, "run-b")


def test_a_pid_used_again_by_another_process_is_gone():
    me = HolderInfo.current("run-a")
    assert me.pid == os.getpid()
    assert not is_gone(me)
    assert is_gone(replace(me, process_started=me.process_started - 1))
    assert not is_gone(replace(me, process_started=0)), "unknown"


def test_a_process_that_ended_and_was_not_waited_for_is_gone():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    holder = _holder_of(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_gone(holder)
    child.communicate()


def set_time(store, n, modified):
    store.objects[lease_path(n)] = store.objects[lease_path(n)][0], modified


def test_the_clock_of_the_writers_machine_is_no_matter():
    """Only the store's clock counts: what a holder wrote into its file may be years off."""
    store = FakeStore()
    made = acquire(store, "run-a")
    ahead = replace(record(store, 1), created=store.clock + 1e8)
    store.put(lease_path(1), ahead.to_json())
    with pytest.raises(LeaseHeld, match="renewed its lease 1 0 s ago"):
        acquire(store, "run-b")
    store.advance(45)
    assert acquire(store, "run-b").n == 2
    made.release()


def test_a_lease_from_the_future_is_free_once_it_was_seen_not_to_be_renewed():
    """The clock of a file system was set back: by it the lease would live for a day."""
    store = FakeStore()
    acquire(store, "run-a")
    set_time(store, 1, store.clock + 24 * 3600)
    slept = []
    assert acquire(store, "run-b", sleep=slept.append).n == 2
    assert sum(slept) >= SLOW.dead_after_s


def test_a_lease_from_the_future_that_is_renewed_is_held():
    store = FakeStore()
    held = acquire(store, "run-a")
    set_time(store, 1, store.clock + 24 * 3600)

    def renew(_):
        held.renew()
        set_time(store, 1, store.clock + 24 * 3600)

    with pytest.raises(LeaseHeld, match="run run-a"):
        acquire(store, "run-b", sleep=renew)
    assert lease_path(2) not in store.objects


def test_of_two_who_watch_a_lease_from_the_future_one_gets_it():
    store = FakeStore()
    acquire(store, "run-a")
    set_time(store, 1, store.clock + 24 * 3600)

    def other_is_faster(_):
        if lease_path(2) not in store.objects:
            acquire(store, "run-c", sleep=lambda _: None)

    with pytest.raises(LeaseHeld, match="run run-c"):
        acquire(store, "run-b", sleep=other_is_faster)
    assert lease_path(3) not in store.objects
