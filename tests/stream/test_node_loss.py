"""The loss of a node takes a block with it that has done nothing: it is not counted against it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from contracts.stream import LEASE, blocks_of
from jobs_made import make_archive, make_job, wait_until
from stream.deaths import Faults, attempts, fault

from encdec_batch.job.plan import build_plan
from encdec_batch.models.package import load_package
from encdec_batch.plan.item import work_items
from encdec_batch.spec.compute import RayStream
from encdec_batch.stream import ray_session
from encdec_batch.stream.ray_data import RayHost

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:The (maximum|minimum) number of concurrent:UserWarning"),
    pytest.mark.timeout(180),
]

SHAPE = (600, 1100)
SPOT = {"spot": "yes"}


@pytest.fixture
def faults(tmp_path):
    return Faults(tmp_path / "faults.json")


@pytest.fixture
def cluster(faults, monkeypatch):
    """A head, and two nodes that may hold the network."""
    for name, value in faults.environment.items():
        monkeypatch.setenv(name, value)
    ray_session._set_environment(local=True, processes=4)
    from ray._private import utils
    from ray.cluster_utils import Cluster

    # Else every Ray of this machine that is not told where to start joins this one.
    monkeypatch.setattr(utils, "write_ray_address", lambda *_: None)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(2):
            made.add_node(num_cpus=1, labels=SPOT)
        yield made
    finally:
        made.shutdown()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_block_that_was_lost_with_its_node_is_done_elsewhere(tmp_path, package, cluster, faults):
    job = make_job(tmp_path / "job", make_archive(tmp_path / "archive", {"scene": SHAPE}), package)
    faults.plant(fault("predict", SHAPE, "sleep", at=(0, 0), times=1))
    plan = build_plan(job.spec())

    def lose_the_node():
        wait_until(lambda: bool(faults.struck("predict", SHAPE)), what="the block")
        pid = int(faults.log.read_text().split()[3])
        [node] = [n for n in cluster.worker_nodes if n.all_processes["raylet"][0].process.pid == parent_of(pid)]
        cluster.remove_node(node, allow_graceful=False)

    losing = threading.Thread(target=lose_the_node)
    losing.start()
    spec = RayStream(address=cluster.address, max_workers=1, labels=SPOT)
    with RayHost(load_package(str(package)), spec) as host:
        records = list(host.stream(plan.recipe, lease_n=LEASE).records(work_items(plan.scenes)))
    losing.join(60)
    assert not any(record.trouble for record in records)
    [scene] = plan.scenes
    assert set(blocks_of(records)) == {("scene", block.name) for block in scene.grid().blocks()}
    assert faults.struck("predict", SHAPE) == ["among others"]
    assert attempts(job) == {}
