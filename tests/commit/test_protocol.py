"""The commit protocol as a state machine: committers, a prune and readers stop at every request to the store.

A process that is never taken a step further has crashed; one that goes on much later is a zombie. A
request may be done without an answer, or take effect later, or never.
"""

from __future__ import annotations

import hashlib
import threading

import pytest
from fakes import FakeStore, fake_bytes, fake_marker
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from encdec_batch.commit.lease import lease_path
from encdec_batch.commit.marker import (
    Marker,
    carry_on,
    is_committed,
    marker_path,
    move_marker,
    next_generation,
    read_marker,
)
from encdec_batch.commit.prune import PruneRules, prune, remove_scene
from encdec_batch.errors import EncdecError

PATH = marker_path("a")
AT_ONCE = PruneRules(keep_previous_s=0, orphan_after_s=float("inf"))
CHANGES = {"create", "replace", "delete"}


class Killed(BaseException):
    pass


class Process(threading.Thread):
    """Runs `target` from one request to the next, when told to."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self.target = target
        self.request = None
        self.killed = False
        self.failure = None
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self.start()
        self._stopped.acquire()

    def run(self):
        try:
            self.target()
        except (Killed, EncdecError):
            pass
        except AssertionError as error:
            self.failure = error
        finally:
            self.request = None
            self._stopped.release()

    def stop_at(self, request):
        self.request = request
        self._stopped.release()
        self._go.acquire()
        if self.killed:
            raise Killed

    def step(self):
        self._go.release()
        self._stopped.acquire()
        if self.failure is not None:
            raise self.failure

    def kill(self):
        self.killed = True
        if self.request is not None:
            self._go.release()
        self.join()


class Run:
    """A driver: a lease, what it wants, and the marker that it planned on."""

    def __init__(self, store, n, key, outputs, device):
        self.store, self.n, self.key, self.outputs, self.device = store, n, key, outputs, device
        self.unused = True
        self.plan()

    def plan(self):
        self.base = read_marker(self.store, "a")

    def wanted(self, base) -> Marker:
        """The marker that a committer of this plan puts."""
        previous = base[0] if base else None
        bare = fake_marker(key=self.key)
        carried = carry_on(previous, scene_key=bare.scene_key, asked=self.outputs)
        return fake_marker(
            generation=next_generation(previous),
            key=self.key,
            outputs=sorted(self.outputs - carried.keys()),
            carried=carried,
            made_by=self.device,
        )

    def commit(self, base):
        wanted = self.wanted(base)
        if base and is_committed(base[0], scene_key=wanted.scene_key, asked=self.outputs):
            return
        for file in wanted.outputs.values():
            if f"/{wanted.generation}-" in file.path:
                with self.store.open_writer(file.path) as writer:
                    writer.write(fake_bytes(file.path))
                    writer.finish()
        result = move_marker(self.store, wanted, expected_etag=base[1] if base else None, lease_n=self.n)
        assert is_committed(result.marker, scene_key=wanted.scene_key, asked=self.outputs)


class Commits(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.store = FakeStore()
        self.store.before = self.before
        self.store.changed = self.changed
        self.runs, self.processes, self.readers = [], [], []
        self.sent = {}  # bytes of a marker -> number of the newest lease under which it was meant
        self.newest_mover = 0
        self.named = {}  # path -> sha256, of every file that a marker ever named
        self.violations = []

    def before(self, operation, path):
        process = threading.current_thread()
        if (
            isinstance(process, Process)
            and not path.startswith(".encdec/parts")
            and not path.startswith(".encdec/staged")
        ):
            process.stop_at((operation, path))

    def changed(self, path, old, new):
        if path == PATH:
            self.marker_moved(old and Marker.model_validate_json(old), Marker.model_validate_json(new))
        elif path in self.named and new is not None and hashlib.sha256(new).hexdigest() != self.named[path]:
            self.violations.append(f"{path}: committed bytes were replaced by others")

    def marker_moved(self, old, new):
        if new.generation != next_generation(old):
            self.violations.append(f"generation {new.generation} follows {old and old.generation}")
        mover = self.sent.get(new.to_json(), self.runs[-1].n)
        if mover < self.newest_mover:
            self.violations.append(f"lease {mover} moved the marker after lease {self.newest_mover}")
        self.newest_mover = mover
        self.named.update({file.path: file.sha256 for file in new.outputs.values()})

    @invariant()
    def nothing_is_violated(self):
        self.read_what_the_marker_names()

    def read_what_the_marker_names(self):
        current = self.store.objects.get(PATH)
        if current:
            self.read_all(Marker.model_validate_json(current[0]).outputs.values())
        assert not self.violations

    def read_all(self, files):
        for file in files:
            assert hashlib.sha256(self.store.objects[file.path][0]).hexdigest() == file.sha256

    @precondition(lambda self: len(self.runs) < 4 and not (self.runs and self.runs[-1].unused))
    @rule(
        key=st.sampled_from("AB"),
        outputs=st.sets(st.sampled_from(["mask.tif", "mask.png"]), min_size=1),
        device=st.sampled_from(["cpu", "gpu"]),
    )
    def a_run_takes_the_lease_and_plans(self, key, outputs, device):
        n = len(self.runs) + 1
        self.store.create(lease_path(n), b"{}")
        self.runs.append(Run(self.store, n, key, outputs, device))

    @precondition(lambda self: self.runs and read_marker(self.store, "a") != self.runs[-1].base)
    @rule()
    def the_newest_run_plans_again(self):
        self.runs[-1].plan()

    @precondition(lambda self: self.runs and len(self.processes) < 4)
    @rule(newest=st.booleans(), first=st.integers(0, 9))
    def a_run_gives_the_scene_to_a_committer(self, newest, first):
        run = self.runs[-1 if newest else -min(2, len(self.runs))]
        base = run.base
        run.unused = False
        marker = run.wanted(base).to_json()
        self.sent[marker] = max(run.n, self.sent.get(marker, 0))
        self.start(lambda: run.commit(base), first)

    @precondition(lambda self: self.runs and len(self.processes) < 4)
    @rule(first=st.integers(0, 9))
    def the_newest_run_prunes(self, first):
        n = self.runs[-1].n
        self.start(lambda: list(prune(self.store, lease_n=n, rules=AT_ONCE)), first)

    @precondition(lambda self: self.runs and len(self.processes) < 4)
    @rule(first=st.integers(0, 9))
    def the_newest_run_removes_the_scene(self, first):
        n = self.runs[-1].n
        self.start(lambda: remove_scene(self.store, "a", lease_n=n, note="removed"), first)

    def start(self, target, requests):
        process = Process(target)
        if process.request is None:
            return
        self.processes.append(process)
        self.advance(process, requests)

    @precondition(lambda self: self.processes)
    @rule(data=st.data(), fault=st.sampled_from([None, None, None, "lost answer", "late", "never"]))
    def a_process_goes_one_request_further(self, data, fault):
        process = data.draw(st.sampled_from(self.processes))
        operation, path = process.request
        if fault is not None and operation in CHANGES:
            self.store.faults[path] = [fault]
        self.go(process)

    @precondition(lambda self: self.processes)
    @rule(data=st.data(), requests=st.integers(2, 9))
    def a_process_goes_on(self, data, requests):
        self.advance(data.draw(st.sampled_from(self.processes)), requests)

    def advance(self, process, requests):
        for _ in range(requests):
            if process.request is not None:
                self.go(process)

    def go(self, process):
        process.step()
        self.store.faults.clear()
        if process.request is None:
            self.processes.remove(process)
        self.read_what_the_marker_names()

    @precondition(lambda self: self.processes)
    @rule(data=st.data())
    def a_process_is_killed(self, data):
        process = data.draw(st.sampled_from(self.processes))
        self.processes.remove(process)
        process.kill()

    @precondition(lambda self: self.store.late)
    @rule(data=st.data())
    def a_late_request_takes_effect(self, data):
        self.store.deliver(data.draw(st.integers(0, len(self.store.late) - 1)))

    @precondition(lambda self: len(self.readers) < 2)
    @rule()
    def a_reader_opens_the_marker(self):
        found = read_marker(self.store, "a")
        if found:
            self.readers.append(found)

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def a_reader_reads_what_its_marker_names(self, data):
        marker, etag = self.readers.pop(data.draw(st.integers(0, len(self.readers) - 1)))
        there = [file for file in marker.outputs.values() if file.path in self.store.objects]
        self.read_all(there)
        assert len(there) == len(marker.outputs) or self.store.info(PATH).etag != etag, (
            "404 only after the marker moved"
        )

    def teardown(self):
        for process in self.processes:
            process.kill()
        if self.runs:
            last = self.runs[-1]
            self.a_run_takes_the_lease_and_plans(last.key, last.outputs, last.device)
            after = self.runs[-1]
            after.commit(after.base)
            marker, _ = read_marker(self.store, "a")
            assert is_committed(marker, scene_key=fake_marker(key=last.key).scene_key, asked=last.outputs)
            self.read_what_the_marker_names()


TestCommits = pytest.mark.integration(Commits.TestCase)
TestCommits.settings = settings(stateful_step_count=40)
