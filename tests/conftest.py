"""Hypothesis profiles and the fixtures that more than one folder of tests needs."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("dev", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), max_examples=1000, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
