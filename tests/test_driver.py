"""What a cluster runs for a spec, without a cluster: exit codes, and a signal that ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.made import classes_package, write_spec, write_tiff
from jobs_made import make_archive, make_job, make_package, wait_until
from rasters import coordinate_image
from stream.deaths import Faults, fault

ROOT = Path(__file__).parents[1]
SHAPE = (600, 1100)

pytestmark = pytest.mark.e2e


def start(script: str, *words: object, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "jobs" / script), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )


def test_with_something_set_aside_it_ends_well_and_says_so(tmp_path):
    write_tiff(tmp_path / "in/a.tif", coordinate_image(1, 300, 300))
    (tmp_path / "in/b.tif").write_bytes(b"no image")
    out, err = start("infer_archive.py", write_spec(tmp_path, tmp_path / "in", classes_package())).communicate()
    assert out.splitlines()[-1] == "exit code 3", err
    assert "1 set aside" in out


@pytest.mark.parametrize(
    ("script", "words", "said"),
    [
        ("infer_archive.py", ["nowhere.yaml"], "cannot read the spec nowhere.yaml"),
        ("train_network.py", ["nowhere.yaml"], "cannot read the spec nowhere.yaml"),
        ("infer_archive.py", [], "usage"),
        ("infer_archive.py", ["--help"], "usage"),
    ],
)
def test_what_is_wrong_is_code_2(script, words, said):
    process = start(script, *words)
    _, err = process.communicate()
    assert process.returncode == 2
    assert said in err


def test_a_job_that_is_stopped_gives_its_lease_back_and_goes_on(tmp_path):
    job = make_job(
        tmp_path / "job", make_archive(tmp_path / "archive", {"scene": SHAPE}), make_package(tmp_path / "package")
    )
    quiet = make_job(tmp_path / "quiet", tmp_path / "archive", tmp_path / "package").run()
    faults = Faults(tmp_path / "faults.json")
    faults.plant(fault("predict", SHAPE, "wait", times=1))
    process = start("infer_archive.py", job.file, environment=faults.environment)
    wait_until(lambda: bool(faults.pids()) or process.poll() is not None, what="a block")
    process.send_signal(signal.SIGTERM)
    faults.go_on()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert err.splitlines()[-1] == "stopped by SIGTERM; submitted or started again it goes on where it was"
    assert out == "exit code 1\n"
    [lease] = job.store.list(".encdec/lease/")
    assert json.loads(job.store.get(lease.path))["ended"] is True
    assert job.markers() == {}
    assert job.run().digest == quiet.digest
