"""The page of a night, and the list of all nights: HTML that holds everything and loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from encdec_batch.nightly.pictures import Picture
from encdec_batch.nightly.records import Bound, Decision, Outcome
from encdec_batch.report.page import environment, stylesheet

MAX_SCENES = 40
"""On the page, those that fell most; the decision has them all."""
MAX_NIGHTS = 400
WORDS: dict[Outcome, str] = {
    "too_little": "too few new scenes",
    "asked_before": "nothing new to judge",
    "undecided": "not decided",
    "no_production": "no production yet",
    "kept": "production stays",
    "would_promote": "would be promoted",
    "promoting": "interrupted while promoting",
    "promoted": "promoted",
}
_FOLDER = Path(__file__).parent


class Scale(NamedTuple):
    """The bar on which an interval is drawn: shares of its width."""

    left: float
    width: float
    zero: float
    margin: float
    point: float | None


class Failure(NamedTuple):
    """A night that could not come to a decision."""

    night: str
    message: str
    hint: str
    time: float
    then: str = ""
    """What became of production, and how the night goes on, in words."""
    archive: str = ""
    """What became of the archive, in words."""


def render_night(decision: Decision, pictures: Sequence[Picture], *, notes: Sequence[str] = ()) -> str:
    """The page of one night, to be written as UTF-8.

    Args:
        decision: of the night.
        pictures: of some held-out scenes.
        notes: what became of the archive, and what else is to be said.
    """
    judgement, figures = decision.judgement, decision.figures
    return (
        environment(_FOLDER)
        .get_template("page.html.j2")
        .render(
            night=decision,
            words=WORDS[decision.outcome],
            written=_when(decision.time),
            judgement=judgement,
            figures=figures,
            scale=_scale(judgement.bound, judgement.margin) if judgement else None,
            scenes=figures.scenes[:MAX_SCENES] if figures else (),
            pictures=pictures,
            notes=notes,
            lineage=_lineage(decision),
            style=stylesheet() + _own_style(),
        )
    )


def render_failure(failure: Failure) -> str:
    """The page of a night that failed; the next try writes another over it."""
    template = environment(_FOLDER).get_template("page_failed.html.j2")
    return template.render(failure=failure, written=_when(failure.time), style=stylesheet() + _own_style())


def render_nights(model: str, decisions: Sequence[Decision]) -> str:
    """The list of all nights, the newest first."""
    template = environment(_FOLDER).get_template("page_nights.html.j2")
    newest = [*decisions][::-1][:MAX_NIGHTS]
    return template.render(model=model, nights=newest, words=WORDS, style=stylesheet() + _own_style())


def _own_style() -> Markup:
    return Markup((_FOLDER / "page.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file


def _lineage(decision: Decision) -> list[tuple[str, str]]:
    made, judgement = decision.candidate, decision.judgement
    facts = []
    if made is not None:
        facts += [
            ("candidate", f"{decision.model}@{made.version}"),
            ("its digest", made.digest),
            ("began with", f"{decision.model}@{made.parent}" if made.parent else "random weights"),
            ("steps", f"{made.steps:,}"),
        ]
    if judgement is not None:
        facts += [
            ("judged against", f"{decision.model}@{judgement.against.version}"),
            ("its digest", judgement.against.digest),
        ]
    # The first that is promoted has none before it to go back to.
    if decision.outcome == "promoted" and judgement is not None:
        facts += [("the way back", f"encdec-batch models rollback {decision.model}")]
    if decision.outcome in ("kept", "would_promote", "no_production") and made is not None:
        what = "promote it" if decision.outcome == "no_production" else "promote it all the same"
        facts += [(what, f"encdec-batch models promote {decision.model}@{made.version}")]
    return facts


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _scale(bound: Bound, margin: float) -> Scale:
    """What is infinite lies at an end of the bar."""
    said = (bound.lower, bound.upper, *([] if bound.observed is None else [bound.observed]))
    points = [0.0, margin, *filter(isfinite, said)]
    low, high = min(points), max(points)
    pad = 0.08 * (high - low) or 1e-6
    low, high = low - pad, high + pad

    def share(value: float) -> float:
        return (min(max(value, low), high) - low) / (high - low)

    return Scale(
        left=share(bound.lower),
        width=share(bound.upper) - share(bound.lower),
        zero=share(0.0),
        margin=share(margin),
        point=None if bound.observed is None else share(bound.observed),
    )
