from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report.parsed import Page

from encdec_batch.report.figures import cause_rows
from encdec_batch.report.page import MAX_ROWS, format_bytes, format_duration, format_number, render_page
from encdec_batch.report.record import (
    ClassArea,
    Fact,
    MemoryPeak,
    NotShown,
    RunReport,
    ScenePicture,
    SetAside,
    StageTime,
    Totals,
)

DOT = "data:image/png;base64,iVBORw0KGgo="
NASTY = "</style></script><script>alert('x')</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}"


def report_of(text: str = "plain") -> RunReport:
    """A run with one of everything, `text` wherever text goes."""
    return RunReport(
        title=text,
        run_id=text,
        output_uri=text,
        state="complete",
        written=text,
        totals=Totals(
            num_scenes=3,
            num_done=1,
            num_set_aside=1,
            num_pixels=5_000_000,
            seconds=10.0,
            bytes_read=2048,
            bytes_in_scenes=1024,
        ),
        stages=(
            StageTime(name=text, seconds=4, num_pixels=5_000_000),
            StageTime(name="predict", seconds=18, num_pixels=5_000_000, num_workers=2),
        ),
        memory=(
            MemoryPeak(process=text, peak_bytes=2**30, projected_bytes=2**31),
            MemoryPeak(process="d", peak_bytes=5),
        ),
        classes=(ClassArea(name=text, color=(1, 2, 255), num_pixels=10, area_m2=5e6),),
        pictures=(ScenePicture(scene_id=text, input_image=DOT, result_image=DOT, width=3, height=2000, caption=text),),
        not_shown=(NotShown(scene_id=text, reason=text, hint=text),),
        set_aside=(SetAside(scene_id=text, stage=text, block=text, reason=text, hint=text),),
        facts=(Fact(name=text, value=text),),
        spec_text=text,
    )


PLAIN_TAGS = Page(render_page(report_of())).tags


def test_text_of_a_run_is_never_markup() -> None:
    plain, nasty = Page(render_page(report_of())), Page(render_page(report_of(NASTY)))
    assert nasty.tags == plain.tags
    assert nasty.text.count(NASTY) == plain.text.count("plain") - plain.text.count("plainly")
    assert {(tag, name) for tag, name, _ in nasty.attributes} == {(tag, name) for tag, name, _ in plain.attributes}


@settings(max_examples=100)
@given(st.text(st.characters(), min_size=1, max_size=40))
def test_any_text_gives_an_encodable_page_of_the_same_shape(text: str) -> None:
    html = render_page(report_of(text))
    html.encode("utf-8")
    assert Page(html).tags == PLAIN_TAGS


@pytest.mark.parametrize("hidden", ["\x00", "\x1b", "\ud800", "\u202e"])
def test_characters_that_hide_or_break_are_shown_as_replaced(hidden: str) -> None:
    html = render_page(report_of(f"a{hidden}b"))
    assert hidden not in html
    assert "a\N{REPLACEMENT CHARACTER}b" in html


def test_page_loads_nothing_from_elsewhere() -> None:
    html = render_page(report_of())
    page = Page(html)
    links = [value for _, name, value in page.attributes if name in {"src", "href", "srcset", "data", "action"}]
    assert links
    tables = {"../scenes.parquet", "../quarantine.parquet"}
    assert tables <= set(links)
    assert all(link.startswith(("data:image/", "#")) for link in set(links) - tables)
    assert "link" not in page.tags
    assert not re.search(r"https?:|//[a-z]|url\(|@import", html)


def test_policy_admits_the_one_script_of_the_page() -> None:
    html = render_page(report_of(NASTY))
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    policy = next(value for _, name, value in Page(html).attributes if name == "content" and "script-src" in value)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_every_section_link_has_its_section() -> None:
    page = Page(render_page(report_of()))
    targets = {value for _, name, value in page.attributes if name == "href" and value.startswith("#")}
    assert targets == {"#pictures", "#areas", "#aside", "#time", "#memory", "#provenance"}
    assert {target[1:] for target in targets} <= {value for _, name, value in page.attributes if name == "id"}


def test_every_picture_and_slider_has_a_name() -> None:
    page = Page(render_page(report_of("scene-7")))
    names = [value for tag, name, value in page.attributes if (tag, name) in {("img", "alt"), ("input", "aria-label")}]
    assert len(names) == page.tags.count("img") + page.tags.count("input") == 3
    assert all("scene-7" in name for name in names)


def test_empty_run_is_a_page_without_empty_sections() -> None:
    totals = Totals(
        num_scenes=0, num_done=0, num_set_aside=0, num_pixels=0, seconds=0.0, bytes_read=0, bytes_in_scenes=0
    )
    empty = RunReport(title="t", run_id="r", output_uri="u", state="running", written="w", totals=totals)
    page = Page(render_page(empty))
    assert "Nothing was set aside." in page.text
    assert "table" not in page.tags


