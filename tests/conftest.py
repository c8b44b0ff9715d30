"""Hypothesis profiles and the fixtures that more than one folder of tests needs."""

from __future__ import annotations

import os

# Before torch is imported: tests share the machine's cores, and small networks on one thread are faster than on two.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import HealthCheck, settings

settings.register_profile("dev", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), max_examples=300, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
