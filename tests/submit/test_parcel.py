"""What leaves this machine: an allow-list, the same bytes each time, no larger than the cluster takes."""

from __future__ import annotations

import io
import json
import os
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

from encdec_batch.console_submit import file_lines, parcel_lines
from encdec_batch.errors import SpecError, StoreError, SubmitError
from encdec_batch.models.package import load_package
from encdec_batch.report.page import format_bytes
from encdec_batch.submit import parcel as parcels
from encdec_batch.submit.package_files import files_here, files_of_wheel
from encdec_batch.submit.parcel import digest_of, make_parcel
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


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True).stdout


def sources() -> dict[str, bytes]:
    """By name, the files of the package that are for every user: what lies in its folder, but for what is a cache."""
    found = (path for path in (ROOT / "encdec_batch").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A repository of the package."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "encdec_batch", folder / "encdec_batch", ignore=shutil.ignore_patterns("__pycache__"))
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    return folder / "encdec_batch"


STRAYS = ("notes.yaml", "spec/credentials.json", "train/weights.safetensors", "new.py", ".env")


@pytest.fixture
def strays(checkout):
    """Files that somebody left in the package's folder."""
    for name in STRAYS:
        (checkout / name).write_text("SECRET=1")
    yield
    for name in STRAYS:
        (checkout / name).unlink()


def test_of_a_checkout_what_git_tracks_is_sent_and_nothing_that_lies_beside_it(checkout, strays):
    (checkout / "__pycache__").mkdir(exist_ok=True)
    (checkout / "__pycache__/x.pyc").write_bytes(b"cached")
    found = files_here(checkout)
    assert dict(found.files) == sources()
    assert sorted(found.left_out) == sorted(f"encdec_batch/{name}" for name in STRAYS)


def test_of_a_checkout_what_was_changed_is_sent_as_it_is_and_what_was_deleted_is_not(checkout):
    log, kept = checkout / "log.py", (checkout / "log.py").read_bytes()
    log.write_bytes(b"changed")
    assert files_here(checkout).files["encdec_batch/log.py"] == b"changed"
    log.unlink()
    assert "encdec_batch/log.py" not in files_here(checkout).files
    log.write_bytes(kept)


def test_where_nothing_says_what_is_of_the_package_nothing_is_sent(checkout, tmp_path):
    shutil.copytree(checkout, tmp_path / "encdec_batch")
    with pytest.raises(SubmitError, match=r"it was not installed there, and .*--wheel"):
        files_here(tmp_path / "encdec_batch")
    git(tmp_path, "init", "--quiet")
    with pytest.raises(SubmitError, match="git tracks none of them"):
        files_here(tmp_path / "encdec_batch")


def files_in_a_process_of(folder: Path, path: str) -> list[list[str]]:
    """Names of the files that are sent of the package that is imported from this folder, and of those left out."""
    words = "import json; from encdec_batch.submit.package_files import files_here; found = files_here()"
    say = f"{words}; print(json.dumps([sorted(found.files), found.left_out]))"
    environment = {"PATH": path, "PYTHONPATH": str(folder)}
    ended = subprocess.run(
        [sys.executable, "-c", say], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.integration
def test_of_an_installation_what_its_record_lists_is_sent(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path)
    (tmp_path / "encdec_batch/stray.yaml").write_text("SECRET=1")
    without_git = ""
    assert files_in_a_process_of(tmp_path, without_git) == [sorted(sources()), ["encdec_batch/stray.yaml"]]


@pytest.mark.integration
def test_of_an_editable_checkout_what_git_tracks_is_sent_whatever_the_list_of_its_installation_says(checkout):
    info = checkout.parent / "encdec_batch.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: encdec-batch\nVersion: 0.0.1\n")
    (info / "SOURCES.txt").write_text("encdec_batch/__init__.py\n")
    assert files_in_a_process_of(checkout.parent, os.environ["PATH"]) == [sorted(sources()), []]


@pytest.mark.integration
def test_a_wheel_has_what_git_tracks(wheel, checkout):
    assert files_of_wheel(str(wheel)).files == files_here(checkout).files


@pytest.mark.integration
def test_a_wheel_may_lie_on_a_store(wheel):
    assert files_of_wheel(f"file://{wheel}") == files_of_wheel(str(wheel))


def test_sent_are_spec_package_and_model_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("secrets.env").write_text("KEY=1")
    made = make_parcel(replace(SPEC, package=load_package(classes_package())), wheel="")
    model = {"model/card.json", "model/weights.safetensors", "model/golden.safetensors"}
    assert set(made.files) == {"spec.yaml", *model, *git(ROOT, "ls-files", "encdec_batch").split()}
    with zipfile.ZipFile(io.BytesIO(made.folder)) as folder:
        assert {name: folder.read(name) for name in folder.namelist()} == dict(made.files)


def test_without_the_package_where_the_nodes_have_it():
    assert set(make_parcel(SPEC, wheel="none").files) == {"spec.yaml"}


def test_the_same_has_the_same_digest_on_every_machine_and_what_differs_another():
    one, again = (make_parcel(SPEC, wheel="none") for _ in range(2))
    other = make_parcel(replace(SPEC, text=b"source: {a: 1}\n"), wheel="none")
    assert (one.folder, one.metadata) == (again.folder, again.metadata)
    assert one.digest == "e01dc585819f7c4f920f9c373e3427b69a35ebd323ed63e1ca49f1624653a5bf"
    assert one.digest != other.digest
    assert len({digest_of(files) for files in ({"a": b"1", "b": b"2"}, {"a": b"2", "b": b"1"}, {"a": b"12"})}) == 3
    assert digest_of({"a": b"1", "b": b"2"}) == digest_of({"b": b"2", "a": b"1"})


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
            files_of_wheel(str(tmp_path / name))
    with pytest.raises(StoreError):
        files_of_wheel(str(tmp_path / "missing.whl"))


def test_a_dry_run_is_a_few_lines_and_with_v_every_file_and_asks_no_cluster(tmp_path):
    spec = tmp_path / "job.yaml"
    spec.write_text(yaml.safe_dump(ARCHIVE | {"model": {"package": classes_package()}}))
    words = ("submit", spec, "--address", "http://127.0.0.1:1", "--id", "tonight", "--dry-run")
    short, ended = command(*words), command(*words, "-v")
    assert (short.code, short.stderr, ended.code, ended.stderr) == (0, "", 0, "")
    assert ended.stdout.startswith(short.stdout)
    lines = ended.stdout.splitlines()
    listed = {line.split()[1]: int(line.split()[0].replace(",", "")) for line in lines if line.startswith(" ")}
    tracked = git(ROOT, "ls-files", "encdec_batch").split()
    assert set(listed) == {"spec.yaml", *(f"model/{name}" for name in _model_files()), *tracked}
    assert listed["encdec_batch/driver.py"] == (ROOT / "encdec_batch/driver.py").stat().st_size

    told = dict(line.split(maxsplit=1) for line in short.stdout.splitlines())
    assert told["id"] == "tonight"
    assert told["entrypoint"] == "python -m encdec_batch.driver spec.yaml"
    assert json.loads(told["environment"]) == {"RAY_JOB_STOP_WAIT_TIME_S": "30"}
    code = format_bytes(sum(listed[name] for name in tracked))
    said = told["to"].removeprefix("be sent   ")
    assert said.startswith(f"{len(listed)} files, ")
    assert f"spec.yaml ({format_bytes(listed['spec.yaml'])})" in said
    assert f"model ({len(_model_files())} files, " in said
    assert f"encdec_batch ({len(tracked)} files, {code})" in said
    assert len(short.stdout.splitlines()) < 10


def test_what_stays_here_is_counted_and_with_v_named():
    parcel = replace(make_parcel(SPEC, wheel="none"), left_out=tuple(f"encdec_batch/{n}.py" for n in range(7)))
    [line] = [line for line in parcel_lines(parcel, "a") if line.startswith("left out")]
    assert line.split(maxsplit=2)[2].startswith(
        "7 files that neither git nor an installation lists: encdec_batch/0.py, "
    )
    assert sum(line.lstrip().startswith("left out") for line in file_lines(parcel)) == 7


def _model_files() -> set[str]:
    return set(load_package(classes_package()).files)
