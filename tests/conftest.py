"""Hypothesis profiles and the fixtures that more than one folder of tests needs."""

from __future__ import annotations

import os
from pathlib import Path

# Before torch is imported: tests share the machine's cores, and small networks on one thread are faster than on two.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent

settings.register_profile("dev", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), max_examples=300, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

LONGEST = (
    "e2e/test_kill.py",
    "e2e/test_kill_points.py",
    "e2e/test_soak.py",
    "e2e/test_real_scenes_killed.py",
    "train/running/test_ray_train.py",
    "train/test_cli_train.py",
    "stream/test_deaths.py",
    "nightly/test_nights.py",
    "cluster/test_local_cluster.py",
)
"""Files that take a minute or more: they begin first, lest one of them is left for the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {path: rank for rank, path in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.relative_to(TESTS).as_posix(), len(ranks)))
