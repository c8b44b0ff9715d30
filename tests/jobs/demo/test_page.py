from __future__ import annotations

import base64
import io

import imagecodecs
import numpy as np
import pytest
from report.parsed import Page
from rich.console import Console

from jobs.demo.__main__ import show_tasks
from jobs.demo.command import fail
from jobs.demo.lines import lines_of
from jobs.demo.page import render_page
from jobs.demo.record import Figure, MissingRow, Picture, Place, Row, Strip
from jobs.demo.table import tables_of

IMAGE = np.random.default_rng(3).integers(0, 256, (7, 9, 3)).astype(np.uint8)
NASTY = "</style><script>alert('x')</script><img src=x>\"'&{{ 7*7 }}"


def row_of(text: str = "plain", *, network: float = 3.25) -> Row:
    figures = tuple(
        Figure(measure=measure, higher_is_better=True, plain={"old": 2.5, text: 1.0}, networks={"net": value})
        for measure, value in (("first", 9.0), ("second", network))
    )
    pictures = (
        Picture(name=text, role="input", image=IMAGE),
        Picture(name="net", role="network", image=IMAGE[:, ::-1], said=text, fault=figures[1].fault("net")),
    )
    place = Place(title=text, note=text, figures=figures, strips=(Strip(caption=text, pictures=pictures),))
    return Row(task=text, text=text, places=(place,), reports=("net/report/index.html",))


def printed(*rows: Row, missing: tuple[MissingRow, ...] = ()) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(*tables_of(rows, missing), sep="\n")
    return console.file.getvalue()


def test_page_and_terminal_have_the_same_figures():
    rows = (row_of("one"), row_of("two"))
    page, terminal = Page(render_page(rows, (), ())).text, printed(*rows)
    for cell in (cell for row in rows for line in lines_of(row) for cell in line.cells):
        assert cell.value in page
        assert cell.value in terminal


@pytest.mark.parametrize(("network", "times"), [(3.25, 0), (2.5, 1), (1.0, 1)])
def test_a_network_that_is_no_better_is_shown_as_such(network, times):
    row = row_of(network=network)
    page = Page(render_page([row], (), ())).text
    assert page.count("no better than old") == 2 * times, "in the table and under the picture"
    assert printed(row).count(f"{network:.2f} !") == times


def test_text_is_never_markup():
    plain, nasty = (
        Page(render_page([row_of(text)], [MissingRow(task=text, reason=text)], ())) for text in ("a", NASTY)
    )
    assert nasty.tags == plain.tags
    assert NASTY in nasty.text


def test_a_page_loads_nothing_from_elsewhere():
    page = Page(render_page([row_of()], (), ("vegetation/report/index.html",)))
    links = {value for _, name, value in page.attributes if name in {"src", "href"}}
    assert {"vegetation/report/index.html", "net/report/index.html"} <= links
    assert {link for link in links if not link.startswith(("data:image/webp", "#"))} == {
        "vegetation/report/index.html",
        "net/report/index.html",
    }
    assert "script" not in page.tags


def test_a_picture_is_shown_without_loss_and_named():
    page = Page(render_page([row_of()], (), ()))
    sources = [value.partition(",")[2] for _, name, value in page.attributes if name == "src"]
    shown = [imagecodecs.webp_decode(base64.b64decode(source)) for source in sources]
    np.testing.assert_array_equal(shown, [IMAGE, IMAGE[:, ::-1]])
    assert all(value for tag, name, value in page.attributes if (tag, name) == ("img", "alt"))


def test_a_task_that_could_not_be_shown_is_missing_and_the_others_are_shown(tmp_path, capsys):
    missing = show_tasks({"good": lambda: row_of("good"), "bad": lambda: fail("no package")}, tmp_path)
    assert missing == [MissingRow(task="bad", reason="no package")]
    page = Page((tmp_path / "index.html").read_text()).text
    assert "1 of 2 tasks missing" in page
    assert "9.00" in page
    for text in (page, capsys.readouterr().out):
        assert "no package" in text
