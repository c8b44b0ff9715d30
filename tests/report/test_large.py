"""The page of a large archive stays one that a browser opens at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from e2e.made import classes_package, write_tiff
from fakes import FakeStore, fake_marker

from encdec_batch.commit.marker import InputObject, Marker
from encdec_batch.commit.quarantine import QuarantineRecord
from encdec_batch.models.package import load_package
from encdec_batch.report.build import REPORT, Material, write_report
from encdec_batch.spec.load import parse_spec
from encdec_batch.store.open import locate

NUM_SCENES, NUM_ASIDE = 100_000, 20_000
MB = 1_000_000


def material(folder: Path, *, previews: int, num_scenes: int = NUM_SCENES) -> tuple[FakeStore, Material]:
    """Many markers, nearly as many causes as scenes that were set aside, and pictures of noise, which nothing packs."""
    noise = np.random.default_rng(0).integers(0, 255, (1, 720, 720), dtype=np.uint8)
    write_tiff(folder / "in/a.tif", noise)
    write_tiff(folder / "mask.tif", noise % 2)
    etag = locate(str(folder / "in/a.tif"))[0].info("a.tif").etag
    store, mask = FakeStore(), (folder / "mask.tif").read_bytes()
    store.put(fake_marker("s").outputs["mask.tif"].path, mask)
    summary = {"height": 720, "width": 720, "bands": [1], "exact": True, "class_pixels": {"no": 500, "yes": 300}}
    source = InputObject(uri=str(folder / "in/a.tif"), etag=etag)
    one = fake_marker("s").model_copy(update={"summary": summary, "input": source})
    # Not validated: that takes as long as all the rest.
    fields = dict(one)
    markers = [Marker.model_construct(**fields | {"scene_id": f"scene-{n:06d}"}) for n in range(num_scenes)]
    uris = [f"s3://archive/2024/scene-{n:06d}.tif" for n in range(num_scenes)]
    spec = parse_spec(
        {
            "source": {"kind": "list", "uris": uris},
            "model": {"package": classes_package()},
            "output": {"uri": "memory"},
            "report": {"previews": previews},
        }
    )
    card = load_package(classes_package()).card
    return store, Material(spec=spec, card=card, summary=run_summary(), markers=markers, quarantine=list(quarantine()))


def quarantine():
    for n in range(NUM_ASIDE):
        reason = "GDAL cannot decode it: " + "x" * 2000 + (f" at byte {n}" if n % 4 else "")
        yield QuarantineRecord(
            stage="read", scene_id=f"bad-{n:06d}", uri="u", reason=reason, hint="restore it", kind="condemned"
        )


def run_summary() -> dict:
    return {
        "run_id": "20261128T000000Z-abcdef",
        "scenes_done": NUM_SCENES,
        "pixels": 10**12,
        "seconds": 1e5,
        "bytes_read": 10**12,
        "bytes_in_scenes": 10**12,
        "stage_seconds": {"read": 1e4, "predict": 9e4},
        "stage_workers": {"read": 2, "predict": 2},
        "peak_bytes": {"driver": 10**9, "predict": 10**9},
        "projected_bytes": 2 * 10**9,
        "package_digest": "0" * 64,
        "resolved": None,
        "digest": "1" * 64,
    }


def page_of(folder: Path, *, previews: int) -> str:
    store, made = material(folder, previews=previews)
    write_report(store, made)
    return store.get(REPORT).decode()


@pytest.mark.integration
def test_100_000_scenes_without_pictures(tmp_path):
    page = page_of(tmp_path, previews=0)
    assert len(page) < 2 * MB
    assert "100,000" in page
    assert page.count("bad-") <= 1000
    assert "quarantine.parquet has them all" in " ".join(page.replace("</a>", "").split())


@pytest.mark.integration
def test_100_000_scenes_with_24_pictures_of_noise(tmp_path):
    page = page_of(tmp_path, previews=24)
    assert page.count("<figure") == 24
    assert len(page) < 15 * MB


def test_no_more_pictures_can_be_asked_for():
    with pytest.raises(Exception, match="less than or equal to 24"):
        parse_spec(
            {
                "source": {"kind": "list", "uris": ["a"]},
                "model": {"package": "p"},
                "output": {"uri": "o"},
                "report": {"previews": 25},
            }
        )


def test_the_scene_ids_of_markers_are_not_markup(tmp_path):
    """An id is letters, digits and `._-`; what a store was made to hold by hand is text all the same."""
    store, made = material(tmp_path, previews=2, num_scenes=1)
    nasty: Marker = made.markers[0].model_copy(update={"scene_id": "<script>alert(1)</script>"})
    record = next(quarantine()).model_copy(update={"scene_id": "<script>alert(2)</script>"})
    small = Material(spec=made.spec, card=made.card, summary=made.summary, markers=[nasty], quarantine=[record])
    write_report(store, small)
    page = store.get(REPORT).decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in page
    assert page.count("<script>") == 1
