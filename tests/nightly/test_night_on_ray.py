"""A night whose training and judging run on Ray decides as one in this process does."""

from __future__ import annotations

import os

import pytest
from nightly.nuclei import NUCLEI, deliver, nightly_values

from encdec_batch.models.registry import promote
from encdec_batch.nightly.run import Night, run_night
from encdec_batch.spec.load_nightly import parse_nightly_spec

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif("ENCDEC_LONG" not in os.environ, reason="takes minutes: `make long`"),
    pytest.mark.skipif(not NUCLEI.exists(), reason="../shared/data/dsb2018_nuclei is not there"),
]


def two_nights(folder, stream) -> Night:
    """The first production, and a night that judges against it."""
    compute = {"train__compute__stream": stream}
    deliver(folder, "monday", 0, 40)
    first = parse_nightly_spec(nightly_values(folder, train__learn__steps=20, **compute))
    assert run_night(first, "2026-11-23", wait_s=0).decision.outcome == "no_production"
    promote(f"{folder}/registry/nuclei@candidate", "production")
    deliver(folder, "tuesday", 40, 30)
    return run_night(parse_nightly_spec(nightly_values(folder, **compute)), "2026-11-24", wait_s=0)


def test_the_same_decision_as_in_one_process(tmp_path):
    here = two_nights(tmp_path / "here", {"kind": "local"}).decision
    on_ray = two_nights(tmp_path / "ray", {"kind": "ray"}).decision
    assert here.judgement is not None
    assert on_ray.judgement is not None
    assert on_ray.outcome == here.outcome
    assert {row.name for row in on_ray.judgement.groups} == {row.name for row in here.judgement.groups}
    for ours, theirs in zip(here.judgement.overall, on_ray.judgement.overall, strict=True):
        assert theirs.name == ours.name
        assert (theirs.candidate, theirs.production) == pytest.approx((ours.candidate, ours.production), abs=0.02)
