from __future__ import annotations

import pytest
from contracts.stream import StreamContract
from jobs_made import make_archive, make_job

from encdec_batch.job.plan import build_plan
from encdec_batch.models.package import load_package
from encdec_batch.spec.compute import RayStream
from encdec_batch.stream.ray_data import RayHost

pytestmark = [
    pytest.mark.integration,
    # Ray says so of short plans; a run keeps it from its users' terminals, pytest has filters of its own.
    pytest.mark.filterwarnings("ignore:The maximum number of concurrent tasks:UserWarning"),
]


@pytest.fixture(scope="module")
def ray_host(package):
    """One Ray for all tests of this file."""
    with RayHost(load_package(str(package)), RayStream(max_workers=2)) as host:
        yield host


class TestRayDataStream(StreamContract):
    @pytest.fixture
    def host(self, ray_host):
        return ray_host


def test_segments_do_not_lose_an_item(ray_host, tmp_path, package, monkeypatch):
    """More work than one execution of Ray Data takes."""
    from encdec_batch.plan.item import work_items
    from encdec_batch.stream import ray_data

    monkeypatch.setattr(ray_data, "SEGMENT", 2)
    archive = make_archive(tmp_path / "archive", {"large": (1300, 520), "tall": (1100, 300)})
    job = make_job(tmp_path / "job", archive, package)
    plan = build_plan(job.spec())
    items = list(work_items(plan.scenes))
    assert len(items) > 2
    records = list(ray_host.stream(plan.recipe, lease_n=1).records(items))
    assert sum(len(record.blocks) for record in records) == plan.num_blocks
