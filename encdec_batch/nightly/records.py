"""What a night writes down below `output.uri` (docs/nightly.md). Written by the night alone, which holds the lease.

split.json                       the rule of the split, create-only
audit.json                       the frozen audit set, create-only
decisions/<night>.json           what a night came to
nights/<night>/plan.json         what it learns from, create-only
nights/<night>/training-<8 hex>, package-<8 hex>
nights/<night>/pictures.json, index.html
archive/<move>.json              the archive since that move of production
index.html                       the nights
"""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, Field, PlainSerializer

from encdec_batch.errors import ObjectMissing
from encdec_batch.models.card import CardModel
from encdec_batch.models.version import Sha256, parse_record, record_bytes
from encdec_batch.store.store import Store

R = TypeVar("R", bound=BaseModel)


def _in_json(value: float) -> float | str:
    """JSON has no infinity; a number in quotes is read as one."""
    return value if isfinite(value) else str(value)


Figure = Annotated[float, PlainSerializer(_in_json, when_used="json")]
"""May be infinite, as the PSNR of equal images is."""
Score = Figure | None
"""None: there is none, as that of a class that is nowhere."""
Outcome = Literal[
    "too_little", "asked_before", "undecided", "no_production", "kept", "would_promote", "promoting", "promoted"
]
OPEN = frozenset({"promoting", "would_promote"})
"""Outcomes of a candidate that was better and is not in production: another night may take it up."""
FINAL = frozenset({"no_production", "kept", "would_promote", "promoted"})
"""Outcomes after which the same night has nothing more to do; of the first, until something is in production."""
UNSETTLED = frozenset({"promoting", "no_production"})
"""Outcomes of which the alias tells later what became of them."""


class Against(CardModel):
    """The production that a candidate was judged against."""

    version: str
    digest: Sha256
    etag: str
    """Of the alias."""
    move: int
    """Number of the move by which it became what it is."""
    promotion: int
    """Number of the last promotion up to then."""


class Counts(CardModel):
    """Scenes of a night."""

    labelled: int
    training: int
    held_out: int
    audit: int
    new: int
    """To learn from, that the last promoted version did not know."""
    aside: tuple[str, ...] = ()
    """What could not be used, a line each; the first of them."""
    num_aside: int = 0


class Compared(CardModel):
    """A figure of both."""

    name: str
    production: Score
    candidate: Score
    guard: Score = None
    """By how much it may fall; None: by anything."""
    scenes: int = 0
    """Of a group."""

    @property
    def fall(self) -> float:
        """Above 0 where the candidate is worse."""
        if self.production is None or self.candidate is None or self.production == self.candidate:
            return 0.0  # infinite less infinite is no number
        return self.production - self.candidate

    @property
    def broken(self) -> bool:
        """It fell by more than it may; a class that is gone altogether has fallen."""
        if self.guard is None or self.production is None:
            return False
        return self.candidate is None or self.fall > self.guard


class Bound(CardModel):
    """How sure the difference of the metric is, candidate less production."""

    observed: Score
    lower: Figure
    """With a confidence of `level` it is at least this; the one that counts."""
    upper: Figure
    """With the same confidence it is at most this."""
    level: float
    nights: int
    """Judged since the last promotion, this one among them."""
    resamples: int


class Figures(CardModel):
    """A candidate on the held-out scenes; beside it production, where there is one."""

    metric: str
    overall: tuple[Compared, ...]
    classes: tuple[Compared, ...]
    groups: tuple[Compared, ...]
    scenes: tuple[Compared, ...]
    """Each held-out scene by the metric, that which fell most first; where nothing is compared the worst first."""
    audit: tuple[Compared, ...] = ()
    audit_scenes: int = 0
    audit_note: str = ""
    """Why there are none, or fewer than were frozen."""
    note: str = ""
    """What should be known of these figures."""


class Judgement(Figures):
    """Candidate and production on the same held-out scenes, and how sure their difference is."""

    against: Against
    margin: float
    bound: Bound


class Made(CardModel):
    """A version that a night made."""

    version: str
    digest: Sha256
    parent: str
    """The version that it began with; empty: from scratch."""
    steps: int


class Decision(CardModel):
    """What a night came to."""

    format_version: Literal[1] = 1
    night: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
    model: str
    outcome: Outcome
    reasons: tuple[str, ...]
    """In words, for a person."""
    shadow: bool
    time: float
    """By the store's clock."""
    counts: Counts
    asked: str = ""
    """Digest of what was asked: data, parent, training, judge. Equal questions have equal answers."""
    candidate: Made | None = None
    judgement: Judgement | None = None
    alone: Figures | None = None
    """Of a candidate that there was nothing to judge against."""

    @property
    def final(self) -> bool:
        return self.outcome in FINAL

    @property
    def figures(self) -> Figures | None:
        """Of the candidate, whether it was compared or not; None: it was not evaluated."""
        return self.judgement or self.alone


def decision_path(night: str) -> str:
    return f"decisions/{night}.json"


def page_path(night: str) -> str:
    return f"nights/{night}/index.html"


def read_record(kind: type[R], store: Store, path: str) -> R:
    """What was written down at this path.

    Raises:
        ObjectMissing: nothing was.
        ModelError: the record is damaged, or of a newer program.
    """
    return parse_record(kind, store.get(path), where=f"{store.uri}/{path}")


def record_or_none(kind: type[R], store: Store, path: str) -> R | None:
    """`read_record`; None: nothing was written down.

    Raises:
        ModelError: as `read_record`.
    """
    try:
        return read_record(kind, store, path)
    except ObjectMissing:
        return None


def read_decision(store: Store, night: str) -> Decision | None:
    """What a night came to; None: nothing yet.

    Raises:
        ModelError: the record is damaged, or of a newer program.
    """
    return record_or_none(Decision, store, decision_path(night))


def read_decisions(store: Store) -> list[Decision]:
    """Of all nights, the oldest first."""
    names = [info.path.removeprefix("decisions/").removesuffix(".json") for info in store.list("decisions/")]
    found = (read_decision(store, name) for name in sorted(names))
    return [one for one in found if one is not None]


def write_decision(store: Store, decision: Decision) -> None:
    store.put(decision_path(decision.night), record_bytes(decision))
