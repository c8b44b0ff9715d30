"""A training by as many workers as there is room for: a node is lost, another one comes, the curve stays the same.

Ray looks for more room once a minute, and a node that is gone takes it some time to notice: minutes for one training.
It runs by `make long` alone.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from jobs_made import wait_until
from train.squares import Squares
from train.trainings import material, train_spec

from encdec_batch.models.package import load_package
from encdec_batch.store.open import open_store
from encdec_batch.stream import ray_session
from encdec_batch.train.learning.checkpoint import Checkpoints
from encdec_batch.train.running.run import train
from encdec_batch.train.tracking.curve import read_curve

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif("ENCDEC_LONG" not in os.environ, reason="takes minutes: `make long`"),
]

SHRINKS, GROWS, STEPS = 4, 8, 12
EVENTS = {(SHRINKS, 2): "lost", (GROWS, 1): "come"}
BASE = {
    "learn.steps": STEPS,
    "learn.ema": 0.9,
    "network.arguments": {"width": 4, "depth": 1, "norm": "none"},
    "output.checkpoint_every": 2,
}


@dataclass(frozen=True)
class Gated:
    """Batches that two workers get up to one step, one worker up to a later one, and two again from there."""

    folder: Path
    num_samples: int = 24

    def epoch(self, turn):
        for number, batch in enumerate(Squares().epoch(turn), turn.start // turn.global_batch):
            step = turn.epoch * (self.num_samples // turn.global_batch) + number
            self._pass(step, turn.world_size)
            (self.folder / f"step-{step}-of-{turn.world_size}").touch()
            yield batch

    def _pass(self, step: int, world_size: int) -> None:
        """Waits, so that the change of the cluster meets a training that runs; what waits is killed by that change."""
        event = EVENTS.get((step, world_size))
        while event and not (self.folder / event).exists():
            time.sleep(0.05)


@pytest.fixture
def cluster(monkeypatch):
    """A head, and a node that will be lost; room for one worker on each."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
    ray_session._set_environment(local=True, processes=4)
    from ray._private import utils
    from ray.cluster_utils import Cluster

    # Else every Ray of this machine that is not told where to start joins this one.
    monkeypatch.setattr(utils, "write_ray_address", lambda *_: None)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        made.add_node(num_cpus=1)
        yield made
    finally:
        made.shutdown()


def points(spec):
    return [point for point in read_curve(open_store(spec.output.uri)) if "loss" in point]


def test_it_goes_on_with_fewer_workers_and_with_more_and_the_curve_is_the_same(tmp_path, cluster):
    stream = {"kind": "ray", "address": cluster.address, "workers": [1, 2], "max_failures": 3}
    spec, alone = train_spec(tmp_path, BASE | {"compute.stream": stream}), train_spec(tmp_path / "alone", BASE)
    checkpoints, took = Checkpoints(open_store(spec.output.uri)), dict[str, float]()

    def passed(step, workers):
        return (tmp_path / f"step-{step}-of-{workers}").exists()

    def reached(step):
        state = checkpoints.newest() if (tmp_path / "training/newest.json").exists() else None
        return state is not None and state.step >= step

    def change():
        try:
            wait_until(lambda: reached(SHRINKS), what="the first checkpoints")
            began = time.monotonic()
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
            wait_until(lambda: passed(SHRINKS, 1), within_s=200, what="one worker")
            took["fewer"] = time.monotonic() - began
            wait_until(lambda: reached(GROWS), what="its checkpoints")
            began = time.monotonic()
            cluster.add_node(num_cpus=1)
            wait_until(lambda: passed(GROWS, 2), within_s=200, what="two workers")
            took["more"] = time.monotonic() - began
        finally:
            # What did not come is no reason to wait for ever.
            for event in EVENTS.values():
                (tmp_path / event).touch()

    # Ray starts nodes in a main thread alone.
    with ThreadPoolExecutor(1) as pool:
        trained = pool.submit(train, spec, lambda: material(batches=Gated(tmp_path)))
        change()
    trained.result()
    print("seconds until steps went on:", {name: round(seconds) for name, seconds in took.items()})
    assert [passed(step, 2) for step in range(STEPS)] == [not SHRINKS <= step < GROWS for step in range(STEPS)]
    assert all(passed(step, 1) for step in range(SHRINKS, GROWS))
    train(alone, material)
    ours, theirs = points(spec), points(alone)
    assert [point["step"] for point in ours] == [point["step"] for point in theirs] == list(range(1, STEPS + 1))
    assert [p["loss"] for p in ours] == pytest.approx([p["loss"] for p in theirs], rel=1e-3)
    assert load_package(spec.output.package).card.name == "squares"
