"""Normalisation by percentiles of the whole scene: the same for every tile, taken once, kept for the next run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from e2e.made import BLOCK, image_of, run, stretch_package, write_spec, write_tiff
from fakes import FakeStore

import encdec_batch as eb
from encdec_batch import pipeline
from encdec_batch.errors import ObjectForbidden
from encdec_batch.job.run import run as run_job
from encdec_batch.plan.item import work_items

pytestmark = pytest.mark.integration

UPPER = 99.0


def gradient(dtype: str, height: int = 1100, width: int = 1400) -> np.ndarray:
    """(1, height, width): dark on the left, bright on the right, with noise: every tile has other percentiles."""
    rng = np.random.default_rng(5)
    ramp = np.linspace(10, 200, width) + rng.normal(0, 3, (height, width))
    return ramp.clip(0, 255).astype(dtype)[None]


def stretched(pixels: np.ndarray) -> np.ndarray:
    low, high = np.percentile(pixels.astype(np.float64), (0, UPPER))
    return ((pixels[0].astype(np.float64) - low) / (high - low)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_job_stretches_by_the_whole_scene_not_by_the_tile(tmp_path: Path, dtype: str):
    pixels = gradient(dtype)
    write_tiff(tmp_path / "in/a.tif", pixels)
    ended = run(write_spec(tmp_path, tmp_path / "in", stretch_package(upper=UPPER)))
    assert ended.code == 0, ended
    made, expected = image_of(tmp_path / "out", "a")[0], stretched(pixels)
    np.testing.assert_allclose(made, expected, atol=2e-6)
    by_block = stretched(pixels[:, :BLOCK, :BLOCK])
    assert np.abs(made[:BLOCK, :BLOCK] - by_block).max() > 0.3


def test_a_job_and_an_array_in_memory_agree(tmp_path: Path):
    pixels = gradient("uint16", 300, 500)
    write_tiff(tmp_path / "in/a.tif", pixels)
    ended = run(write_spec(tmp_path, tmp_path / "in", stretch_package(upper=UPPER)))
    assert ended.code == 0, ended
    here = eb.predict_array(stretch_package(upper=UPPER), pixels, core=128, precision="float32")
    np.testing.assert_array_equal(image_of(tmp_path / "out", "a"), here)


def test_nodata_is_not_counted(tmp_path: Path):
    pixels = gradient("float32", 700, 900)
    pixels[:, :, :300] = np.nan
    write_tiff(tmp_path / "in/a.tif", pixels)
    ended = run(write_spec(tmp_path, tmp_path / "in", stretch_package(upper=UPPER)))
    assert ended.code == 0, ended
    made = image_of(tmp_path / "out", "a")[0]
    np.testing.assert_allclose(made[:, 300:], stretched(pixels[:, :, 300:]), atol=2e-6)
    assert np.isnan(made[:, :300]).all()


def test_a_scene_of_one_value_becomes_zero(tmp_path: Path):
    write_tiff(tmp_path / "in/a.tif", np.full((1, 600, 600), 7, np.uint8))
    ended = run(write_spec(tmp_path, tmp_path / "in", stretch_package(upper=UPPER)))
    assert ended.code == 0, ended
    assert not image_of(tmp_path / "out", "a").any()


def test_statistics_are_taken_once_for_a_version_of_a_scene(tmp_path: Path):
    # Above the 8 MiB that are fetched by one get, and kept.
    noise = np.random.default_rng(3).integers(0, 255, (1, 3100, 3100), dtype=np.uint8)
    write_tiff(tmp_path / "in/a.tif", noise)
    spec_file = write_spec(tmp_path, tmp_path / "in", stretch_package(upper=UPPER))
    first = run_job(eb.load_spec(spec_file))
    assert first.bytes_for_statistics > noise.nbytes / 2
    assert first.stage_seconds["statistics"] > 0
    kept = list((tmp_path / "out/.encdec/statistics").rglob("value-range.json"))
    assert len(kept) == 1

    other = write_spec(tmp_path, tmp_path / "in", stretch_package(upper=UPPER), tiling={"core": 64, "block": BLOCK})
    again = run_job(eb.load_spec(other))
    assert again.scenes_committed == 1
    assert again.bytes_for_statistics == 0
    assert again.bytes_read > 0

    write_tiff(tmp_path / "in/a.tif", noise // 2)
    changed = run_job(eb.load_spec(other))
    assert changed.scenes_committed == 1
    assert changed.bytes_for_statistics > 0


def test_plan_says_what_statistics_cost(tmp_path: Path):
    write_tiff(tmp_path / "in/a.tif", gradient("float32"))
    plan = eb.build_plan(eb.load_spec(write_spec(tmp_path, tmp_path / "in", stretch_package(upper=UPPER))))
    assert plan.bytes_for_statistics == 2 * plan.scenes[0].header.encoded_bytes
    assert json.loads(plan.scenes[0].to_json())["by_statistics"] is True


def test_an_output_that_refuses_statistics_is_not_said_of_the_scene(tmp_path: Path, monkeypatch):
    write_tiff(tmp_path / "in/a.tif", gradient("uint8"))
    plan = eb.build_plan(eb.load_spec(write_spec(tmp_path, tmp_path / "in", stretch_package(upper=UPPER))))

    def refuse(operation: str, path: str) -> None:
        if operation == "create":
            raise ObjectForbidden(f"{path}: forbidden")

    monkeypatch.setattr(pipeline, "open_output", lambda _: FakeStore(before=refuse))
    [record] = pipeline.read_item(plan.recipe, next(work_items(plan.scenes)))
    assert record.trouble is not None
    assert (record.trouble.stage, record.trouble.transient) == ("statistics", True)
    assert "statistics cannot be kept" in record.trouble.reason
    assert "reading the object" not in record.trouble.reason
