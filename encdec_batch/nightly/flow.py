"""A candidate's way: is there enough, train, judge, move the alias. Each step finds what an earlier try left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from encdec_batch.errors import SpecError
from encdec_batch.models.package import Package
from encdec_batch.models.registry import promote
from encdec_batch.nightly.bands import check_few
from encdec_batch.nightly.find import Labels, find_labels, number_of
from encdec_batch.nightly.judge import Evaluator
from encdec_batch.nightly.options import named_below_train
from encdec_batch.nightly.pictures import draw, keep_pictures
from encdec_batch.nightly.plan import (
    SAID,
    as_planned,
    check_groups,
    counts_of,
    fix_plan,
    frozen_audit,
    make_plan,
    question_of,
    read_plan,
)
from encdec_batch.nightly.private import as_shown
from encdec_batch.nightly.production import ProductionState, model_of, production_state, reference_of
from encdec_batch.nightly.promote import CandidateResult, ask_to_promote, judge_and_promote, nights_judged
from encdec_batch.nightly.records import OPEN, Counts, Decision, Figures, Judgement, Made, Outcome, read_decisions
from encdec_batch.nightly.split import keep_rule
from encdec_batch.nightly.tune import NightDataset, made_before, prepare_dataset, registered, training_of, tune
from encdec_batch.spec.nightly import NightlySpec
from encdec_batch.store.store import Store
from encdec_batch.stream.calls import open_calls
from encdec_batch.train.tracking.progress import Report

_NOTHING_TRAINED = "nothing was trained"


@dataclass(slots=True, kw_only=True)
class NightFlow:
    """One night, from what is labelled to its decision."""

    spec: NightlySpec
    night: str
    store: Store
    """Of the nightly job's output; the lease is held."""
    report: Report
    verbose: bool
    keep: Callable[[Decision], None]
    """Writes a decision down."""
    counts: Counts = field(default_factory=lambda: Counts(labelled=0, training=0, held_out=0, audit=0, new=0))
    note: tuple[str, ...] = ()
    """To be said before the reasons."""

    def decide(self) -> Decision:
        """What this night comes to.

        Raises:
            EncdecError: it comes to nothing; the same call goes on.
        """
        with named_below_train():
            return self._decide()

    def _decide(self) -> Decision:
        store, night = self.store, self.night
        labels = find_labels(self.spec)
        spec = self.spec = as_shown(self.spec, labels.names)
        check_groups(spec, labels)
        keep_rule(store, spec.split, spec.train.card.name)
        state = production_state(spec)
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
        if (found := number_of(one.pair for one in dataset.held_out)) < spec.judge.least_scenes:
            return self._said("undecided", self._few_to_judge(found), _NOTHING_TRAINED)
        if made is None and (earlier := self._left_open(dataset, state)) is not None:
            return self._judge(dataset, *earlier, audit_note)
        package = made or tune(spec, dataset, report=self.report, verbose=self.verbose)
        version = Made(
            version=package.card.version, digest=package.digest, parent=plan.parent, steps=dataset.spec.learn.steps
        )
        return self._judge(dataset, package, version, audit_note)

    def _nothing_to_do(self, labels: Labels, state: ProductionState) -> Decision | None:
        """Why this night does not begin; None: it does.

        Raises:
            SpecError: it could not begin with more labels either.
        """
        spec, counts = self.spec, counts_of(labels, state)
        self.counts = counts
        few_to_judge, few_to_learn = counts.held_out < spec.judge.least_scenes, counts.new < spec.new_scenes
        lacking = [self._few_to_judge(counts.held_out)] if few_to_judge else []
        lacking += [self._few_to_learn(counts.new, state)] if few_to_learn else []
        if lacking:
            self._check_bands(labels, state, lacking)
            if not counts.held_out:
                raise SpecError(
                    f"none of {counts.labelled} labelled scenes is held out: there is nothing to judge by",
                    hint="label more, or raise split.held_out (in a new output.uri, if nights were judged already)",
                )
            asked_for = [ask_to_promote(spec, state.waiting)] if state.waiting else []
            return self._said("undecided" if few_to_judge else "too_little", *lacking, *asked_for, _NOTHING_TRAINED)
        against = state.package.digest if state.package else ""
        asked = question_of(spec, labels, against if spec.begin == "production" else "", against)
        # What was better in shadow, or was to be promoted as the night died, has not been refused.
        refused = [one for one in self._asked(asked) if one.outcome not in OPEN or spec.shadow]
        if refused:
            first = refused[0]
            said = f"the same scenes, training and production were judged in the night of {first.night}"
            return self._said("asked_before", f"{said} ({first.outcome})")
        return None

    def _asked(self, asked: str) -> list[Decision]:
        """Other nights that were asked this, the oldest first."""
        return [one for one in read_decisions(self.store) if one.asked == asked and one.night != self.night]

    def _left_open(self, dataset: NightDataset, state: ProductionState) -> tuple[Package, Made] | None:
        """The candidate of another night that was better by the same question, and is not in production."""
        against = state.package.digest if state.package else ""
        for one in reversed(self._asked(question_of(self.spec, dataset.labels, dataset.plan.parent_digest, against))):
            made = one.candidate
            if one.outcome in OPEN and made is not None:
                package = registered(self.spec, made.version, made.digest)
                if package is not None:
                    self.note = (f"{made.version} was made in the night of {one.night}, and is judged again",)
                    return package, made
        return None

    def _few_to_judge(self, found: int) -> str:
        least = self.spec.judge.least_scenes
        return f"{found} held-out scenes can be judged on, {least} are asked for (judge.least_scenes)"

    def _few_to_learn(self, found: int, state: ProductionState) -> str:
        since = f"{state.waiting}, which waits to be promoted," if state.waiting else "the last promotion"
        since = f" since {since}" if state.waiting or state.alias else ""
        return f"{found} scenes to learn from are new{since}, {self.spec.new_scenes} are asked for (new_scenes)"

    def _check_bands(self, labels: Labels, state: ProductionState, lacking: list[str]) -> None:
        """What is wrong with the spec is not to be told only when there are labels enough."""
        parent = state.package if self.spec.begin == "production" else None
        training = training_of(self.spec, make_plan(self.spec, self.night, labels, state), labels, parent)
        try:
            check_few(training, [one.pair for one in labels.scenes], parent.card if parent else None)
        except SpecError as error:
            said = f"{error.message}. And there are not labels enough: {'; '.join(lacking)}"
            raise SpecError(said, hint=error.hint) from error

    def _judge(self, dataset: NightDataset, package: Package, made: Made, audit_note: str) -> Decision:
        spec = self.spec
        if not spec.shadow:
            promote(str(reference_of(spec, made.version)), "candidate", spec.registry_storage)
        decisions = read_decisions(self.store)

        def asked(against: str) -> str:
            return question_of(spec, dataset.labels, dataset.plan.parent_digest, against)

        def judge(state: ProductionState) -> Judgement:
            question = asked(state.package.digest if state.package else "")
            nights = nights_judged(decisions, self.night, question, state)
            with self._evaluator(dataset) as evaluator:
                found = evaluator.judge(package, state, nights=nights, audit_note=audit_note)
                pictures = draw(evaluator, found, package, state.package)
            keep_pictures(self.store, self.night, pictures)
            return found

        def measure() -> Figures:
            with self._evaluator(dataset) as evaluator:
                found = evaluator.measure(package, audit_note=audit_note)
                pictures = draw(evaluator, found, package, None)
            keep_pictures(self.store, self.night, pictures)
            return found

        def decision_of(result: CandidateResult) -> Decision:
            against = result.judgement.against.digest if result.judgement else ""
            return self._said(result.outcome, *self.note, *result.reasons).model_copy(
                update={"asked": asked(against), "candidate": made, "judgement": result.judgement}
            )

        def announce(result: CandidateResult) -> None:
            self.keep(decision_of(result))

        decision = decision_of(judge_and_promote(spec, made.version, judge, announce))
        if decision.outcome != "no_production":
            return decision
        # A person decides, by what is seen of it.
        alone = measure()
        return decision.model_copy(update={"alone": alone, "reasons": (_figure_said(alone), *decision.reasons)})

    @contextmanager
    def _evaluator(self, dataset: NightDataset) -> Iterator[Evaluator]:
        compute = self.spec.train.compute
        with open_calls(compute.stream, compute.device, verbose=self.verbose) as calls:
            yield Evaluator(self.spec, dataset, calls)

    def _said(self, outcome: Outcome, *reasons: str) -> Decision:
        return Decision(
            night=self.night,
            model=model_of(self.spec),
            outcome=outcome,
            reasons=reasons,
            shadow=self.spec.shadow,
            time=self.store.now(),
            counts=self.counts,
        )


def _figure_said(alone: Figures) -> str:
    value = alone.overall[0].candidate
    return (
        f"{alone.metric} {'has no figure' if value is None else f'{value:.4f}'} on {len(alone.scenes)} held-out scenes"
    )
