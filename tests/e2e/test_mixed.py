"""Every format in one prefix, and all that is wrong in archives: one job, complete, also where it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
from e2e.made import aside, classes_package, command, image_of, markers, plain_logits, run, write_spec
from e2e.test_kill import processes_with
from jobs_made import command as words_of
from jobs_made import wait_until
from mixed import LARGE, Mixed, make_mixed
from stream.deaths import Faults

from encdec_batch.commit.scene import PARTS_PREFIX
from encdec_batch.plan.identity import safe_id
from encdec_batch.privacy import Pseudonyms

pytestmark = pytest.mark.e2e

KEY = "a key for tests, long enough"
NAMES = Pseudonyms(KEY)
RAY = ("--set", "compute.stream={kind: ray, max_workers: 1}")
FRAMES = NAMES.scene_id(f"volume {safe_id('pacs/cine')}")
"""Frames that have no place in space: they are read, and nothing can refer to each of them."""
LACKS = "its source lacks what a segmentation must refer to: leave dicom_seg out of output.files for it"
FIRST, LAST = [0, 512], [512, 512]
"""Where blocks of the large scene begin."""


@dataclass(frozen=True, slots=True)
class Done:
    """An undisturbed run."""

    output: Path
    rows: Mapping[str, Mapping[str, Any]]
    digest: str


@pytest.fixture(scope="module", autouse=True)
def key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENCDEC_PRIVACY_KEY", KEY)
        yield


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Mixed:
    return make_mixed(tmp_path_factory.mktemp("mixed") / "archive")


@pytest.fixture(scope="module")
def done(mixed, tmp_path_factory) -> Done:
    folder = tmp_path_factory.mktemp("done")
    ended = run(job(folder, mixed))
    assert ended.code == 3, ended
    return Done(folder / "out", aside(ended), digest_of(folder / "out"))


def network() -> str:
    return classes_package(1, ("uint8", "int16", "uint16"), unit="scaled", seed=2)


def job(folder: Path, mixed: Mixed) -> Path:
    files = [{"kind": "cog"}, {"kind": "nifti"}, {"kind": "dicom_seg"}]
    source = {"kind": "prefix", "uri": str(mixed.folder), "bands": [1]}
    return write_spec(folder, source, network(), output={"files": files})


def digest_of(output: Path) -> str:
    """Of an output whose files are what its markers say."""
    ended = command("verify", output, "--digest")
    assert ended.code == 0, ended
    return ended.stdout


def volumes_of(output: Path) -> dict[tuple[str, ...], dict[str, str]]:
    """Slices of each volume to its files, by their digests."""
    records = [json.loads(path.read_text()) for path in (output / "volumes").glob("*.json")]
    return {tuple(one["slices"]): {name: file["sha256"] for name, file in one["outputs"].items()} for one in records}


def test_what_had_to_be_set_aside_is_and_nothing_else(mixed, done):
    said = {scene_id: (row["reason"], row["hint"], row["uri"]) for scene_id, row in done.rows.items()}
    assert said == {
        NAMES.scene_id(name): (reason, hint, NAMES.uri(mixed.uris[name]))
        for name, (reason, hint) in mixed.aside.items()
    } | {FRAMES: (f"highdicom cannot make a segmentation of {FRAMES}: AttributeError", LACKS, "volume of 3 slices")}


def test_every_image_is_what_a_plain_pass_over_it_gives(mixed, done):
    assert set(markers(done.output)) == {NAMES.scene_id(name) for name in mixed.images}
    for name, pixels in mixed.images.items():
        no, yes = plain_logits(network(), pixels[None])
        mask = image_of(done.output, NAMES.scene_id(name), "mask.tif")[0]
        # Of two classes that are all but equal tiles of another shape may choose the other.
        np.testing.assert_array_equal((mask == (yes > no)) | (abs(yes - no) < 1e-3), True, err_msg=name)


def test_every_volume_has_its_files(mixed, done):
    made = volumes_of(done.output)
    assert {slices: set(files) for slices, files in made.items()} == {
        tuple(map(NAMES.scene_id, slices)): set(files) for slices, files in mixed.volumes.items()
    }
    for record in (done.output / "volumes").glob("*.json"):
        volume = json.loads(record.read_text())
        if "mask.nii.gz" not in volume["outputs"]:
            continue
        image = nibabel.load(done.output / volume["outputs"]["mask.nii.gz"]["path"])
        masks = np.stack([image_of(done.output, scene_id, "mask.tif")[0] for scene_id in volume["slices"]])
        np.testing.assert_array_equal(np.asanyarray(image.dataobj), masks.transpose(2, 1, 0))


def test_killed_on_ray_the_same_command_goes_on(mixed, done, tmp_path):
    """First a worker, of a block; then, while the last block is computed, the driver."""
    faults = Faults(tmp_path / "faults")
    kill = {"stage": "predict", "shape": LARGE, "at": FIRST, "how": "kill", "times": 1}
    faults.plant(kill, {"stage": "predict", "shape": LARGE, "at": LAST, "how": "wait"})
    name = f"ENCDEC_TEST_{uuid.uuid4().hex}"
    words = words_of("run", job(tmp_path, mixed), "--json", *RAY)
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=os.environ | faults.environment | {name: "1"},
    ) as driver:
        try:
            wait_until(lambda: driver.poll() is not None or struck(faults, "wait"), what="the last block")
            assert driver.poll() is None, driver.communicate()
        finally:
            os.killpg(driver.pid, signal.SIGKILL)
    wait_until(lambda: not processes_with(name), what="the end of the workers")
    assert struck(faults, "kill") == 1
    parts = {path.name for path in (tmp_path / "out" / PARTS_PREFIX).glob("*/*") if not path.name.startswith("check")}
    assert parts
    before = set(markers(tmp_path / "out"))
    assert before < set(markers(done.output))

    ended = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 3, ended.stderr
    summary = json.loads(ended.stdout)
    assert {row["scene_id"]: row for row in summary["set_aside"]} == done.rows
    assert summary["scenes_committed"] == len(markers(done.output)) - len(before)
    again = computed(tmp_path / "out", summary["run_id"], NAMES.scene_id(safe_id("z/field")))
    assert again
    assert not again & parts
    assert digest_of(tmp_path / "out") == done.digest
    assert volumes_of(tmp_path / "out") == volumes_of(done.output)


def computed(output: Path, run_id: str, scene_id: str) -> set[str]:
    """Blocks of a scene that the events of a run say were computed."""
    files = (output / ".encdec/runs" / run_id).glob("events-*")
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    return {block for row in rows if row["scene_id"] == scene_id for block in row["blocks"]}


def struck(faults: Faults, how: str) -> int:
    return faults.log.read_text().count(f" {how} ") if faults.log.exists() else 0
