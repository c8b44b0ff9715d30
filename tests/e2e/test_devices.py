"""One run, one kind of device: what another kind made is never mixed in."""

from __future__ import annotations

import pytest
from jobs_made import BLOCKS

from encdec_batch.predict import device

pytestmark = pytest.mark.integration


class Stopped(Exception):
    """What a test throws into a run."""


def be_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test has two machines: this one says that it is another."""
    monkeypatch.setattr(device, "_cpu_kind", lambda: ("cpu-Another-avx2", False))


def test_a_run_that_goes_on_elsewhere_uses_no_part_of_the_first_kind(job, undisturbed, monkeypatch):
    def stop(progress):
        if progress.blocks_done == 5:
            raise Stopped

    with pytest.raises(Stopped):
        job.run(show=stop)
    committed = job.markers()
    assert sum(map(len, job.parts().values())) >= 5
    be_another_kind(monkeypatch)
    summary = job.run()
    assert (summary.exit_code, summary.scenes_done) == (0, 4)
    assert summary.blocks == sum(number for name, number in BLOCKS.items() if name not in committed)
    assert job.verified() == undisturbed


def test_what_is_done_is_done_on_whatever_kind(job, monkeypatch):
    digest = job.run().digest
    be_another_kind(monkeypatch)
    again = job.run()
    assert (again.blocks, again.digest) == (0, digest)
