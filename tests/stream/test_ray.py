from __future__ import annotations

import pytest
from contracts.stream import StreamContract

from encdec_batch.models.package import load_package
from encdec_batch.spec.compute import RayStream
from encdec_batch.stream import ray_data
from encdec_batch.stream.ray_data import RayHost

pytestmark = [
    pytest.mark.integration,
    # Ray says so of short plans; a run keeps it from its users' terminals, pytest has filters of its own.
    pytest.mark.filterwarnings("ignore:The (maximum|minimum) number of concurrent:UserWarning"),
]


@pytest.fixture(scope="module")
def ray_host(package):
    """One Ray for all tests of this file, with one actor: most of a test is the start of its actors."""
    with RayHost(load_package(str(package)), RayStream(max_workers=1)) as host:
        yield host


class TestRayDataStream(StreamContract):
    @pytest.fixture
    def host(self, ray_host):
        return ray_host

    def test_every_block_comes_back_once_and_lies_in_the_store(self, job, plan, stream, undisturbed, monkeypatch):
        """As the contract says, with more work than one execution of Ray Data takes."""
        monkeypatch.setattr(ray_data, "SEGMENT", 4)
        super().test_every_block_comes_back_once_and_lies_in_the_store(job, plan, stream, undisturbed)
