from __future__ import annotations

import os
from dataclasses import replace

import pytest
from contracts.stream import StreamContract
from jobs_made import write_scene

from encdec_batch.errors import SpecError
from encdec_batch.job.plan import build_plan, place, prepare
from encdec_batch.job.survey import survey
from encdec_batch.models.package import load_package
from encdec_batch.plan.opening import make_plan, wanted_of
from encdec_batch.spec.compute import RayStream
from encdec_batch.stream import ray_data
from encdec_batch.stream.ray_data import RayHost
from encdec_batch.stream.ray_headers import RayHeaders

pytestmark = [
    pytest.mark.integration,
    # Ray says so of short plans; a run keeps it from its users' terminals, pytest has filters of its own.
    pytest.mark.filterwarnings("ignore:The (maximum|minimum) number of concurrent:UserWarning"),
]


@pytest.fixture(scope="module")
def ray_host(package):
    """One Ray for all tests of this file, with one actor: most of a test is the start of its actors."""
    with RayHost(load_package(str(package)), RayStream(max_workers=1)) as host:
        yield host


class TestRayDataStream(StreamContract):
    @pytest.fixture
    def host(self, ray_host):
        return ray_host

    def test_every_block_comes_back_once_and_lies_in_the_store(self, job, plan, stream, undisturbed, monkeypatch):
        """As the contract says, with more work than one execution of Ray Data takes."""
        monkeypatch.setattr(ray_data, "SEGMENT", 4)
        super().test_every_block_comes_back_once_and_lies_in_the_store(job, plan, stream, undisturbed)


class Deadly(str):
    """A URI that takes every process with it which unpickles it: the task's, not the child that it starts."""

    __slots__ = ()

    def __reduce__(self):
        return os._exit, (1,)


def test_headers_are_read_by_workers_alone(ray_host, job, archive, monkeypatch):
    monkeypatch.setattr(RayHeaders, "group", 2)
    write_scene(archive / "wide.tif", 40, 700)
    (archive / "z.tif").write_bytes(b"not an image")
    prepared = prepare(place(job.spec()), survey(job.store))
    plan = build_plan(job.spec())
    assert make_plan(plan.recipe, prepared.work, prepared.known, ray_host.openers(plan.recipe)) == plan


def test_a_task_that_is_lost_is_one_scene_and_says_nothing_of_it(ray_host, job, monkeypatch):
    monkeypatch.setattr(RayHeaders, "group", 2)
    prepared, plan = prepare(place(job.spec()), survey(job.store)), build_plan(job.spec())
    todo = list(prepared.work.todo)
    # In the first group as in any other: the driver reads none.
    todo[1] = replace(todo[1], uri=Deadly(todo[1].uri))
    work = replace(prepared.work, todo=tuple(todo))
    broken = make_plan(plan.recipe, work, prepared.known, ray_host.openers(plan.recipe))
    assert broken.scenes == tuple(scene for scene in plan.scenes if scene.scene_id != todo[1].scene_id)
    [aside] = broken.set_aside
    assert (aside.scene_id, aside.stage, aside.transient) == (todo[1].scene_id, "plan", True)
    assert "was lost: WorkerCrashedError" in aside.reason


def test_a_budget_that_no_block_fits_is_an_error_of_the_spec_on_workers_too(ray_host, job, monkeypatch):
    monkeypatch.setattr(RayHeaders, "group", 1)
    prepared = prepare(place(job.spec()), survey(job.store))
    recipe = build_plan(job.spec()).recipe
    tiling = recipe.spec.tiling.model_copy(update={"budget_gib": 1e-6, "block": None})
    order = replace(recipe.order, spec=recipe.spec.model_copy(update={"tiling": tiling}))
    openers = ray_host.openers(replace(recipe, order=order))
    wanted = list(wanted_of(prepared.work, prepared.known))
    with pytest.raises(SpecError, match="raise tiling"):
        openers.start(wanted[:1])()
