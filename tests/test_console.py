"""What a terminal shows while a run goes, and what a log shows in place of it."""

from __future__ import annotations

import io
import re
import time
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from encdec_batch import console as shown
from encdec_batch.console import ProgressLine, print_aside, print_status, progress_bar
from encdec_batch.job.progress import Progress
from encdec_batch.job.status import Status
from encdec_batch.plan.scene import SetAside

PLANNING = Progress(run_id="r", headers=(3, 7))
RUNNING = Progress(
    run_id="r",
    state="running",
    started=1000.0,
    updated=1110.0,
    streaming_since=1010.0,
    scenes_total=4,
    scenes_done=1,
    blocks_total=40,
    blocks_done=10,
    pixels_total=1_000_000_000,
    pixels_done=250_000_000,
)
"""A quarter in 100 s: 2.5 Mpx/s, 300 s left."""


def recorder(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=160, record=True, markup=False, color_system=None)


def said(console: Console) -> str:
    return console.export_text(clear=False)


def wait_for(console: Console, words: str) -> str:
    deadline = time.monotonic() + 10
    while words not in said(console):
        assert time.monotonic() < deadline, said(console)
        time.sleep(0.002)
    return said(console)


def test_without_a_terminal_a_line_now_and_then_each_with_its_time(monkeypatch):
    monkeypatch.setattr(shown, "LINE_EVERY_S", 0.002)
    console = recorder(terminal=False)
    with ProgressLine(console).shown() as line:
        line(PLANNING)
        wait_for(console, "planning, 3/7 headers\n")
        line(RUNNING)
        wait_for(console, "1/4 scenes  10/40 blocks  2.5 Mpx/s  5 min 00 s left\n")
        line(replace(RUNNING, scenes_aside=2))
        wait_for(console, "left  2 set aside")
    after = said(console)
    lines = after.splitlines()
    assert len(lines) == 3, "what is the same is not said again at once"
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  \S", one) for one in lines)
    time.sleep(0.05)
    assert said(console) == after, "a line after the end"
    assert "\x1b" not in console.file.getvalue()


def test_where_nothing_ends_for_long_that_is_said(monkeypatch):
    """Silence would look like a hang."""
    monkeypatch.setattr(shown, "LINE_EVERY_S", 0.002)
    monkeypatch.setattr(shown, "SAME_EVERY_S", 0.02)
    console = recorder(terminal=False)
    with ProgressLine(console).shown() as line:
        line(replace(RUNNING, pixels_done=0, blocks_done=0))
        wait_for(console, "1/4 scenes  0/40 blocks  (nothing new for 0.0 s)")
    assert said(console).splitlines()[0].endswith("1/4 scenes  0/40 blocks")


def test_without_a_terminal_a_short_run_says_nothing():
    console = recorder(terminal=False)
    with ProgressLine(console).shown() as line:
        line(PLANNING)
        line(RUNNING)
    assert said(console) == ""


def test_a_line_that_is_silent_until_there_is_something_to_say(monkeypatch):
    monkeypatch.setattr(shown, "LINE_EVERY_S", 0.001)
    console = recorder(terminal=False)
    with ProgressLine(console).shown():
        time.sleep(0.02)
    assert said(console) == ""


def test_an_error_ends_the_lines_too(monkeypatch):
    monkeypatch.setattr(shown, "LINE_EVERY_S", 0.001)
    console = recorder(terminal=False)

    def fail():
        with ProgressLine(console).shown() as line:
            line(RUNNING)
            wait_for(console, "10/40")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    after = said(console)
    time.sleep(0.02)
    assert said(console) == after


