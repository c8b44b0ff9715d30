"""kill -9 before and after each call of a run to the store, then the same run again: as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest
from children import Child, start_command
from jobs_made import MadeJob, make_archive, make_job, make_package
from memory_s3 import MemoryS3
from proxy import Answer, Behaviour, Forward, Proxy, Request, as_it_is, proxy_of
from watch import LoopingReader, Watch

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SCENES = {"pair": (1100, 300), "one": (64, 80), "two": (50, 60)}
"""Two blocks, and two scenes that are committed from memory."""
LANES = 2
"""Cases that are tried at a time."""
SAMPLE = int(os.environ.get("ENCDEC_KILL_POINTS", "12"))
"""Of the steps on a file system, and of the moments before a call, so many are tried; 0: all, as `make soak` does."""
FILE_STEPS = 200
"""How many such a run makes, about."""

Moment = Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class Place:
    """What all jobs share, and the digest of a run that nobody disturbed."""

    folder: Path
    digest: str

    def job(self, name: str, output: str | None = None, storage: dict[str, str] | None = None) -> MadeJob:
        source = {"kind": "prefix", "uri": str(self.folder / "archive")}
        changes = {"source": source, "storage": storage or {}}
        return make_job(self.folder / name, "", self.folder / "package", output=output, **changes)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("points")
    make_archive(folder / "archive", SCENES)
    make_package(folder / "package")
    return Place(folder, Place(folder, "").job("quiet").run().digest)


class Lane:
    """A server of its own, for one case after the other."""

    def __init__(self, place: Place, memory: MemoryS3, proxy: Proxy) -> None:
        self.place, self.memory, self.proxy = place, memory, proxy

    def quiet(self) -> list[Request]:
        """The calls of a run that nobody disturbs."""
        self.proxy.behave(as_it_is)
        job = self.place.job("counted", "s3://counted/out", self.proxy.server.options)
        child = start_command(job.file.parent / "ended", "run", job.file)
        assert child.ended() == 0, child.stderr
        return self.proxy.requests

    def case(self, number: int, moment: Moment) -> bool:
        """Whether the run was killed there; then the next one has done the rest."""
        bucket = f"case-{number}-{moment}"
        job = self.place.job(bucket, f"s3://{bucket}/out", self.proxy.server.options)
        watch = Watch(self.memory, f"{bucket}/out")
        self.memory.changed = watch.changed
        pid: Future[int] = Future()
        self.proxy.behave(killing(number, moment, pid))
        child = start_command(job.file.parent / "killed", "run", job.file)
        pid.set_result(child.pid)
        code = child.ended()
        self.proxy.behave(as_it_is)
        assert code in (0, -signal.SIGKILL), child.stderr
        assert watch.violations == []
        run_to_its_end(job, self.place.digest)
        assert watch.violations == []
        assert set(watch.moves) == set(SCENES)
        assert job.parts() == {}
        # Those of the trial at the start may be of a run that is trying at this moment: they go by prune.
        assert [upload.key for upload in self.memory.uploads.values() if "/.encdec/probe/" not in upload.key] == []
        self.memory.uploads.clear()
        return code != 0


def killing(number: int, moment: Moment, pid: Future[int]) -> Behaviour:
    """Kills a process before or after the request of this number has reached the store."""

    def behave(request: Request, forward: Forward) -> Answer | None:
        if request.number != number:
            return forward()
        if moment == "after":
            forward()
        os.kill(pid.result(), signal.SIGKILL)
        return None

    return behave


def sampled(cases: Sequence[Any]) -> Sequence[Any]:
    """Some, by a seed; all where the environment says so."""
    return cases if SAMPLE == 0 else random.Random(7).sample(cases, min(SAMPLE, len(cases)))


def matters(call: Request) -> bool:
    """Whether it changes something, other than what a run says of itself and what it tries at its start."""
    return call.changes and not ("/.encdec/probe/" in call.path or "/.encdec/runs/" in call.path)


def run_to_its_end(job: MadeJob, digest: str) -> None:
    child = start_command(job.file.parent / "ended", "run", job.file, "--json")
    assert child.ended() == 0, child.stderr
    summary = json.loads(child.stdout)
    assert (summary["digest"], summary["scenes_done"]) == (digest, len(SCENES))
    assert job.verified() == digest


@contextmanager
def lanes(place: Place) -> Iterator[list[Lane]]:
    with ExitStack() as stack:
        memories = [MemoryS3() for _ in range(LANES)]
        yield [Lane(place, memory, stack.enter_context(proxy_of(memory))) for memory in memories]


@pytest.fixture
def lane(place):
    with lanes(place) as all_lanes:
        yield all_lanes[0]


def test_before_and_after_each_call_to_an_object_store(place):
    """After a call that changes nothing is as before it. Before a call is after the last one that changed something,
    but for what other threads have under way: of these a sample.
    """
    with lanes(place) as all_lanes, ThreadPoolExecutor(LANES) as pool:
        calls = all_lanes[0].quiet()
        before: list[tuple[int, Moment]] = [(call.number, "before") for call in calls]
        after: list[tuple[int, Moment]] = [(call.number, "after") for call in calls if matters(call)]
        cases = [*sampled(before), *after]
        shares = [(lane, cases[start::LANES]) for start, lane in enumerate(all_lanes)]
        killed = list(pool.map(lambda share: [share[0].case(*case) for case in share[1]], shares))
    # How threads fall decides which call is the last few: not every run has all of them.
    assert sum(map(sum, killed)) >= len(cases) - 6
    assert len(after) > 20


def test_before_each_step_on_a_file_system(place):
    """After a step is before the next one."""
    chosen = sampled(range(1, FILE_STEPS))

    def case(number: int) -> bool:
        job = place.job(f"step-{number}")
        with LoopingReader(job.store) as reader:
            child = start_command(job.file.parent / "killed", "run", job.file, settings={"die_at": number})
            code = child.ended()
            assert code in (0, -signal.SIGKILL), child.stderr
            run_to_its_end(job, place.digest)
        assert reader.violations == []
        for folder in ("scenes", ".encdec/parts", ".encdec/staged"):
            assert list((job.output / folder).rglob(".encdec-own-tmp-*")) == []
        return code != 0

    with ThreadPoolExecutor(LANES) as pool:
        killed = sum(pool.map(case, chosen))
    assert killed > len(chosen) // 2


def test_readers_during_a_redo_of_changed_scenes(lane, place):
    """Old files or new ones, never a mix, however often the redo is killed."""
    other = f"model.package={make_package(place.folder / 'other', seed=1)}"
    job = place.job("redo", "s3://redo/out", lane.proxy.server.options)
    watch = Watch(lane.memory, "redo/out")
    lane.memory.changed = watch.changed
    run_to_its_end(job, place.digest)
    old = files_of(job)
    draw = random.Random(3)
    with proxy_of(lane.memory) as straight:
        store = place.job("redo-read", "s3://redo/out", straight.server.options).store
        with LoopingReader(store) as reader:
            for _ in range(5):
                pid: Future[int] = Future()
                lane.proxy.behave(killing(draw.randint(25, 60), draw.choice(["before", "after"]), pid))
                child = start_command(job.file.parent / "killed", "run", job.file, "--set", other)
                pid.set_result(child.pid)
                child.ended()
            lane.proxy.behave(as_it_is)
            child = start_command(job.file.parent / "ended", "run", job.file, "--set", other)
            assert child.ended() == 0, child.stderr
    new = files_of(job)
    assert reader.rounds > 0
    assert reader.violations == watch.violations == []
    assert {name: len(moves) for name, moves in watch.moves.items()} == dict.fromkeys(SCENES, 2)
    for name, seen in reader.seen.items():
        assert seen <= {old[name], new[name]}


def files_of(job: MadeJob) -> dict[str, tuple[str, ...]]:
    """By scene: the sha256 of all its files, sorted."""
    return {
        name: tuple(sorted(file.sha256 for file in marker.outputs.values()))
        for name, (marker, _) in job.markers().items()
    }


RAY = "compute.stream={kind: ray, max_workers: 2}"


def client(request: Request, driver: Child) -> int | None:
    """The process whose request this is; None: the driver's own."""
    for connection in psutil.net_connections("tcp4"):
        if connection.laddr and connection.laddr.port == request.port and connection.pid not in (None, os.getpid()):
            return None if connection.pid == driver.pid else connection.pid
    return None


