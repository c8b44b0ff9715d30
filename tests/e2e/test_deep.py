"""verify --deep: windows of committed scenes made again. What was tampered with is found, what nobody knows is said."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from e2e.made import (
    classes_package,
    command,
    identity_package,
    image_of,
    markers,
    run,
    stretch_package,
    write_spec,
    write_tiff,
)
from hypothesis import given
from hypothesis import strategies as st
from rasters import coordinate_image

from encdec_batch.commit.marker import marker_path
from encdec_batch.job.deep import SIDE, WINDOWS, windows_of

pytestmark = pytest.mark.integration


def noise(height: int, width: int, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(height).integers(0, 255, (1, height, width)).astype(dtype)


def job(folder: Path, package: str, *shapes: tuple[int, int], dtype: str = "uint8", **changes: Any) -> Path:
    for number, shape in enumerate(shapes):
        write_tiff(folder / f"in/s{number}.tif", noise(*shape, dtype))
    spec = write_spec(folder, folder / "in", package, **changes)
    ended = run(spec)
    assert ended.code == 0, ended
    return folder / "out"


def deep(out: Path, code: int = 0) -> dict[str, Any]:
    ended = command("verify", out, "--deep", "--json")
    assert ended.code == code, ended
    assert ended.result["bad"] == []
    return ended.result["deep"]


def forge(out: Path, scene_id: str, change: Any, name: str = "mask.tif") -> None:
    """Other pixels in a committed file, and a marker that says they are right: as if they had been computed so."""
    marker = markers(out)[scene_id]
    file = marker.outputs[name]
    pixels = change(image_of(out, scene_id, name))
    with rasterio.open(out / file.path) as old:
        profile = old.profile
    with rasterio.open(out / file.path, "w", **{**profile, "driver": "GTiff"}) as new:
        new.write(pixels)
    data = (out / file.path).read_bytes()
    forged = file.model_copy(update={"size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    changed = marker.model_copy(update={"outputs": {**marker.outputs, name: forged}})
    (out / marker_path(scene_id)).write_bytes(changed.to_json())


def test_what_a_job_made_comes_out_again(tmp_path):
    out = job(tmp_path, classes_package(), (700, 900), (90, 40), (300, 513))
    found = deep(out)
    assert (found["differ"], found["not_compared"], found["scenes"]) == ([], {}, 3)
    assert found["windows"] > WINDOWS
    assert found["pixels"] > SIDE**2
    # The same output, the same windows.
    assert deep(out) == found
    shown = command("verify", out, "--deep").stdout
    assert f"{found['windows']} windows of 3 scenes computed again" in shown
    assert "0 of them came out otherwise" in shown


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_so_does_what_was_normalised_by_the_whole_scene(tmp_path, dtype):
    out = job(tmp_path, stretch_package(), (700, 600), (60, 70), dtype=dtype)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    found = deep(out)
    assert (found["differ"], found["not_compared"], found["scenes"]) == ([], {}, 2)
    shutil.rmtree(out / ".encdec/statistics")
    assert deep(out)["differ"] == []
    assert {path for path in out.rglob("*") if path.is_file()} < set(before), "verify writes nothing"


def test_nodata_is_compared_too(tmp_path):
    pixels = noise(600, 600)
    pixels[:, :, :250] = 0
    write_tiff(tmp_path / "in/a.tif", pixels, nodata=0)
    assert run(write_spec(tmp_path, tmp_path / "in", classes_package())).code == 0
    assert deep(tmp_path / "out")["differ"] == []
    forge(tmp_path / "out", "a", lambda mask: np.where(mask == 255, 0, mask))
    assert any("nodata on one side alone" in line for line in deep(tmp_path / "out", code=1)["differ"])


def test_other_labels_are_found_and_named(tmp_path):
    out = job(tmp_path, classes_package(gain=50.0), (600, 700), (300, 300))
    forge(out, "s1", lambda mask: 1 - mask)
    found = deep(out, code=1)
    assert found["differ"]
    assert all(
        line.startswith("s1 at row ") and "are of another class, by a margin of up to" in line
        for line in found["differ"]
    )
    shown = command("verify", out, "--deep")
    assert shown.code == 1
    assert f"differs  {found['differ'][0]}" in shown.stdout


def test_a_value_that_is_off_by_more_than_rounding_is_found(tmp_path):
    out = job(tmp_path, identity_package(), (500, 600))
    forge(out, "s0", lambda image: image + np.float32(0.01), "image.tif")
    assert all("have another value, by up to" in line for line in deep(out, code=1)["differ"])
    assert deep(out, code=1)["differ"]


def test_an_input_that_was_replaced_or_is_gone_is_no_fault_of_the_output(tmp_path):
    out = job(tmp_path, classes_package(), (300, 200), (310, 200), (320, 200))
    write_tiff(tmp_path / "in/s0.tif", coordinate_image(1, 300, 200))
    (tmp_path / "in/s1.tif").unlink()
    found = deep(out)
    assert (found["scenes"], found["differ"]) == (1, [])
    reasons = {ids[0]: why for why, ids in found["not_compared"].items()}
    assert reasons["s0"] == "its input was replaced since"
    assert reasons["s1"].startswith("its input cannot be read: there is no such object")
    assert "not compared: 1 scene, its input was replaced since (s0)" in command("verify", out, "--deep").stdout


def test_a_package_that_is_gone_or_another_is_said(tmp_path):
    folder = tmp_path / "package"
    shutil.copytree(classes_package(), folder)
    out = job(tmp_path, str(folder), (300, 200))
    shutil.rmtree(folder)
    [reason] = deep(out)["not_compared"]
    assert "card.json" in reason or str(folder) in reason
    shutil.copytree(classes_package(seed=1), folder)
    assert deep(out)["not_compared"] == {"the spec or package that made it is no longer there": ["s0"]}


def test_scenes_of_two_packages_are_each_made_by_their_own(tmp_path):
    out = job(tmp_path, classes_package(), (300, 200))
    write_tiff(tmp_path / "in/s1.tif", noise(400, 300))
    # The older scene stays as it was made: it is no longer in the source.
    (tmp_path / "in/s0.tif").rename(tmp_path / "s0.tif")
    assert run(write_spec(tmp_path, tmp_path / "in", classes_package(seed=1))).code == 0
    (tmp_path / "s0.tif").rename(tmp_path / "in/s0.tif")
    found = deep(out)
    assert (found["scenes"], found["differ"], found["not_compared"]) == (2, [], {})


def test_what_is_not_exact_or_has_no_cog_says_nothing(tmp_path):
    out = job(tmp_path / "blend", classes_package(), (600, 700), tiling={"stitch": {"kind": "blend"}})
    assert deep(out)["not_compared"] == {"an approximation, which another tiling does not repeat": ["s0"]}
    files = {"uri": str(tmp_path / "png/out"), "files": [{"kind": "png"}]}
    out = job(tmp_path / "png", classes_package(), (100, 100), output=files)
    assert deep(out)["not_compared"] == {"without mask.tif no file has the network's own pixels": ["s0"]}


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 200), st.text(max_size=5))
def test_windows_lie_inside_whatever_the_scene(height, width, core, seed):
    windows = windows_of(seed, "a", (height, width), core)
    assert 1 <= len(windows) <= WINDOWS
    for window in windows:
        assert window.row_off >= 0
        assert window.col_off >= 0
        assert window.row_stop <= height
        assert window.col_stop <= width
        assert (window.height, window.width) == (min(SIDE, height), min(SIDE, width))
    assert windows_of(seed, "a", (height, width), core) == windows
