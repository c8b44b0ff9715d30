"""What every stream promises. A stream's tests inherit `StreamContract` and give the fixture `host`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from jobs_made import BLOCKS, MadeJob, spoil_tile, write_scene

from encdec_batch.commit.attempts import COMMIT, count_death
from encdec_batch.commit.holder import HolderInfo
from encdec_batch.commit.lease import LeaseRecord, lease_path
from encdec_batch.commit.scene import part_path
from encdec_batch.job.plan import build_plan
from encdec_batch.pipeline import Record
from encdec_batch.plan.item import is_small, work_items
from encdec_batch.plan.plan import Plan
from encdec_batch.stream.rules import Rules
from encdec_batch.stream.stream import Host, Stream

LEASE = 7
"""Nobody holds it; it was not taken over either, which is all that a committer asks."""


class StreamContract:
    """Subclasses give the fixture `host`, entered, for the package of the fixture `package`."""

    @pytest.fixture
    def plan(self, job: MadeJob) -> Plan:
        return build_plan(job.spec())

    @pytest.fixture
    def stream(self, host: Host, plan: Plan) -> Stream:
        return host.stream(plan.recipe, lease_n=LEASE)

    def test_every_block_comes_back_once_and_lies_in_the_store(self, job, plan, stream, undisturbed):
        records = list(stream.records(work_items(plan.scenes)))
        assert blocks_of(records) == every_block(plan)
        assert not any(record.trouble or record.missing or record.replan for record in records)
        small = {scene.scene_id for scene in plan.scenes if is_small(scene)}
        assert {record.scene_id for record in records if record.committed} == small == set(job.markers())
        large = [scene for scene in plan.scenes if not is_small(scene)]
        assert job.parts() == {scene.part_key: {block.name for block in scene.grid().blocks()} for scene in large}
        checks = Counter((record.scene_id, check) for record in records for check in record.checks)
        assert checks == Counter((scene.scene_id, name) for scene in plan.scenes for name in scene.checks.names)
        assert sum(record.check_pixels for record in records) == plan.cost().check_pixels > 0
        assert sum(record.tile_pixels for record in records) == plan.cost().tile_pixels
        assert sum(record.pixels for record in records) == sum(scene.num_pixels for scene in plan.scenes)
        assert {stage for record in records for stage in record.cost.seconds} == {"read", "predict", "write", "commit"}
        for scene in large:
            stream.commit(scene)
        commits = list(stream.commits(wait=True))
        assert {record.scene_id: record.committed for record in commits} == dict.fromkeys(BLOCKS.keys() - small, True)
        assert all(record.blocks == () for record in commits)
        assert list(stream.commits(wait=True)) == []
        assert job.verified() == undisturbed
        results = {name: marker.certificate["result"] for name, (marker, _) in job.markers().items()}
        assert results == {"large": "passed", "tall": "passed", "small": "passed", "thin": "passed"}

    def test_what_goes_wrong_is_a_record(self, job, plan, archive, stream):
        """A bad tile, a scene that is gone and one that was replaced; what follows them comes back as ever."""
        (archive / "small.tif").unlink()
        write_scene(archive / "thin.tif", 64, 64, seed=5)
        known = {scene.scene_id: scene for scene in plan.scenes}
        spoil_tile(archive / "large.tif", 900, 900)
        # The scene was bad when it was planned already.
        spoiled = next(scene for scene in build_plan(job.spec()).scenes if scene.scene_id == "large")
        scenes = [spoiled, known["small"], known["thin"], known["tall"]]
        records = list(stream.records(work_items(scenes)))
        assert blocks_of(records) == every_block(plan)
        troubled = [record for record in records if record.trouble]
        assert {record.scene_id for record in troubled} == {"large", "small", "thin"}
        assert {record.trouble.stage for record in troubled} == {"read"}
        assert ("large", "1-1") in {(record.scene_id, record.trouble.block) for record in troubled}
        assert {record.scene_id for record in troubled if record.replan} == {"thin"}
        assert not any(record.committed for record in records)

    def test_parts_that_are_missing_at_the_commit_are_named(self, job, plan, stream):
        scene = next(scene for scene in plan.scenes if scene.scene_id == "tall")
        list(stream.records(work_items([scene])))
        lost = min(job.parts()[scene.part_key])
        job.store.delete([part_path(scene.part_key, lost)])
        stream.commit(scene)
        [record] = stream.commits(wait=True)
        assert (record.missing, record.committed, record.trouble) == ((lost,), False, None)
        again = replace(scene, blocks_done=frozenset(block.name for block in scene.grid().blocks()) - {lost})
        assert blocks_of(stream.records(work_items([again]))) == Counter({("tall", lost): 1})
        stream.commit(again)
        [record] = stream.commits(wait=True)
        assert record.committed

    def test_a_run_that_was_taken_over_commits_nothing(self, job, plan, stream):
        held = LeaseRecord(n=LEASE + 1, token="other", holder=HolderInfo.current("other"), created=0.0)
        job.store.create(lease_path(LEASE + 1), held.to_json())
        scenes = [scene for scene in plan.scenes if scene.scene_id in ("tall", "small")]
        records = list(stream.records(work_items(scenes)))
        assert [record.scene_id for record in records if record.ends_run] == ["small"]
        stream.commit(next(scene for scene in scenes if scene.scene_id == "tall"))
        [record] = stream.commits(wait=True)
        assert record.ends_run is not None
        assert job.markers() == {}

    def test_what_died_in_earlier_runs_runs_alone_and_is_the_same(self, job, plan, host, undisturbed):
        """A block of many, a scene of one block, and a commit, none of which does harm this time."""
        keys = {scene.scene_id: scene.part_key for scene in plan.scenes}
        for place in ((keys["large"], "1-1"), (keys["small"], "0-0"), (keys["tall"], COMMIT)):
            for _ in range(Rules().deaths):
                count_death(job.store, place, scene_id="any", stage="predict")
        stream = host.stream(plan.recipe, lease_n=LEASE)
        records = list(stream.records(work_items(plan.scenes)))
        assert blocks_of(records) == every_block(plan)
        assert not any(record.trouble for record in records)
        # Only when everything else is through.
        assert {record.scene_id for record in records[-2:]} == {"large", "small"}
        for scene in plan.scenes:
            if not is_small(scene):
                stream.commit(scene)
        assert {record.scene_id: record.committed for record in stream.commits(wait=True)} == {
            "large": True,
            "tall": True,
        }
        assert job.verified() == undisturbed

    def test_nothing_to_do_is_no_record(self, stream):
        assert list(stream.records([])) == []
        assert list(stream.commits(wait=True)) == list(stream.commits(wait=False)) == []

    def test_resolves_what_workers_compute_on(self, host, job, plan):
        assert host.resolve(job.spec()) == plan.recipe.resolved


def blocks_of(records: list[Record]) -> Counter[tuple[str, str]]:
    return Counter((record.scene_id, block) for record in records for block in record.blocks)


def every_block(plan: Plan) -> Counter[tuple[str, str]]:
    return Counter((scene.scene_id, block.name) for scene in plan.scenes for block in scene.grid().blocks())