def raylet(_: Request, driver: Child) -> int | None:
    found = [p.pid for p in psutil.Process(driver.pid).children(recursive=True) if p.name() == "raylet"]
    return found[0] if found else None


@pytest.mark.parametrize(("victim", "kills"), [(client, 3), (raylet, 1)], ids=["reader, writer or committer", "raylet"])
def test_on_ray(lane, place, victim: Callable[[Request, Child], int | None], kills):
    """Whoever makes a call to the store dies before or after it; those that were drawn by a seed."""
    job = place.job(f"ray-{victim.__name__}", f"s3://{victim.__name__}/out", lane.proxy.server.options)
    watch = Watch(lane.memory, f"{victim.__name__}/out")
    lane.memory.changed = watch.changed
    draw, killed, driver = random.Random(17), [], Future()

    def behave(request: Request, forward: Forward) -> Answer | None:
        if len(killed) == kills or not request.path.startswith(f"/{victim.__name__}/out/") or draw.random() > 0.3:
            return forward()
        pid = victim(request, driver.result()) if request.number > 30 else None
        if pid is None:
            return forward()
        killed.append(request.path)
        if draw.random() < 0.5:
            forward()
        os.kill(pid, signal.SIGKILL)
        return None

    lane.proxy.behave(behave)
    for _ in range(4):
        child = start_command(job.file.parent / "run", "run", job.file, "--json", "--set", RAY)
        if not driver.done():
            driver.set_result(child)
        code = child.ended(within_s=200)
        if code == 0:
            break
        assert code in (1, 3), child.stderr
        lane.proxy.behave(as_it_is)
    assert len(killed) == kills
    assert watch.violations == []
    run_to_its_end(job, place.digest)
    assert watch.violations == []
    assert job.parts() == {}
