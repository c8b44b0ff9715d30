from __future__ import annotations

from typing import Any

from fakes import fake_marker
from report.parsed import Page

from encdec_batch.commit.marker import Marker
from encdec_batch.report.certificates import certificates_of
from encdec_batch.report.page import MAX_CHECKED, render_page
from encdec_batch.report.record import RunReport, Totals


def marker(scene_id: str, certificate: dict[str, Any] | None) -> Marker:
    return fake_marker(scene_id).model_copy(update={"certificate": certificate})


def checked(worst: float | None, differing: int = 0, tolerance: float | None = 0.1, result: str = "passed") -> dict:
    return {
        "result": result,
        "windows": 4,
        "pixels": 16384,
        "holes": 0,
        "differing": differing,
        "worst": worst,
        "worst_window": None,
        "tolerance": tolerance,
        "share": 0.01,
    }


def page_of(markers: list[Marker]) -> Page:
    totals = Totals(
        num_scenes=1, num_done=1, num_set_aside=0, num_pixels=1, seconds=1.0, bytes_read=1, bytes_in_scenes=1
    )
    fields: dict[str, Any] = {"title": "t", "run_id": "r", "output_uri": "o", "state": "complete", "written": "w"}
    return Page(render_page(RunReport(**fields, totals=totals, certificates=certificates_of(markers))))


def test_the_worst_comes_first_measured_by_its_tolerance():
    markers = [
        marker("none", None),
        marker("s-good", checked(0.0)),
        marker("near", checked(0.09)),
        marker("flips", checked(0.09, differing=7)),
        marker("s-far", checked(3.0, 9, result="stated")),
        marker("wide", checked(3.0, 9, tolerance=100.0)),
        marker("s-infinite", checked(None, 9, result="stated")),
        marker("small", {"result": "not drawn"}),
        marker("gone", checked(9.0)).model_copy(update={"outputs": {}}),
    ]
    found = certificates_of(markers)
    assert [one.scene_id for one in found.worst_first] == ["s-infinite", "s-far", "flips", "near", "wide", "s-good"]
    assert found.counts == (("not drawn", 1), ("passed", 4), ("stated", 2))
    text = page_of(markers).text
    assert "not drawn: 1, passed: 4, stated: 2" in " ".join(text.split())
    assert text.index("s-infinite") < text.index("s-far") < text.index("s-good")
    assert "not finite" in text


def test_a_page_without_certificates_has_no_such_section():
    assert "Certificates" not in page_of([marker("none", None)]).text


def test_many_certificates_are_cut_and_say_so():
    markers = [marker(f"scene-{n:03d}-", checked(1 / (n + 1))) for n in range(MAX_CHECKED + 1)]
    text = page_of(markers).text
    assert f"scene-{MAX_CHECKED - 1:03d}-" in text
    assert f"scene-{MAX_CHECKED:03d}-" not in text
    assert f"The {MAX_CHECKED} worst are shown; scenes.parquet has them all." in " ".join(text.split())


def test_ids_are_escaped():
    assert "<script>alert" not in render_page_text("<script>alert(1)</script>")


def render_page_text(scene_id: str) -> str:
    given = marker("a", checked(0.0)).model_copy(update={"scene_id": scene_id})
    totals = Totals(
        num_scenes=1, num_done=1, num_set_aside=0, num_pixels=1, seconds=1.0, bytes_read=1, bytes_in_scenes=1
    )
    fields: dict[str, Any] = {"title": "t", "run_id": "r", "output_uri": "o", "state": "complete", "written": "w"}
    return render_page(RunReport(**fields, totals=totals, certificates=certificates_of([given])))