def test_in_a_terminal_a_live_line(monkeypatch):
    monkeypatch.setattr(shown, "LINE_EVERY_S", 0.001)
    console = recorder(terminal=True)
    with ProgressLine(console).shown() as line:
        line(PLANNING)
        line._live.refresh()
        line(RUNNING)
        line._live.refresh()
    text = console.file.getvalue()
    assert "planning, 3/7 headers" in text
    assert "1/4 scenes" in text
    assert "10/40 blocks  2.5 Mpx/s  5 min 00 s left" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "10/40 blocks, 1/4 scenes, 2.5 Mpx/s, 5 min 00 s left"),
        ({"pixels_done": 0, "blocks_done": 0}, "0/40 blocks, 1/4 scenes, 0 Mpx/s, ? left"),
    ],
    ids=["at_work", "before_the_first_block"],
)
def test_status_of_a_running_run_says_rate_and_time_left(change, words):
    console = recorder(terminal=False)
    print_status(console, status_of(replace(RUNNING, **change), state="running"))
    lines = said(console).splitlines()
    assert lines == [
        "file:///out: 1 scene with outputs, 2 set aside",
        "run 20260101T000000Z-aaa: running, last heard of 8.0 s ago",
        words,
    ]


@pytest.mark.parametrize(("state", "heard"), [("failed", "ended"), ("interrupted", "last heard of")])
def test_status_of_a_run_that_did_not_come_to_its_end_says_how_far_it_was(state, heard):
    console = recorder(terminal=False)
    print_status(console, status_of(RUNNING, state=state))
    assert said(console).splitlines()[1:] == [
        f"run 20260101T000000Z-aaa: {state}, {heard} 8.0 s ago",
        "10/40 blocks, 1/4 scenes, 2.5 Mpx/s",
    ]


def test_status_of_a_run_that_is_complete_says_no_rate():
    console = recorder(terminal=False)
    print_status(console, status_of(RUNNING, state="complete"))
    assert said(console).splitlines()[1:] == ["run 20260101T000000Z-aaa: complete, ended 8.0 s ago"]


def test_status_where_no_run_was_heard_of():
    console = recorder(terminal=False)
    print_status(console, replace(status_of(RUNNING, state="complete"), run_id="", progress={}))
    assert said(console) == "file:///out: 1 scene with outputs, 2 set aside\n"


def status_of(progress: Progress, *, state: str) -> Status:
    """As `job.status` makes it from progress.json."""
    fields: dict[str, Any] = progress.to_dict()
    return Status(
        uri="file:///out",
        scenes_with_outputs=1,
        scenes_set_aside=2,
        run_id="20260101T000000Z-aaa",
        state=state,
        age_s=8.0,
        progress=fields,
    )


def test_a_bar_is_shown_in_a_terminal_alone():
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
        with progress_bar(console, "verify") as advance:
            advance(0, 0)
            advance(5, 10)
            advance(10, 10)
        shown = console.file.getvalue()
        assert ("verify" in shown and "100%" in shown) == terminal
        assert (shown == "") != terminal


def aside(count: int, reason: str, hint: str = "mend it") -> list[SetAside]:
    return [SetAside(scene_id=f"{reason[0]}{n}", uri="", stage="plan", reason=reason, hint=hint) for n in range(count)]


def test_equal_reasons_and_remedies_are_one_line():
    console = recorder(terminal=False)
    many = [*aside(1, "empty", ""), *aside(12_000, "1 band"), *aside(3, "damaged")]
    print_aside(console, many, said="set aside  ", more="plan --json lists them all")
    assert said(console).splitlines() == [
        "set aside  12,000 scenes  plan: 1 band -> mend it  (10, 11, 12, 13, 14, ...)",
        "set aside  3 scenes  plan: damaged -> mend it  (d0, d1, d2)",
        "set aside  e0  plan: empty",
        "plan --json lists them all",
    ]


def test_of_too_many_reasons_the_rest_is_counted_and_of_few_scenes_nothing_is_left_out():
    console = recorder(terminal=False)
    print_aside(console, [one for n in range(13) for one in aside(2, f"{n} px")], said="", more="there")
    lines = said(console).splitlines()
    assert (len(lines), lines[-2:]) == (12, ["6 scenes more, for 3 other reasons", "there"])
    console = recorder(terminal=False)
    print_aside(console, [*aside(5, "a"), *aside(1, "b")], said="", more="there")
    assert said(console).splitlines() == [
        "5 scenes  plan: a -> mend it  (a0, a1, a2, a3, a4)",
        "b0  plan: b -> mend it",
    ]