def test_bottleneck_is_the_stage_whose_workers_were_busiest() -> None:
    text = re.sub(r"\s+", " ", Page(render_page(report_of())).text)
    # 18 s of two workers in 10 s: 90 %; 4 s of one: 40 %.
    assert "predictbottleneck 90.0 %" in text
    assert text.count("bottleneck") == 1


def test_scenes_that_could_not_be_shown_are_counted_by_reason() -> None:
    rows = [NotShown(scene_id=name, reason="no overview", hint="add some") for name in ("a", "b")]
    report = replace(report_of(), pictures=(), not_shown=(*rows, NotShown(scene_id="c", reason="gone")))
    page = Page(render_page(report))
    text = " ".join(page.text.split())
    assert "3 scenes could not be shown: gone: c no overview (add some): a, b" in text
    assert "#pictures" in {value for _, name, value in page.attributes if name == "href"}
    assert "img" not in page.tags
    assert "Drag" not in text


def test_small_areas_are_in_hectares_and_unplaced_ones_in_pixels_alone() -> None:
    report = report_of()
    placed = replace(report, classes=(replace(report.classes[0], area_m2=2.5e4),))
    unplaced = replace(report, classes=(replace(report.classes[0], area_m2=None),))
    assert "Area, km²" in Page(render_page(report)).text
    assert "Area, ha" in Page(render_page(placed)).text
    assert "Area," not in Page(render_page(unplaced)).text


def set_aside(number: int, reason: str = "r", **fields: str) -> SetAside:
    return SetAside(scene_id=f"scene-{number}-", stage="read", reason=reason, **fields)


def test_long_quarantine_is_cut_and_says_so() -> None:
    rows = tuple(set_aside(i) for i in range(MAX_ROWS + 1))
    page = Page(render_page(replace(report_of(), set_aside=rows)))
    assert f"scene-{MAX_ROWS - 1}-" in page.text
    assert f"scene-{MAX_ROWS}-" not in page.text
    assert "and 1 more" in page.text
    assert "quarantine.parquet has them all" in page.text


def test_scenes_of_one_cause_are_one_row_the_most_frequent_first() -> None:
    rows = (set_aside(0, "rare", hint="look"), *(set_aside(i, "frequent", block="0-1") for i in (1, 2, 3)))
    page = Page(render_page(replace(report_of(), set_aside=rows)))
    causes = [row for row in page.rows if len(row) == 4 and row[1] == "read"]
    assert [row[2] for row in causes] == ["frequent", "rare"]
    assert causes[0][0].startswith("3 scenes")
    assert all(f"scene-{i}- block 0-1" in causes[0][0] for i in (1, 2, 3))
    assert causes[1] == ["scene-0-", "read", "rare", "look"]


@given(st.lists(st.sampled_from("abcde"), max_size=40), st.integers(1, 12))
def test_causes_within_the_limit_are_all_shown_and_none_is_counted_wrong(reasons: list[str], limit: int) -> None:
    rows = [set_aside(number, reason) for number, reason in enumerate(reasons)]
    made = cause_rows(rows, limit)
    assert sum(len(cause.scenes) for cause in made) == min(limit, len(rows))
    assert {cause.reason: cause.num_scenes for cause in made}.items() <= Counter(reasons).items()
    assert len(made) == min(limit, len(set(reasons)))
    assert [cause.num_scenes for cause in made] == sorted((cause.num_scenes for cause in made), reverse=True)


def test_many_classes_and_long_texts_do_not_make_a_long_page() -> None:
    classes = tuple(ClassArea(name=f"class-{n}-", color=(1, 2, 3), num_pixels=n) for n in range(60_000))
    uris = "\n".join(f"- s3://archive/{n}.tif" for n in range(100_000))
    page = render_page(replace(report_of("x" * 50_000), classes=classes, spec_text=uris))
    assert len(page) < 300_000
    assert "class-59999-" in page
    assert "class-0-" not in page
    assert "The 100 largest of 60,000 classes are shown" in page
    assert "the rest is in spec.yaml of the run" in page


def test_pictures_from_elsewhere_are_refused() -> None:
    with pytest.raises(ValueError, match="data URI"):
        ScenePicture(scene_id="s", input_image="https://example.org/a.png", result_image=DOT, width=1, height=1)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (0.01234, "0.0123"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1,234")]
)
def test_numbers_have_three_digits(number: float, text: str) -> None:
    assert format_number(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(8.21, "8.2 s"), (245, "4 min 05 s"), (11220, "3 h 07 min"), (59.97, "1 min 00 s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(512, "512 B"), (3.4 * 2**20, "3.4 MiB"), (2**41, "2.0 TiB")])
def test_sizes(size: float, text: str) -> None:
    assert format_bytes(size) == text
