"""The page of a run as a whole job leaves it: every figure on it against what lies in the output."""

from __future__ import annotations

import base64
import importlib.metadata
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from e2e.made import classes_package, command, image_of, run, write_spec, write_tiff
from PIL import Image
from rasters import coordinate_image
from report.parsed import Page

from encdec_batch.models.package import load_package
from encdec_batch.plan import open as plan_open
from encdec_batch.report.page import format_bytes, format_number

pytestmark = pytest.mark.integration

SHAPE = (600, 700)
METRES2 = 1 / 0.9996**2
"""Of a pixel of one metre on the central meridian of a UTM zone."""


def make_job(folder: Path, **changes: Any) -> Path:
    """Two scenes, one of them with a place, and one that is none."""
    rng = np.random.default_rng(1)
    write_tiff(folder / "in/placed.tif", rng.integers(0, 255, (1, *SHAPE), dtype=np.uint8))
    write_tiff(folder / "in/unplaced.tif", coordinate_image(1, 300, 200), crs=None, transform=None)
    (folder / "in/broken.tif").write_bytes(b"no image")
    files = [{"kind": "cog"}, {"kind": "quicklook"}]
    output = {"uri": str(folder / "out"), "files": files}
    return write_spec(
        folder, folder / "in", classes_package(), **{"output": output, "report": {"previews": 2}} | changes
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reported")
    ended = run(make_job(folder))
    assert ended.code == 3
    (folder / "summary.json").write_text(ended.stdout)
    return folder


@pytest.fixture(scope="module")
def summary(done: Path) -> dict[str, Any]:
    return json.loads((done / "summary.json").read_text())


def page_of(folder: Path) -> Page:
    return Page((folder / "out/report/index.html").read_text())


@pytest.fixture(scope="module")
def page(done: Path) -> Page:
    return page_of(done)


def pictures(page: Page) -> dict[str, np.ndarray]:
    """By their alternative text, RGBA."""
    images = [(name, value) for tag, name, value in page.attributes if tag == "img" and name in ("src", "alt")]
    found = {}
    for (_, source), (_, words) in zip(images[::2], images[1::2], strict=True):
        data = base64.b64decode(source.partition(",")[2])
        found[words] = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    return found


def test_each_scene_is_shown_with_its_input_and_its_very_mask(done, page):
    found = pictures(page)
    assert set(found) == {f"{what}: scene {name}" for what in ("Input", "Result") for name in ("placed", "unplaced")}
    classes = load_package(classes_package()).card.output.classes
    for name, shape in (("placed", SHAPE), ("unplaced", (300, 200))):
        assert found[f"Input: scene {name}"].shape[:2] == shape
        mask = image_of(done / "out", name, "mask.tif")[0]
        colors = np.array([item.color for item in classes], np.uint8)
        np.testing.assert_array_equal(found[f"Result: scene {name}"][..., :3], colors[mask])
    seen = found["Input: scene unplaced"][..., 0].astype(int)
    # Lossy, but of this scene: rows and columns can be told.
    assert np.abs(seen - coordinate_image(1, 300, 200)[0]).mean() < 8
    assert "could not be shown" not in page.text


def test_areas_are_those_of_the_masks(done, page):
    rows = {row["scene_id"]: row for row in pq.read_table(done / "out/scenes.parquet").to_pylist()}
    assert rows["unplaced"]["class_area_m2"] is None
    pixels: dict[str, int] = {}
    classes = load_package(classes_package()).card.output.classes
    for name, row in rows.items():
        mask = image_of(done / "out", name, "mask.tif")[0]
        for item in classes:
            count = int((mask == item.id).sum())
            assert dict(row["class_pixels"])[item.name] == count
            pixels[item.name] = pixels.get(item.name, 0) + count
            if name == "placed":
                assert dict(row["class_area_m2"])[item.name] == pytest.approx(count * METRES2, rel=1e-6)
    hectares = {name: area / 1e4 for name, area in rows["placed"]["class_area_m2"]}
    shown = {row[0].strip(): row[3:] for row in page.rows if len(row) == 5}
    for name, count in pixels.items():
        assert shown[name] == [f"{count:,}", format_number(hectares[name])]
    assert shown["Class"][1] == "Area, ha"


def test_stages_memory_and_totals_are_those_of_the_run(page, summary):
    shown = {row[0].removesuffix("bottleneck"): row for row in page.rows}
    assert {"read", "predict", "write", "commit"} == set(summary["stage_seconds"])
    for name, seconds in summary["stage_seconds"].items():
        assert seconds > 0
        assert shown[name][3] == format_number(seconds)
        assert shown[name][5] == str(summary["stage_workers"][name])
    for name, peak in summary["peak_bytes"].items():
        label = "driver" if name == "driver" else f"{name}, a process"
        row = next(row for row in page.rows if row[0].startswith(label))
        assert row[2] == format_bytes(peak)
        assert row[3] == ("none" if name == "driver" else format_bytes(summary["projected_bytes"]))
    totals = dict(terms[:2] for terms in page.terms if len(terms) >= 2)
    assert totals["Scenes done"] == "2 of 3"
    assert totals["Pixels"] == f"{format_number((SHAPE[0] * SHAPE[1] + 300 * 200) / 1e6)} Mpx"
    assert totals["Read"] == format_bytes(summary["bytes_read"])


def test_versions_and_digests_are_named(done, page, summary):
    facts = dict(terms[:2] for terms in page.terms if len(terms) >= 2)
    package = load_package(classes_package())
    assert (
        facts["digest of the output"] == summary["digest"] == command("verify", done / "out", "--json").result["digest"]
    )
    assert facts["model"] == f"{package.card.name} {package.card.version}, {package.digest}"
    for name in ("encdec-batch", "torch", "ray", "rasterio", "pyarrow", "numpy"):
        assert facts[name] == importlib.metadata.version(name)
    assert facts["core"] == "128 px"
    assert "exact" in facts["exactness"]
    assert "not exact" not in facts["exactness"]
    assert summary["run_id"] in page.text
    assert "previews: 2" in page.text


def test_what_was_set_aside_is_a_row(page, summary):
    [aside] = summary["set_aside"]
    row = next(row for row in page.rows if row[0] == "broken")
    assert row == ["broken", "plan", aside["reason"], aside["hint"]]


def test_without_a_cog_the_picture_comes_from_a_png(tmp_path):
    for kind in ("quicklook", "png"):
        folder = tmp_path / kind
        output = {"uri": str(folder / "out"), "files": [{"kind": kind}]}
        assert run(make_job(folder, output=output)).code == 3
        found = pictures(page_of(folder))
        assert "Result: scene placed" in found
        [file] = (folder / "out/scenes/unplaced").rglob("*.png")
        np.testing.assert_array_equal(found["Result: scene unplaced"], np.asarray(Image.open(file).convert("RGBA")))


def test_scenes_that_cannot_be_shown_are_said(tmp_path, monkeypatch):
    """Without a file that is a picture, or with an input that is too large to read for one and has no overviews."""
    output = {"uri": str(tmp_path / "cells/out"), "files": [{"kind": "cells"}]}
    assert run(make_job(tmp_path / "cells", output=output)).code == 3
    text = " ".join(page_of(tmp_path / "cells").text.split())
    assert "2 scenes could not be shown: no file of it is a picture (add {kind: quicklook}" in text
    assert "placed, unplaced" in text

    small_limits(monkeypatch)
    assert run(make_job(tmp_path / "large")).code == 3
    page = page_of(tmp_path / "large")
    text = " ".join(page.text.split())
    assert "1 scene could not be shown: no overview of 720 px, and the image itself is too large to read" in text
    assert "gdaladdo" in text
    assert set(pictures(page)) == {"Input: scene unplaced", "Result: scene unplaced"}


def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    limits_of: Callable[..., Any] = plan_open.limits_of
    monkeypatch.setattr(plan_open, "limits_of", lambda spec: replace(limits_of(spec), max_thumbnail_bytes=100_000))


def test_an_input_that_is_gone_is_said_when_the_page_is_made_anew(tmp_path):
    assert run(make_job(tmp_path)).code == 3
    (tmp_path / "in/placed.tif").unlink()
    assert command("report", tmp_path / "out", "--rebuild").code == 0
    assert "1 scene could not be shown: there is no such object" in " ".join(page_of(tmp_path).text.split())
