"""A store that does not answer for one scene: that scene waits for the next run, the others are done."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from jobs_made import SCENES, MadeJob, make_job
from servers import FaultyServer, faulty_s3_server

from encdec_batch.job.progress import Progress
from encdec_batch.store import s3
from encdec_batch.store.retry import RetryPolicy

pytestmark = pytest.mark.e2e


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch):
    """A server; requests to it are repeated for half a second instead of two minutes."""
    monkeypatch.setattr(s3, "RetryPolicy", partial(RetryPolicy, total_s=0.5, first_wait_s=0.01, max_wait_s=0.05))
    with faulty_s3_server() as server:
        yield server


@pytest.fixture
def bucket(faulty: FaultyServer, archive: Path) -> str:
    name = faulty.server.make_bucket()
    for path in archive.iterdir():
        faulty.server.client().upload_file(str(path), name, path.name)
    return name


@pytest.fixture
def job(faulty: FaultyServer, bucket: str, package: Path, tmp_path: Path) -> MadeJob:
    source = {"kind": "prefix", "uri": f"s3://{bucket}", "storage": faulty.server.options}
    return make_job(tmp_path / "job", "", package, source=source)


def never(_: Progress) -> None:
    """From the start, not later."""


def when_running(action: Callable[[], None]) -> Callable[[Progress], None]:
    def show(progress: Progress) -> None:
        if progress.state == "running":
            action()

    return show


@pytest.mark.parametrize("stage", ["plan", "read"])
def test_the_scene_is_transient_and_the_rest_is_committed(faulty, bucket, job, stage, undisturbed):
    def fail() -> None:
        faulty.down.add(f"/{bucket}/large.tif")

    if stage == "plan":
        fail()
    summary = job.run(show=never if stage == "plan" else when_running(fail))
    assert (summary.exit_code, summary.scenes_committed) == (3, len(SCENES) - 1)
    assert set(job.markers()) == set(SCENES) - {"large"}
    [aside] = summary.set_aside
    assert (aside.scene_id, aside.stage, aside.transient) == ("large", stage, True)
    assert "503" in aside.reason
    assert aside.hint
    # Nothing of it may pass for done, and a second run in vain changes nothing.
    again = job.run()
    assert (again.scenes_committed, again.set_aside[0].transient, again.exit_code) == (0, True, 3)
    faulty.down.clear()
    mended = job.run()
    assert (mended.exit_code, mended.scenes_committed, mended.set_aside) == (0, 1, ())
    assert list(job.store.list(".encdec/quarantine/")) == []
    assert job.verified() == undisturbed
