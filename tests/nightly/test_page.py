"""The pages, as a browser and as a hostile name would have them."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from nightly.judgements import decision, judgement, row
from report.parsed import Page

from encdec_batch.nightly.page import Failure, render_failure, render_night, render_nights
from encdec_batch.nightly.pictures import Picture, choose
from encdec_batch.nightly.records import Figures
from encdec_batch.report.preview import preview_picture

HOSTILE = "<script>alert(1)</script>\u202egnp.a\"'&"
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def picture(name="a"):
    uri = preview_picture(np.zeros((8, 8, 3), np.uint8), exact=True)
    return Picture(
        name=name,
        production=0.5,
        candidate=None,
        image=uri,
        target=uri,
        made_by_production=uri,
        made_by_candidate=uri,
    )


def pages():
    hostile = judgement(groups=(row(HOSTILE, 0.5, 0.2, 0.02),), scenes=(row(HOSTILE, 0.5, 0.4),), audit_note=HOSTILE)
    made = decision(model=HOSTILE, reasons=(HOSTILE,), judgement=hostile)
    counts = made.counts.model_copy(update={"aside": (HOSTILE,), "num_aside": 3})
    made = made.model_copy(update={"counts": counts})
    failure = Failure(night="2026-11-28", message=HOSTILE, hint=HOSTILE, time=0.0, archive=HOSTILE)
    return {
        "night": render_night(made, [picture(HOSTILE)], notes=[HOSTILE]),
        "quiet": render_night(decision(outcome="too_little", judgement=None, candidate=None), ()),
        "failed": render_failure(failure),
        "nights": render_nights(HOSTILE, [made, decision("2026-11-29", "promoted")]),
    }


@pytest.mark.parametrize("name", ["night", "quiet", "failed", "nights"])
def test_a_page_loads_nothing_and_no_name_is_more_than_text(name):
    html = pages()[name]
    page = Page(html)
    assert ("meta", "content", POLICY) in page.attributes
    assert "script" not in page.tags
    assert "\u202e" not in html
    for _, attribute, value in page.attributes:
        if attribute in ("src", "href"):
            assert value.startswith(("data:image/", "#", "nights/2026-11-2", "../../index.html"))
        assert not attribute.startswith("on")
    # Every section that is named is there.
    ids = {value for _, attribute, value in page.attributes if attribute == "id"}
    assert {value[1:] for _, attribute, value in page.attributes if attribute == "href" and value[0] == "#"} <= ids


def test_a_night_says_all_that_decided_it():
    page = Page(pages()["night"])
    assert ["mean_iou", "0.7000", "0.7300", "+0.0300"] in [[cell.strip() for cell in cells] for cells in page.rows]
    assert any("falls too far" in cells[0] for cells in page.rows)
    assert "production stays" in page.text
    assert "models promote" in page.text
    assert "s3://models" not in page.text
    kept = Page(render_night(decision(), ()))
    assert ["judged against", "s3://models/nuclei@1"] in kept.terms


def test_a_first_candidate_is_shown_with_its_figures_and_pictures_and_without_a_comparison():
    seen = judgement()
    rows = [one.model_copy(update={"production": None}) for one in (*seen.overall, *seen.classes)]
    alone = Figures(metric="mean_iou", overall=rows[:1], classes=rows[1:], groups=(), scenes=(row("a", None, 0.4),))
    made = decision(outcome="no_production", judgement=None, alone=alone)
    shots = [picture().model_copy(update={"made_by_production": "", "production": None, "candidate": 0.4})]
    page = Page(html := render_night(made, shots))
    cells = [[cell.strip() for cell in cells] for cells in page.rows]
    assert ["mean_iou", "0.7300"] in cells
    assert ["iou/nucleus", "0.6500"] in cells
    assert html.count('src="data:image/') == 3
    assert "Production" not in [cell for row in cells for cell in row]
    assert ["promote it", "s3://models/nuclei@2026.11.28"] in [[k, v.rpartition(" ")[2]] for k, v in page.terms]
    listed = [[cell.strip() for cell in cells] for cells in Page(render_nights("m", [made])).rows]
    assert ["2026-11-28", "no production yet", "9", "", "0.7300", ""] in listed


def test_the_interval_is_drawn_where_it_is():
    """Lower bound, observed and upper bound stand in this order, and zero below all of them."""
    html = render_night(decision(judgement=judgement(0.01)), ())
    style = dict.fromkeys(("band", "line", "point"))
    for _, attribute, value in Page(html).attributes:
        if attribute == "style":
            parts = dict(part.split(":") for part in value.split(";"))
            if "--left" in parts:
                style["band"] = float(parts["--left"]), float(parts["--left"]) + float(parts["--width"])
            elif "--at" in parts:
                style.setdefault("at", []).append(float(parts["--at"]))
    zero, margin, point = style["at"]
    low, high = style["band"]
    assert 0 < zero == margin < low < point < high < 1
    assert point - low == pytest.approx(high - point, abs=1e-3)


def test_what_is_infinite_is_shown_as_that():
    bound = judgement().bound.model_copy(update={"observed": inf, "lower": 0.5, "upper": inf})
    perfect = judgement(bound=bound, groups=(row("new", 30.0, inf, 0.1), row("both", inf, inf, 0.1)))
    cells = [[cell.strip() for cell in cells] for cells in Page(render_night(decision(judgement=perfect), ())).rows]
    assert ["new", "9", "30.0000", "inf", "+inf", "0.1"] in cells
    assert ["both", "9", "inf", "inf", "+0.0000", "0.1"] in cells


def test_pictures_are_of_those_that_fell_and_those_that_are_worst():
    scenes = (
        row("fell", 0.9, 0.5),
        row("fell a little", 0.9, 0.85),
        row("worst", 0.1, 0.1),
        row("good", 0.8, 0.95),
        row("bad", 0.2, 0.3),
    )
    found = [one.name for one in choose(judgement(scenes=scenes), 4)]
    assert found == ["fell", "fell a little", "worst", "bad"]
    assert [one.name for one in choose(judgement(scenes=scenes), 1)] == ["fell"]
    assert choose(judgement(scenes=scenes), 0) == []
