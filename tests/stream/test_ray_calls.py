"""How many calls a Ray is given at a time."""

from __future__ import annotations

import pytest

from encdec_batch.spec.compute import RayStream
from encdec_batch.spec.train_compute import RayTraining
from encdec_batch.stream.ray_calls import calls_at_a_time


@pytest.mark.parametrize(
    ("stream", "place", "most"),
    [
        (RayStream(kind="ray"), {"num_cpus": 0.75}, 80),
        (RayStream(kind="ray"), {"num_cpus": 1.0, "num_gpus": 1.0}, 4),
        (RayStream(kind="ray", max_workers=3), {"num_cpus": 0.75}, 3),
        (RayTraining(workers=2), {"num_cpus": 1.0}, 2),
        (RayStream(kind="ray"), {"num_cpus": 200.0}, 1),
    ],
)
def test_without_a_limit_a_cluster_is_filled(stream, place, most):
    assert calls_at_a_time(stream, place, {"CPU": 60.0, "GPU": 4.0}) == most
