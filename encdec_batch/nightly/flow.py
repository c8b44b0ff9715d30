"""The way to a decision: is there enough, train, judge, move the alias. Each step finds what an earlier try left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from encdec_batch.errors import SpecError
from encdec_batch.models.package import Package
from encdec_batch.models.registry import promote
from encdec_batch.nightly.find import Labels, find_labels
from encdec_batch.nightly.judge import Evaluator
from encdec_batch.nightly.pictures import draw, keep_pictures
from encdec_batch.nightly.plan import (
    SAID,
    as_planned,
    check_groups,
    counts_of,
    fix_plan,
    frozen_audit,
    question_of,
    read_plan,
)
from encdec_batch.nightly.production import ProductionState, production_state, reference_of
from encdec_batch.nightly.promote import CandidateResult, judge_and_promote, nights_judged, was_promoted
from encdec_batch.nightly.records import Counts, Decision, Judgement, Made, Outcome, read_decision, read_decisions
from encdec_batch.nightly.split import keep_rule
from encdec_batch.nightly.tune import NightDataset, made_before, prepare_dataset, tune
from encdec_batch.spec.nightly import NightlySpec
from encdec_batch.store.store import Store
from encdec_batch.train.tracking.progress import Report


@dataclass(slots=True, kw_only=True)
class NightFlow:
    """One night's way to its decision."""

    spec: NightlySpec
    night: str
    store: Store
    """Of the nightly job's output; the lease is held."""
    report: Report
    verbose: bool
    keep: Callable[[Decision], None]
    """Writes a decision down."""
    counts: Counts = field(default_factory=lambda: Counts(labelled=0, training=0, held_out=0, audit=0, new=0))

    def decide(self) -> Decision:
        """What this night comes to.

        Raises:
            EncdecError: it comes to nothing; the same call goes on.
        """
        spec, store, night = self.spec, self.store, self.night
        labels = find_labels(spec)
        check_groups(spec, labels)
        keep_rule(store, spec.split, spec.train.card.name)
        state, earlier = production_state(spec), read_decision(store, night)
        if earlier is not None and was_promoted(earlier, state):
            return earlier.model_copy(update={"outcome": "promoted"})
        plan = read_plan(store, night)
        if plan is None:
            if (ended := self._nothing_to_do(labels, state)) is not None:
                return ended
            plan = fix_plan(store, spec, night, labels, state)
        labels = as_planned(labels, plan)
        audit, audit_note = frozen_audit(store, spec, night, labels)
        made = made_before(spec, night)
        dataset = prepare_dataset(spec, plan, labels, audit)
        aside = dataset.prepared.aside
        self.counts = counts_of(labels, state).model_copy(
            update={"aside": tuple(str(one) for one in aside[:SAID]), "num_aside": len(aside)}
        )
        evaluator = Evaluator(spec, dataset)
        if len(evaluator.held_out) < spec.judge.least_scenes:
            return self._undecided(len(evaluator.held_out))
        package = made or tune(spec, dataset, report=self.report, verbose=self.verbose)
        return self._judge(dataset, evaluator, package, audit_note)

    def _nothing_to_do(self, labels: Labels, state: ProductionState) -> Decision | None:
        """Why this night does not begin; None: it does."""
        spec, counts = self.spec, counts_of(labels, state)
        self.counts = counts
        if not counts.held_out:
            raise SpecError(
                f"none of {counts.labelled} labelled scenes is held out: there is nothing to judge by",
                hint="label more, or raise split.held_out (in a new output.uri, if nights were judged already)",
            )
        if counts.held_out < spec.judge.least_scenes:
            return self._undecided(counts.held_out)
        if counts.new < spec.new_scenes:
            said = (
                f"{counts.new} scenes to learn from are new since the last promotion, {spec.new_scenes} are asked for"
            )
            return self._said("too_little", said)
        parent = state.package.digest if state.package and spec.begin == "production" else ""
        asked = question_of(spec, labels, parent, state.package.digest if state.package else "")
        for one in read_decisions(self.store):
            if one.asked == asked and one.night != self.night:
                said = (
                    f"the same scenes, training and production were judged in the night of {one.night} ({one.outcome})"
                )
                return self._said("asked_before", said)
        return None

    def _undecided(self, found: int) -> Decision:
        least = self.spec.judge.least_scenes
        said = (
            f"{found} held-out scenes can be judged on, {least} are asked for (judge.least_scenes): nothing was trained"
        )
        return self._said("undecided", said)

    def _judge(self, dataset: NightDataset, evaluator: Evaluator, package: Package, audit_note: str) -> Decision:
        spec, version, parent = self.spec, package.card.version, dataset.plan.parent
        made = Made(version=version, digest=package.digest, parent=parent, steps=dataset.spec.learn.steps)
        if not spec.shadow:
            promote(str(reference_of(spec, version)), "candidate", spec.registry_storage)
        decisions = read_decisions(self.store)

        def judge(state: ProductionState) -> Judgement:
            nights = nights_judged(decisions, self.night, state)
            found = evaluator.judge(package, state, nights=nights, audit_note=audit_note)
            keep_pictures(self.store, self.night, draw(evaluator, found, package, state))
            return found

        def decision_of(result: CandidateResult) -> Decision:
            against = result.judgement.against.digest if result.judgement else ""
            asked = question_of(spec, dataset.labels, dataset.plan.parent_digest, against)
            return self._said(result.outcome, *result.reasons).model_copy(
                update={"asked": asked, "candidate": made, "judgement": result.judgement}
            )

        return decision_of(judge_and_promote(spec, version, judge, lambda result: self.keep(decision_of(result))))

    def _said(self, outcome: Outcome, *reasons: str) -> Decision:
        return Decision(
            night=self.night,
            model=f"{self.spec.registry.rstrip('/')}/{self.spec.train.card.name}",
            outcome=outcome,
            reasons=reasons,
            shadow=self.spec.shadow,
            time=self.store.now(),
            counts=self.counts,
        )
