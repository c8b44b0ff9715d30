"""Processes that were taken for dead and go on: nothing that they do shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from children import start
from commit.committing import CONFLICT, TAKEN_OVER, commit, commit_alone, race
from fakes import fake_marker
from memory_s3 import MemoryS3
from proxy import Proxy, proxy_of
from stopping import Stop
from watch import Watch

from encdec_batch.commit.holder import HolderInfo
from encdec_batch.commit.lease import LeaseTimes, acquire_lease
from encdec_batch.commit.marker import read_marker
from encdec_batch.commit.prune import PruneRules, prune
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store

pytestmark = pytest.mark.integration

OUTPUTS = ("mask.tif", "mask.png")
AT_ONCE = PruneRules(keep_previous_s=-1, orphan_after_s=float("inf"))
WEEK_OVER = PruneRules(keep_previous_s=-1, orphan_after_s=-1)


@dataclass(frozen=True, slots=True)
class Place:
    """An output in memory: everybody's way to it, and the one on which a process is stopped."""

    memory: MemoryS3
    store: Store
    watched: Proxy
    watch: Watch


@pytest.fixture
def place() -> Iterator[Place]:
    memory = MemoryS3()
    with proxy_of(memory) as straight, proxy_of(memory) as watched:
        watch = Watch(memory, "out/o", may_go=True)
        memory.changed = watch.changed
        yield Place(memory, open_store("s3://out/o", straight.server.options), watched, watch)


def take_lease(store: Store, run_id: str) -> int:
    """Takes it over from whoever holds it; as from another machine, so that no pid counts."""
    holder = replace(HolderInfo.current(run_id), boot_id="another machine")
    return acquire_lease(store, holder, times=LeaseTimes(renew_s=3600, dead_after_s=-1)).n


def commit_next(store: Store, key: str, lease_n: int) -> None:
    """One more generation of scene `a`, of this key, on whatever is there."""
    found = read_marker(store, "a")
    marker = fake_marker(generation=found[0].generation + 1 if found else 1, key=key, outputs=OUTPUTS)
    commit(store, marker, expected_etag=found[1] if found else None, lease_n=lease_n)


STEPS = ["PUT scenes", "PUT scenes", "GET .encdec/lease", "PUT markers"]
"""What a committer asks of the store, in order."""


@pytest.mark.parametrize("sent", ["sent", "held"])
@pytest.mark.parametrize("step", range(len(STEPS)))
def test_a_committer_that_was_stopped_at_any_step(place, step, sent):
    """Meanwhile another run takes over, commits, goes back to the older model, and prunes."""
    store = place.store
    first = take_lease(store, "first")
    commit_next(store, "A", first)
    planned = read_marker(store, "a")
    marker = fake_marker(generation=2, key="B", outputs=OUTPUTS)
    stop = Stop(step + 1, sent)
    place.watched.behave(stop)
    options = place.watched.server.options
    zombie = start(commit_alone, store.uri, options, marker.to_json(), planned[1], first)
    stop.pid.set_result(zombie.pid)
    assert stop.stopped.wait(60)
    method, below = STEPS[step].split()
    assert stop.at.method == method
    assert f"/o/{below}" in stop.at.path

    second = take_lease(store, "second")
    commit_next(store, "C", second)
    commit_next(store, "A", second)
    list(prune(store, lease_n=second, rules=AT_ONCE))
    there = read_marker(store, "a")
    objects = {name: kept.etag for name, kept in place.memory.objects.items() if "/scenes/" not in name}

    stop.go_on()
    zombie.join(60)
    moved = step == STEPS.index("PUT markers") and sent == "sent"
    overtaken_after_check = (step, sent) in {(2, "sent"), (3, "held")}
    assert zombie.exitcode == (0 if moved else CONFLICT if overtaken_after_check else TAKEN_OVER)
    assert read_marker(store, "a") == there
    assert {name: kept.etag for name, kept in place.memory.objects.items() if "/scenes/" not in name} == objects
    assert place.watch.violations == []
    # What it wrote is nobody's: gone a week later, and nothing else with it.
    list(prune(store, lease_n=second, rules=WEEK_OVER))
    left = {info.path for info in store.list("scenes/")}
    assert left == {file.path for file in there[0].outputs.values()}
    assert place.watch.violations == []


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_of_processes_that_take_the_lease_at_once_one_has_it(place, kind, tmp_path):
    uri, options = (str(tmp_path / "o"), {}) if kind == "file" else (place.store.uri, place.watched.server.options)
    racers = [tmp_path / f"racer-{number}" for number in range(6)]
    processes = [start(race, uri, options, str(tmp_path / "go"), str(racer), str(tmp_path / "end")) for racer in racers]
    (tmp_path / "go").touch()
    for racer in racers:
        while not racer.exists() or not racer.read_text():
            assert any(process.is_alive() for process in processes)
    (tmp_path / "end").touch()
    assert sorted(racer.read_text() for racer in racers) == ["1", *["refused"] * 5]
    assert [info.path for info in open_store(uri, options).list(".encdec/lease/")] == [".encdec/lease/1.json"]
    for process in processes:
        process.join(60)
