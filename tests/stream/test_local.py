from __future__ import annotations

import threading

import pytest
from contracts.stream import LEASE, StreamContract
from plan.recipes import recipe

from encdec_batch.models.package import load_package
from encdec_batch.plan.item import work_items
from encdec_batch.stream import local_room
from encdec_batch.stream.local import LocalHost

pytestmark = pytest.mark.integration


@pytest.fixture(params=[1, 2])
def workers(request):
    return request.param


class TestLocalStream(StreamContract):
    @pytest.fixture
    def host(self, package, workers):
        with LocalHost(load_package(str(package)), workers=workers) as host:
            yield host


class TestWithHelp(StreamContract):
    """Processes take all small scenes, from the first on."""

    @pytest.fixture
    def host(self, package):
        with LocalHost(load_package(str(package)), workers=2, helped_after=0) as host:
            yield host


def test_items_are_drawn_as_they_are_needed(package, job, archive):
    from encdec_batch.job.plan import build_plan

    plan = build_plan(job.spec())
    [scene] = [scene for scene in plan.scenes if scene.scene_id == "large"]
    drawn = []

    def items():
        for item in work_items([scene]):
            drawn.append(item)
            yield item

    with LocalHost(load_package(str(package)), workers=1) as host:
        records = host.stream(plan.recipe, lease_n=LEASE).records(items())
        next(records)
        assert len(drawn) == 1
        records.close()


def test_no_pixel_is_read_by_the_main_thread(package, job, monkeypatch):
    """Python interrupts that one; in a callback of GDAL's Ctrl-C would pass for a fault of the file."""
    from encdec_batch import pipeline
    from encdec_batch.job.plan import build_plan

    plan, threads, read_block = build_plan(job.spec()), [], pipeline.read_block

    def noted(*arguments, **named):
        threads.append(threading.current_thread())
        return read_block(*arguments, **named)

    monkeypatch.setattr(pipeline, "read_block", noted)
    with LocalHost(load_package(str(package))) as host:
        records = list(host.stream(plan.recipe, lease_n=LEASE).records(work_items(plan.scenes)))
    assert len(threads) >= len(records) > 0
    assert threading.main_thread() not in threads


def test_leaving_the_host_ends_its_threads(package, job):
    from encdec_batch.job.plan import build_plan

    plan = build_plan(job.spec())
    before = set(threading.enumerate())
    with LocalHost(load_package(str(package)), workers=2) as host:
        records = host.stream(plan.recipe, lease_n=LEASE).records(work_items(plan.scenes))
        next(records)
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(("device", "threads"), [("cpu", 6), ("cuda", 2)])
def test_as_many_threads_as_cores_and_two_that_share_a_gpu(monkeypatch, device, threads):
    monkeypatch.setattr(local_room, "usable_cpus", lambda: 6)
    with LocalHost(None) as host:
        assert host.stream(recipe(torch_device=device), lease_n=LEASE)._workers == threads
    with LocalHost(None, workers=3) as host:
        assert host.stream(recipe(torch_device=device), lease_n=LEASE)._workers == 3
