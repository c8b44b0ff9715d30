"""From a judgement to the alias: it moves only while it is what the candidate was judged against."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from encdec_batch.errors import ModelError
from encdec_batch.models.alias import Alias
from encdec_batch.models.registry import promote_over
from encdec_batch.nightly.decide import is_better
from encdec_batch.nightly.production import ProductionState, production_state, reference_of
from encdec_batch.nightly.records import Decision, Judgement, Outcome
from encdec_batch.spec.nightly import NightlySpec

_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateResult:
    """What became of a candidate."""

    outcome: Outcome
    reasons: tuple[str, ...]
    judgement: Judgement | None


def judge_and_promote(
    spec: NightlySpec,
    version: str,
    judge: Callable[[ProductionState], Judgement],
    announce: Callable[[CandidateResult], None],
) -> CandidateResult:
    """Judge a candidate, and let production name it where it is better.

    Args:
        spec: of the nightly job.
        version: of the candidate, in the registry.
        judge: compares it with what is in production.
        announce: keeps the judgement, before an alias moves because of it.

    Raises:
        ModelError: production moved again and again meanwhile.
    """
    wanted = reference_of(spec, version)
    notes: tuple[str, ...] = ()
    for _ in range(_TRIES):
        state = production_state(spec)
        if state.alias is not None and state.alias[0].version == version:
            return CandidateResult(
                outcome="promoted", reasons=("somebody promoted it before it was judged",), judgement=None
            )
        if state.alias is None:
            return CandidateResult(
                outcome="no_production", reasons=(*notes, ask_to_promote(spec, version)), judgement=None
            )
        judgement = judge(state)
        better, reasons = is_better(judgement)
        reasons = (*notes, *reasons)
        if not better or spec.shadow:
            outcome: Outcome = "would_promote" if better else "kept"
            return CandidateResult(outcome=outcome, reasons=reasons, judgement=judgement)
        announce(CandidateResult(outcome="promoting", reasons=reasons, judgement=judgement))
        try:
            promote_over(wanted, "production", state.alias, spec.registry_storage)
        except ModelError as error:
            if "alias" not in error.context:
                raise
            notes = (f"judged again: production was {judgement.against.version} and was moved meanwhile",)
            continue
        return CandidateResult(outcome="promoted", reasons=reasons, judgement=judgement)
    raise ModelError(
        f"{wanted}: production was moved {_TRIES} times while it was judged; nothing was changed",
        hint="the same night judges it again",
    )


def ask_to_promote(spec: NightlySpec, version: str) -> str:
    """What a person is to do where nothing is in production."""
    return (
        f"nothing is in production to compare {version} with: if its figures and pictures are good enough, "
        f"encdec-batch models promote {reference_of(spec, version)}"
    )


def settled(decision: Decision, production: Alias | None) -> Decision | None:
    """The decision of a night that had left something open, as it has come to since; None: it is still open."""
    if decision.outcome == "promoting" and was_promoted(decision, production):
        return decision.model_copy(update={"outcome": "promoted"})
    made = decision.candidate
    if decision.outcome != "no_production" or made is None or production is None:
        return None
    if made.digest not in [move.digest for move in production.moves if move.kind == "promote"]:
        return None
    said = f"{made.version} was promoted by a person; the next night begins with it"
    return decision.model_copy(update={"outcome": "promoted", "reasons": (*decision.reasons[:-1], said)})


def was_promoted(decision: Decision, production: Alias | None) -> bool:
    """Whether the move that an interrupted night had announced was made."""
    if decision.judgement is None or decision.candidate is None or production is None:
        return False
    wanted = (decision.judgement.against.move + 1, "promote", decision.candidate.digest)
    return wanted in [(move.number, move.kind, move.digest) for move in production.moves]


def nights_judged(decisions: Iterable[Decision], night: str, asked: str, state: ProductionState) -> int:
    """Since the last promotion, this one among them: each had its chance of an error. Who judges once more what was
    `asked` before has no new one.
    """
    against = state.against
    since = against.promotion if against else 0
    return 1 + sum(
        one.judgement is not None and one.judgement.against.promotion >= since
        for one in decisions
        if one.night != night and one.asked != asked
    )
