"""A few of the kills of `make soak`."""

from __future__ import annotations

import pytest
from soak import LOCAL, RAY, kill_drivers, kill_workers, make_field

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(("stream", "kill"), [(LOCAL, kill_drivers), (RAY, kill_workers)], ids=["driver", "worker"])
def test_five_kills(tmp_path, stream, kill):
    survived = kill(make_field(tmp_path, stream), kills=5, seed=5)
    assert survived.kills >= 5
    assert survived.equal == survived.jobs
    assert survived.violations == ()
