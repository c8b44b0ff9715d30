"""A job over every real scene, one band of each, killed and on an ailing store: its output is that of a quiet run.

`GEO_SCENES` may name another folder with the same files.
"""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pytest
from children import Child, start_command
from e2e.made import classes_package, write_spec
from faults import Ailing
from proxy import Answer, Behaviour, Forward, Proxy, Request, as_it_is, proxy_of
from servers import S3Server, s3_server_process

from encdec_batch.job.status import verify

FOLDER = Path(os.environ.get("GEO_SCENES", Path(__file__).parents[2] / "../shared/data/geo_scenes"))

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the real scenes are not here: {FOLDER}"),
]

LOCAL = "compute.stream={kind: local, workers: 2}"
RAY = "compute.stream={kind: ray, max_workers: %d}"
NOT_READ = {"s2_B01_crop_lossless", "sentinel1_slc_cint16_gcps"}
"""JPEG 2000, and complex pixels."""
HASTY = {"first_wait_s": 0.05, "max_wait_s": 0.5, "total_s": 30.0, "attempt_s": 10.0}


@dataclass(frozen=True, slots=True)
class Place:
    """The scenes in a bucket, and a way to the server on which calls are counted, failed and answered by a kill."""

    server: S3Server
    proxy: Proxy
    bucket: str
    folder: Path

    def start(self, name: str, *overrides: str, through: S3Server | None = None) -> Child:
        options = (through or self.server).options
        source = {"kind": "prefix", "uri": f"s3://{self.bucket}/in", "suffixes": [".tif", ".jp2"], "bands": [1]}
        output = {"uri": self.uri(name), "files": [{"kind": "cog"}, {"kind": "quicklook"}], "storage": options}
        package = classes_package(1, ("uint8", "uint16", "int16", "float32"), "nodata")
        spec = write_spec(
            self.folder / name,
            source | {"storage": options},
            package,
            output=output,
            tiling={"core": 512, "block": 1024},
        )
        sets = [word for override in overrides for word in ("--set", override)]
        return start_command(self.folder / name, "run", spec, "--json", *sets, settings={"retry": HASTY})

    def uri(self, name: str) -> str:
        return f"s3://{self.bucket}/{name}"

    def digest(self, name: str, child: Child) -> str:
        """Of an output whose run has ended by itself; every file is what its marker says."""
        assert child.ended(within_s=400) == 3, child.stderr
        summary = json.loads(child.stdout)
        assert {aside["scene_id"] for aside in summary["set_aside"]} == NOT_READ
        verdict = verify(self.uri(name), self.server.options)
        assert verdict.bad == ()
        assert summary["digest"] == verdict.digest
        return verdict.digest


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Place]:
    with s3_server_process() as server, proxy_of(server) as proxy:
        bucket = server.make_bucket()
        for path in FOLDER.iterdir():
            if path.suffix != ".csv":
                server.client().upload_file(str(path), bucket, f"in/{path.name}")
        yield Place(server, proxy, bucket, tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def quiet(place) -> tuple[str, int]:
    """The digest of an undisturbed run in one process, and how many calls it makes."""
    place.proxy.behave(as_it_is)
    digest = place.digest("quiet", place.start("quiet", LOCAL, through=place.proxy.server))
    return digest, len(place.proxy.requests)


@pytest.mark.parametrize(("killed", "then"), [(LOCAL, LOCAL), (RAY % 2, RAY % 1)], ids=["local", "ray"])
def test_the_driver_is_killed_in_mid_run(place, quiet, killed, then):
    name = f"killed-{'ray' if 'ray' in killed else 'local'}"
    pid: Future[int] = Future()
    place.proxy.behave(killing_at(quiet[1] // 2, pid, as_it_is))
    child = place.start(name, killed, through=place.proxy.server)
    pid.set_result(child.pid)
    assert child.ended(within_s=400) == -signal.SIGKILL
    place.proxy.behave(as_it_is)
    assert place.digest(name, place.start(name, then)) == quiet[0]


def test_killed_at_random_on_an_ailing_store_until_it_is_done(place, quiet):
    draw, ailing, name = random.Random(11), Ailing(seed=11), "ailing"
    kills = 0
    while True:
        pid: Future[int] = Future()
        number = draw.randint(40, quiet[1] // 4) if kills < 5 else 0
        place.proxy.behave(killing_at(number, pid, ailing))
        child = place.start(name, LOCAL, through=place.proxy.server)
        pid.set_result(child.pid)
        if child.ended(within_s=400) != -signal.SIGKILL:
            break
        kills += 1
    assert kills >= 2
    assert ailing.num_failed > quiet[1] // 20
    assert place.digest(name, child) == quiet[0]


def killing_at(number: int, pid: Future[int], then: Behaviour) -> Behaviour:
    """Kills a process at the request of this number; 0: never."""

    def behave(request: Request, forward: Forward) -> Answer | None:
        if request.number == number:
            os.kill(pid.result(), signal.SIGKILL)
            return None
        return then(request, forward)

    return behave
