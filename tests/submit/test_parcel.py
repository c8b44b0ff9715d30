"""What leaves this machine: an allow-list, the same bytes each time, no larger than the cluster takes."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from e2e.made import classes_package, command
from submit.test_spec import ARCHIVE

from encdec_batch.errors import SpecError, StoreError, SubmitError
from encdec_batch.models.package import load_package
from encdec_batch.submit import parcel as parcels
from encdec_batch.submit.code import code_of_wheel, installed_code
from encdec_batch.submit.parcel import make_parcel
from encdec_batch.submit.spec import ClusterSpec

ROOT = Path(__file__).parents[2]
SPEC = ClusterSpec(kind="archive", text=b"source: {}\n", output_uri="s3://a/out", package=None)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The package's wheel, by setuptools."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "encdec_batch", source / "encdec_batch", ignore=shutil.ignore_patterns("__pycache__"))
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*words, "--wheel-dir", str(folder), str(source)], check=True, capture_output=True, timeout=120)
    [made] = folder.glob("*.whl")
    return made


@pytest.mark.integration
def test_the_code_that_is_sent_is_that_of_the_wheel(wheel):
    assert code_of_wheel(str(wheel)) == installed_code()


@pytest.mark.integration
def test_a_wheel_may_lie_on_a_store(wheel):
    assert code_of_wheel(f"file://{wheel}") == installed_code()


def test_sent_are_spec_package_and_model_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("secrets.env").write_text("KEY=1")
    made = make_parcel(replace(SPEC, package=load_package(classes_package())), wheel="")
    model = {"model/card.json", "model/weights.safetensors", "model/golden.safetensors"}
    assert set(made.files) == {"spec.yaml", *model, *installed_code()}
    with zipfile.ZipFile(io.BytesIO(made.folder)) as folder:
        assert {name: folder.read(name) for name in folder.namelist()} == dict(made.files)
    tracked = subprocess.run(["git", "ls-files", "encdec_batch"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode == 0:
        assert set(tracked.stdout.split()) <= set(installed_code())


def test_without_the_package_where_the_nodes_have_it():
    assert set(make_parcel(SPEC, wheel="none").files) == {"spec.yaml"}


def test_the_same_is_the_same_bytes_and_what_differs_has_another_digest():
    one, again = (make_parcel(SPEC, wheel="none") for _ in range(2))
    other = make_parcel(replace(SPEC, text=b"source: {a: 1}\n"), wheel="none")
    assert (one.folder, one.metadata) == (again.folder, again.metadata)
    assert one.metadata["encdec_batch.digest"] != other.metadata["encdec_batch.digest"]


def test_more_than_a_cluster_takes_is_said_here(monkeypatch):
    monkeypatch.setattr(parcels, "MOST_BYTES", 2**20)
    package = replace(load_package(classes_package()), weights=np.random.default_rng(0).bytes(2**21))
    with pytest.raises(SubmitError, match="put the model into a registry"):
        make_parcel(replace(SPEC, package=package), wheel="none")


def test_what_is_no_wheel_of_ours(tmp_path):
    (tmp_path / "no.whl").write_bytes(b"no zip")
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as other:
        other.writestr("other-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    for name, said in (("no.whl", "is no wheel"), ("other.whl", "is a wheel of other")):
        with pytest.raises(SpecError, match=said):
            code_of_wheel(str(tmp_path / name))
    with pytest.raises(StoreError):
        code_of_wheel(str(tmp_path / "missing.whl"))


def test_a_dry_run_says_every_file_and_asks_no_cluster(tmp_path):
    spec = tmp_path / "job.yaml"
    spec.write_text(yaml.safe_dump(ARCHIVE | {"model": {"package": classes_package()}}))
    words = ("submit", spec, "--address", "http://127.0.0.1:1", "--id", "tonight", "--dry-run")
    ended = command(*words)
    assert (ended.code, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    listed = {line.split()[1]: int(line.split()[0].replace(",", "")) for line in lines if line.startswith(" ")}
    assert {"spec.yaml", "model/card.json", "encdec_batch/driver.py"} <= set(listed)
    assert set(listed) == {"spec.yaml", *(f"model/{name}" for name in _model_files()), *installed_code()}
    assert listed["encdec_batch/driver.py"] == (ROOT / "encdec_batch/driver.py").stat().st_size
    assert lines[0].split() == ["id", "tonight"]
    assert json.loads(lines[2].partition(" ")[2]) == {"RAY_JOB_STOP_WAIT_TIME_S": "30"}


def _model_files() -> set[str]:
    return set(load_package(classes_package()).files)
