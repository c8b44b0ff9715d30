"""What follows from figures."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightly.judgements import decision, judgement, row

from encdec_batch.models.version import parse_record, record_bytes
from encdec_batch.nightly.decide import is_better
from encdec_batch.nightly.records import Decision

SCORES = st.none() | st.just(inf) | st.floats(0, 1)


def test_better_by_more_than_the_margin_and_nothing_falls():
    better, (reason,) = is_better(judgement(0.01))
    assert better
    assert reason == (
        "mean_iou, candidate less production: +0.0300; the one-sided 95 % lower confidence bound of the difference is "
        "+0.0100 (paired bootstrap over 3 scenes), above the margin of 0 (judge.margin)"
    )


@pytest.mark.parametrize("lower", [0.0, -0.01])
def test_what_cannot_be_counted_on_is_no_gain(lower):
    better, reasons = is_better(judgement(lower))
    assert not better
    assert "not above the margin of 0" in reasons[0]
    assert not is_better(judgement(0.02, margin=0.02))[0], "more than the margin"


@pytest.mark.parametrize(
    ("what", "rows", "said"),
    [
        ("classes", (row("iou/nucleus", 0.8, 0.77, 0.02),), "class nucleus falls from 0.8000 to 0.7700"),
        ("classes", (row("iou/nucleus", 0.8, None, 0.02),), "class nucleus falls from 0.8000 to gone"),
        ("groups", (row("south", 0.5, 0.6, 0.02), row("north", 0.5, 0.4, 0.05)), "group north falls from 0.5000"),
    ],
)
def test_no_gain_makes_up_for_a_class_or_group_that_falls_too_far(what, rows, said):
    better, reasons = is_better(judgement(0.5, **{what: rows}))
    assert not better
    assert reasons[1].startswith(said)


@given(production=SCORES, candidate=SCORES, guard=st.floats(0, 0.5))
def test_a_guard_holds_exactly_what_it_says(production, candidate, guard):
    found = row("x", production, candidate, guard)
    if production is None:
        assert not found.broken, "what was not there cannot fall"
    elif candidate is None:
        assert found.broken
    elif production == candidate:
        assert not found.broken
    elif production == inf:
        assert found.broken
    else:
        assert found.broken == (production - candidate > guard)
    assert not found.model_copy(update={"guard": None}).broken


def test_a_group_that_is_perfect_now_is_not_gone():
    """PSNR of equal images is infinite."""
    assert is_better(judgement(0.5, groups=(row("perfect", 40.0, inf, 0.1), row("both", inf, inf, 0.1))))[0]


@pytest.mark.parametrize("figure", [inf, -inf, 0.25, None])
def test_a_figure_that_is_infinite_is_kept_apart_from_none(figure):
    made = decision(judgement=judgement(groups=(row("x", figure, 0.5),)))
    assert parse_record(Decision, record_bytes(made), where="here") == made
