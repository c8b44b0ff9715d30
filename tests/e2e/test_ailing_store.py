"""Whole jobs on a store that misbehaves: they come through, or say in one line why not, and the next run goes on."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from children import Child, start_command
from faults import Ailing, LateLists, refusing
from jobs_made import SCENES, MadeJob, make_job, write_scene
from memory_s3 import MemoryS3
from proxy import Proxy, Request, as_it_is, proxy_of, refusal
from watch import Watch

from encdec_batch.job.status import verify

pytestmark = pytest.mark.e2e

HASTY = {"first_wait_s": 0.02, "max_wait_s": 0.2, "total_s": 12.0, "attempt_s": 5.0}
"""The policy at a tenth of its times."""


@dataclass(frozen=True, slots=True)
class Place:
    """A job with source and output on one server, behind a proxy."""

    job: MadeJob
    memory: MemoryS3
    proxy: Proxy
    watch: Watch
    folder: Path

    def run(self, *overrides: str, retry: dict[str, float] | None = None) -> Child:
        sets = [word for override in overrides for word in ("--set", override)]
        child = start_command(
            self.folder / "run", "run", self.job.file, "--json", *sets, settings={"retry": retry or HASTY}
        )
        child.ended()
        return child

    def check_complete(self, child: Child, digest: str) -> dict[str, Any]:
        assert child.ended() == 0, child.stderr
        summary = json.loads(child.stdout)
        assert (summary["digest"], summary["scenes_done"], summary["set_aside"]) == (digest, len(SCENES), [])
        self.proxy.behave(as_it_is)
        assert self.job.verified() == digest
        assert self.watch.violations == []
        return summary

    def check_said(self, child: Child, *words: str) -> None:
        """It could not run, said so once, and a reader notices nothing."""
        assert child.ended() == 1, child.stderr
        errors = [line for line in child.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, child.stderr
        for word in words:
            assert child.stderr.count(word) == 1, child.stderr
        assert "Traceback" not in child.stderr
        assert self.watch.violations == []

    def goes_on(self, digest: str) -> dict[str, Any]:
        """All is well again."""
        self.proxy.behave(as_it_is)
        return self.check_complete(self.run(), digest)


@pytest.fixture
def place(archive, package, tmp_path) -> Iterator[Place]:
    memory = MemoryS3()
    with proxy_of(memory) as proxy:
        for path in archive.iterdir():
            memory.answer("PUT", f"/in/{path.name}", {}, path.read_bytes())
        watch = Watch(memory, "out/o")
        memory.changed = watch.changed
        options = proxy.server.options
        source = {"kind": "prefix", "uri": "s3://in", "storage": options}
        yield Place(
            make_job(tmp_path / "job", "", package, source=source, output="s3://out/o", storage=options),
            memory,
            proxy,
            watch,
            tmp_path,
        )


def test_one_call_in_ten_fails(place, undisturbed):
    child = place.run()
    calls = len(place.proxy.requests)
    place.check_complete(child, undisturbed)
    place.job.store.delete([info.path for info in place.job.store.list()])
    place.watch.moves.clear()
    place.watch.violations.clear()
    ailing = Ailing(seed=1)
    place.proxy.behave(ailing)
    child = place.run()
    requests, failed = len(place.proxy.requests), ailing.num_failed
    place.check_complete(child, undisturbed)
    assert failed >= 5
    # A failed call costs another one; a create whose answer was lost two: the second try, and a look at what is there.
    assert requests <= calls + 2 * failed + 20


@pytest.mark.parametrize("kind", ["500", "reset", "lost answer", "cut body"])
def test_one_call_in_three_fails_in_one_way(place, undisturbed, kind):
    ailing = Ailing(seed=3, rate=0.33, stall_s=0.1, kinds=[kind])
    place.proxy.behave(ailing)
    place.check_complete(place.run(), undisturbed)
    assert ailing.num_failed >= 15


def test_listings_are_late(place, undisturbed):
    late = LateLists(late_s=60, then=as_it_is)
    place.proxy.behave(late)
    summary = place.check_complete(place.run(), undisturbed)
    assert summary["scenes_committed"] == len(SCENES)
    assert late.hidden >= len(SCENES)
    # Nothing is known of the markers, all is tried once more, and found done.
    place.proxy.behave(late)
    again = place.check_complete(place.run(), undisturbed)
    assert again["set_aside"] == []
    assert {name: len(moves) for name, moves in place.watch.moves.items()} == dict.fromkeys(SCENES, 1)


def test_the_store_is_down_for_a_while(place, undisturbed):
    """Half of the time that a call is given: with the policy as it is, a minute."""
    went = []

    def down(request: Request) -> bool:
        if request.number == 60:
            went.append(time.monotonic())
        return bool(went) and time.monotonic() - went[0] < HASTY["total_s"] / 2

    place.proxy.behave(refusing(refusal(503, "ServiceUnavailable"), down))
    child = place.run()
    requests = len(place.proxy.requests)
    place.check_complete(child, undisturbed)
    assert went
    # Waits double up to the longest: each call that hangs asks no more often than that.
    assert requests < 1000


def test_the_store_stays_down(place, undisturbed):
    place.proxy.behave(refusing(None, lambda request: request.number > 60))
    child = place.run(retry=HASTY | {"total_s": 1.0})
    place.check_said(child, "cannot be reached")
    place.goes_on(undisturbed)


@pytest.mark.parametrize("below", ["/", "/in/"], ids=["of all", "of the source"])
def test_credentials_expire_in_mid_run(place, undisturbed, below):
    refused = []

    def expired(request: Request) -> bool:
        if request.number > 60 and request.path.startswith(below):
            refused.append(request)
        return request in refused

    place.proxy.behave(refusing(refusal(403, "ExpiredToken"), expired))
    child = place.run()
    place.check_said(child, "ExpiredToken", "renew the credentials, then run again")
    # Nothing is tried over and over, nothing is set aside.
    assert len(refused) < 20
    place.proxy.behave(as_it_is)
    assert list(place.job.store.list(".encdec/quarantine/")) == []
    place.goes_on(undisturbed)


@pytest.mark.parametrize(
    ("below", "status", "code"),
    [
        (".encdec/parts/", 403, "QuotaExceeded"),
        ("scenes/", 507, "XMinioStorageFull"),
        ("markers/", 403, "QuotaExceeded"),
    ],
)
def test_the_quota_is_used_up(place, undisturbed, below, status, code):
    full = refusal(status, code)
    place.proxy.behave(refusing(full, lambda r: r.method == "PUT" and r.path.startswith(f"/out/o/{below}")))
    child = place.run()
    place.check_said(child, code, "free space or raise the quota, then run again")
    assert place.watch.moves == {}
    place.goes_on(undisturbed)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 300 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("may not mount a file system here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_the_disk_is_full(small_disk, archive, package, tmp_path, undisturbed):
    job = make_job(tmp_path / "job", archive, package, output=small_disk / "output")
    check_full(job, {}, "No space left on device")
    subprocess.run(["mount", "-o", "remount,size=30m", small_disk], check=True)
    check_goes_on(job, undisturbed)


def test_a_file_may_not_grow_any_further(archive, package, tmp_path, undisturbed):
    job = make_job(tmp_path / "job", archive, package)
    check_full(job, {"limits": {"RLIMIT_FSIZE": 40_000}}, "File too large")
    check_goes_on(job, undisturbed)


def check_full(job: MadeJob, settings: dict[str, Any], reason: str) -> None:
    """Said once; and nothing is there that a reader must not see."""
    child = start_command(job.file.parent / "full", "run", job.file, settings=settings)
    assert child.ended() == 1, child.stderr
    assert child.stderr.count("error: ") == child.stderr.count(reason) == 1, child.stderr
    assert "free space or raise the quota, then run again" in child.stderr
    assert verify(job.output_uri).bad == ()
    assert len(job.markers()) < len(SCENES)


def check_goes_on(job: MadeJob, digest: str) -> None:
    child = start_command(job.file.parent / "again", "run", job.file)
    assert child.ended() == 0, child.stderr
    assert job.verified() == digest


def test_a_store_that_overwrites_what_exists_is_refused(place):
    place.proxy.deaf_to = frozenset({"if-none-match"})
    child = place.run()
    assert child.ended() == 2
    assert "ignores If-None-Match" in child.stderr
    assert [info.path for info in place.job.store.list()] == []


@pytest.mark.parametrize("how", ["ignores it", "refuses it"])
def test_a_store_without_if_match_takes_new_scenes_only(place, undisturbed, how):
    if how == "ignores it":
        place.proxy.deaf_to = frozenset({"if-match"})
    else:
        place.proxy.behave(
            refusing(refusal(501, "NotImplemented"), lambda r: r.method == "PUT" and "if-match" in r.headers)
        )
    child = place.run()
    assert child.ended() == 0, child.stderr
    assert json.loads(place.job.store.get(".encdec/lease/1.json"))["ended"] is True
    markers = place.job.markers()
    write_scene(place.folder / "archive" / "tall.tif", *SCENES["tall"], seed=99)
    place.memory.answer("PUT", "/in/tall.tif", {}, (place.folder / "archive" / "tall.tif").read_bytes())
    refused = place.run()
    assert refused.ended() == 2
    assert "this store ignores If-Match" in refused.stderr
    assert place.job.markers() == markers
    assert place.watch.violations == []
