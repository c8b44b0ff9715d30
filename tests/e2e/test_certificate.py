"""Certificates of whole jobs: every kind of network, output and scene; both streams; kills in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from e2e.made import classes_package, markers, run, stretch_package, write_spec, write_tiff
from jobs_made import MadeJob
from models.made import declared
from torch import nn

from encdec_batch.commit.prune import PARTS_PREFIX
from encdec_batch.commit.scene import part_path
from encdec_batch.job.plan import build_plan
from encdec_batch.job.progress import Progress
from encdec_batch.models.card import BandCard, ConstantNormalization, ImageOutput
from encdec_batch.models.publish import publish_package
from encdec_batch.networks.espcn import ESPCN
from encdec_batch.networks.unet import UNet
from encdec_batch.pipeline import commit_parts
from encdec_batch.plan.checks import is_check_name

pytestmark = pytest.mark.e2e


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (1, height, width), dtype=np.uint8)


def package(folder: Path, network: nn.Module, arguments: dict[str, Any], **changes: Any) -> str:
    torch.manual_seed(0)
    fields: dict[str, Any] = {
        "bands": (BandCard(name="b"),),
        "normalization": ConstantNormalization(kind="constants", mean=(125.0,), std=(70.0,)),
        "arguments": arguments,
    }
    publish_package(str(folder), network.eval(), declared(**(fields | changes)), noise(256, 256))
    return str(folder)


def image(dtype: str = "float32") -> ImageOutput:
    return ImageOutput(kind="image", band_names=("out",), dtype=dtype, range=(-2, 2))


def certificates(folder: Path) -> dict[str, dict[str, Any]]:
    return {name: marker.certificate or {} for name, marker in markers(folder / "out").items()}


UNPADDED = {"in_channels": 1, "out_channels": 2, "width": 2, "depth": 2, "norm": "none", "padding": False}


def test_a_network_without_padding(tmp_path: Path) -> None:
    made = package(tmp_path / "package", UNet(**UNPADDED), UNPADDED)
    write_tiff(tmp_path / "in/a.tif", noise(700, 1100))
    assert run(write_spec(tmp_path, tmp_path / "in", made)).code == 0
    found = certificates(tmp_path)["a"]
    assert (found["result"], found["holes"], found["differing"]) == ("passed", 0, 0)
    assert found["pixels"] > 10_000


@pytest.mark.parametrize(("scale", "dtype"), [(2, "float32"), (3, "uint8"), (4, "uint16")])
def test_images_enlarged(tmp_path: Path, scale: int, dtype: str) -> None:
    arguments = {"in_channels": 1, "out_channels": 1, "scale": scale, "width": 4}
    made = package(tmp_path / "package", ESPCN(**arguments), arguments, architecture="espcn", output=image(dtype))
    write_tiff(tmp_path / "in/a.tif", noise(700, 900))
    assert run(write_spec(tmp_path, tmp_path / "in", made)).code == 0
    found = certificates(tmp_path)["a"]
    assert (found["result"], found["holes"], found["differing"]) == ("passed", 0, 0)
    assert found["pixels"] > 4 * 50 * 50 * scale**2


def test_nodata_probabilities_and_scenes_that_have_no_certificate(tmp_path: Path) -> None:
    """A scene of nodata alone, one half nodata, one of one block and several tiles, one of one tile."""
    empty, half = noise(700, 900), noise(1100, 1300)
    empty[:] = 0
    half[:, :, :700] = 0
    half[:, 500:600] = 0
    shapes = {"empty": empty, "half": half, "small": noise(300, 400), "tile": noise(100, 90)}
    for name, pixels in shapes.items():
        write_tiff(tmp_path / f"in/{name}.tif", pixels, nodata=0)
    output = {"probability": True, "entropy": True, "files": [{"kind": "cog"}, {"kind": "cells"}]}
    spec = write_spec(tmp_path, tmp_path / "in", classes_package(), output=output)
    ended = run(spec)
    assert ended.code == 0
    found = certificates(tmp_path)
    assert {name: one["result"] for name, one in found.items()} == {
        "empty": "passed",
        "half": "passed",
        "small": "passed",
        "tile": "one tile",
    }
    assert found["empty"]["pixels"] == 0
    assert 0 < found["half"]["pixels"] < found["half"]["windows"] * 64 * 64
    assert not any(one.get("holes") for one in found.values())
    assert ended.result["checks"] == sum(one.get("windows", 0) for one in found.values())
    table = {row["scene_id"]: row for row in pq.read_table(tmp_path / "out/scenes.parquet").to_pylist()}
    assert {name: row["certificate"] for name, row in table.items()} == {n: one["result"] for n, one in found.items()}
    assert table["half"]["check_pixels"] == found["half"]["pixels"]
    assert table["tile"]["check_windows"] is None
    page = (tmp_path / "out/report/index.html").read_text()
    assert "one tile: 1, passed: 3" in page


def test_a_file_that_is_added_carries_the_certificate_on(tmp_path: Path) -> None:
    write_tiff(tmp_path / "in/a.tif", noise(700, 900))
    assert run(write_spec(tmp_path, tmp_path / "in", classes_package())).code == 0
    before = certificates(tmp_path)
    ended = run(write_spec(tmp_path, tmp_path / "in", classes_package(), output={"probability": True}))
    assert (ended.code, ended.result["checks"]) == (0, 0)
    assert markers(tmp_path / "out")["a"].generation == 2
    assert certificates(tmp_path) == before


@pytest.mark.parametrize("certify", ["sample", "off"])
def test_a_certificate_is_of_the_file_that_is_carried_on(tmp_path: Path, certify: str) -> None:
    """Also where the file that is added is made of new parts, which are checked otherwise, or not at all."""
    files, package = [{"kind": "cog"}], classes_package()
    for name in "abcd":
        write_tiff(tmp_path / f"in/{name}.tif", noise(300, 700))
    assert run(write_spec(tmp_path, tmp_path / "in", package, output={"files": files})).code == 0
    before = certificates(tmp_path)
    assert {one["result"] for one in before.values()} == {"passed"}
    more = {"files": [*files, {"kind": "quicklook"}], "certify": certify}
    assert run(write_spec(tmp_path, tmp_path / "in", package, output=more)).code == 0
    assert {marker.generation for marker in markers(tmp_path / "out").values()} == {2}
    assert certificates(tmp_path) == before


@pytest.mark.parametrize("tiling", [{"stitch": {"kind": "blend"}}, {"halo": 0}])
def test_what_is_not_exact_is_stated_and_committed(tmp_path: Path, tiling: dict[str, Any]) -> None:
    write_tiff(tmp_path / "in/a.tif", noise(700, 900))
    spec = write_spec(tmp_path, tmp_path / "in", classes_package(), tiling=tiling)
    ended = run(spec, "--set", "tiling.core=32")
    assert ended.code == 0
    found = certificates(tmp_path)["a"]
    assert (found["result"], found["holes"]) == ("stated", 0)
    assert found["differing"] > 0
    assert found["worst"] > found["tolerance"]


def test_a_scene_normalised_by_all_it_holds(tmp_path: Path) -> None:
    ramp = np.linspace(10, 200, 1400) + np.random.default_rng(5).normal(0, 3, (1100, 1400))
    write_tiff(tmp_path / "in/a.tif", ramp.clip(0, 255).astype(np.uint8)[None])
    assert run(write_spec(tmp_path, tmp_path / "in", stretch_package())).code == 0
    assert certificates(tmp_path)["a"]["result"] == "passed"


def test_a_sample_costs_its_share_and_off_costs_nothing(tmp_path: Path) -> None:
    for n in range(30):
        write_tiff(tmp_path / f"in/{n}.tif", noise(300, 400))
    spec = write_spec(tmp_path, tmp_path / "in", classes_package(), output={"certify": "sample"})
    ended = run(spec)
    results = [one["result"] for one in certificates(tmp_path).values()]
    assert set(results) <= {"passed", "not drawn"}
    assert results.count("not drawn") > 15
    assert ended.result["checks"] == sum(one.get("windows", 0) for one in certificates(tmp_path).values())
    other = write_spec(tmp_path / "other", tmp_path / "in", classes_package(), output={"certify": "off"})
    ended = run(other)
    assert (ended.result["checks"], ended.result["check_share"]) == (0, 0.0)
    assert all(marker.certificate is None for marker in markers(tmp_path / "other/out").values())
    # Neither key knows of certificates: what is committed is not done again for the lack of one.
    assert run(other, "--set", "output.certify=all").result["blocks"] == 0


class Stopped(Exception):
    """A run that is ended from its own progress."""


def stored(job: MadeJob) -> dict[str, bytes]:
    return {info.path: job.store.get(info.path) for info in job.store.list(PARTS_PREFIX)}


def marker_bytes(job: MadeJob) -> dict[str, bytes]:
    return {info.path: job.store.get(info.path) for info in job.store.list("markers/")}


@pytest.mark.filterwarnings("ignore:The (maximum|minimum) number of concurrent:UserWarning")
def test_both_streams_write_the_same_markers(job: MadeJob) -> None:
    job.run()
    local = marker_bytes(job)
    assert {json.loads(data)["certificate"]["result"] for data in local.values()} == {"passed"}
    ray = ("compute.stream={kind: ray, max_workers: 1}", f"output.uri={job.output_uri}-ray")
    job.run(*ray)
    other = MadeJob(file=job.file, output_uri=f"{job.output_uri}-ray")
    assert marker_bytes(other) == local


def test_after_a_stop_checks_are_found_again_and_missing_ones_are_made(job: MadeJob, tmp_path: Path) -> None:
    whole = job.run(f"output.uri={tmp_path / 'whole'}")
    expected = marker_bytes(MadeJob(file=job.file, output_uri=str(tmp_path / "whole")))

    def stop(progress: Progress) -> None:
        # Before the first commit of a scene with parts.
        if any(is_check_name(path.rpartition("/")[2]) for path in stored(job)):
            raise Stopped

    with pytest.raises(Stopped):
        job.run(show=stop)
    before = stored(job)
    checks = [path for path in before if is_check_name(path.rpartition("/")[2])]
    assert checks
    plan = build_plan(job.spec())
    [scene] = [one for one in plan.scenes if part_path(one.part_key, "") == checks[0].rpartition("/")[0] + "/"]
    assert {f"{part_path(scene.part_key, name)}" for name in scene.checks_done} == set(checks)
    assert not any(is_check_name(name) for name in scene.blocks_done)
    # One is damaged: it is told at the commit, dropped, and made once more in the same run.
    job.store.put(checks[0], b"damaged")
    again = job.run()
    assert (again.exit_code, again.digest) == (0, whole.digest)
    assert again.checks <= whole.checks
    assert marker_bytes(job) == expected
    assert stored(job) == {}


def test_a_lost_check_alone_is_all_that_is_done(job: MadeJob) -> None:
    """Every block is there: what is left is one window, and the comparison that must not be skipped."""
    plan = build_plan(job.spec())
    scene = next(one for one in plan.scenes if one.scene_id == "large")

    def stop(progress: Progress) -> None:
        names = {path.rpartition("/")[2] for path in stored(job) if scene.part_key in path}
        if names >= {*(block.name for block in scene.grid().blocks()), *scene.checks.names}:
            raise Stopped

    with pytest.raises(Stopped):
        job.run(show=stop)
    job.store.delete([part_path(scene.part_key, scene.checks.names[0])])
    record = commit_parts(plan.recipe, scene, 10**6)
    assert (record.committed, record.missing) == (False, scene.checks.names[:1])
    left = next(one for one in build_plan(job.spec()).scenes if one.scene_id == "large")
    assert build_plan(job.spec()).cost().checks >= 1
    assert len(left.blocks_done) == left.grid().num_blocks
    summary = job.run()
    assert summary.exit_code == 0
    assert "large" in job.markers()
