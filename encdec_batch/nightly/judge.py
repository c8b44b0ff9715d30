"""Candidate and production on the same scenes, each predicted tile by tile as a job predicts it; or a first candidate
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import isnan

import numpy as np
from numpy.typing import NDArray

from encdec_batch.models.card import ImageOutput
from encdec_batch.models.package import Package
from encdec_batch.nightly.bootstrap import Score, differences, interval, level_of, resamples_for
from encdec_batch.nightly.evaluate import Evaluating, count, evaluating
from encdec_batch.nightly.find import key_of, unit_of
from encdec_batch.nightly.production import ProductionState
from encdec_batch.nightly.records import Bound, Compared, Figures, Judgement
from encdec_batch.nightly.scores import Scale, scores_of, shown
from encdec_batch.nightly.tune import NightDataset
from encdec_batch.spec.nightly import NightlySpec
from encdec_batch.spec.train_target import MaskTarget
from encdec_batch.stream.calls import Calls
from encdec_batch.train.dataset.inspect import Inspected
from encdec_batch.train.learning.signature import check_fits, output_of
from encdec_batch.train.running.collect import facts_of

_NOT_BY_A_NIGHT = (
    "no night made this production: it may have learned from scenes that are held out here, which would flatter it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What was counted of one package."""

    rows: NDArray[np.float64]
    """(scenes, numbers)."""
    scale: Scale

    def some(self, numbers: Sequence[int]) -> Counted:
        """Of some scenes alone."""
        return Counted(rows=self.rows[list(numbers)], scale=self.scale)

    def score(self, metric: str) -> Score:
        return partial(scores_of, metric=metric, scale=self.scale)

    def total(self, metric: str) -> float | None:
        """Of all scenes together; None: there is none."""
        value = float(self.score(metric)(self.rows.sum(axis=0, keepdims=True))[0])
        return None if isnan(value) else round(value, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """Two packages on the same scenes; or a first one alone."""

    scenes: tuple[Inspected, ...]
    production: Counted | None
    candidate: Counted

    def some(self, numbers: Sequence[int]) -> Both:
        """Of some scenes alone."""
        production = None if self.production is None else self.production.some(numbers)
        scenes = tuple(self.scenes[n] for n in numbers)
        return Both(scenes=scenes, production=production, candidate=self.candidate.some(numbers))

    def compared(self, metric: str, *, name: str = "", guard: float | None = None) -> Compared:
        """A figure of all scenes together."""
        return Compared(
            name=name or metric,
            production=None if self.production is None else self.production.total(metric),
            candidate=self.candidate.total(metric),
            guard=guard,
            scenes=len(self.scenes),
        )


class Evaluator:
    """Judges packages by the scenes of one night, which `calls` predict."""

    def __init__(self, spec: NightlySpec, dataset: NightDataset, calls: Calls) -> None:
        self.spec, self.calls, self._dataset = spec, calls, dataset
        target = spec.train.data.target
        self._classes = tuple(one.name for one in target.classes) if isinstance(target, MaskTarget) else ()
        self._groups = {one.key: one.group for one in dataset.labels.scenes}

    @property
    def held_out(self) -> tuple[Inspected, ...]:
        """The scenes that decide."""
        return self._dataset.held_out

    def judge(self, candidate: Package, state: ProductionState, *, nights: int, audit_note: str = "") -> Judgement:
        """All figures of both.

        Args:
            candidate: made this night.
            state: production, what it is to be better than, and the scenes that its promotion knew.
            nights: judged since the last promotion, this one among them.
            audit_note: why there is no audit, or less of it.

        Raises:
            SpecError: production is a package of another task.
            EncdecError: a scene cannot be read.
        """
        production, against = state.package, state.against
        if production is None or against is None:
            raise AssertionError("nothing is in production")
        wanted = output_of(self._dataset.spec, facts_of(self._dataset.prepared))
        target, num_bands = self.spec.train.data.target, self._dataset.prepared.num_bands
        check_fits(production.card, target, wanted, num_bands=num_bands)
        theirs = self._counted(production, self.held_out)
        both = Both(scenes=self.held_out, production=theirs, candidate=self._counted(candidate, self.held_out))
        figures = self._figures(both, candidate, production, audit_note).model_copy(
            update={"note": "" if state.by_night else _NOT_BY_A_NIGHT}
        )
        groups = (*self._before(both, state), *figures.groups)
        bound = self._bound(both.candidate, theirs, both.compared(self.spec.judge.metric), nights)
        return Judgement(
            **dict(figures) | {"groups": groups}, against=against, margin=self.spec.judge.margin, bound=bound
        )

    def measure(self, candidate: Package, *, audit_note: str = "") -> Figures:
        """All figures of a candidate that there is nothing to compare with: a person decides by them.

        Args:
            candidate: made this night.
            audit_note: as in `judge`.

        Raises:
            EncdecError: a scene cannot be read.
        """
        only = Both(scenes=self.held_out, production=None, candidate=self._counted(candidate, self.held_out))
        return self._figures(only, candidate, None, audit_note)

    def _figures(self, both: Both, candidate: Package, production: Package | None, audit_note: str) -> Figures:
        asked = self.spec.judge
        audited = tuple(one for one in self._dataset.prepared.val if key_of(one.pair) in self._dataset.audit)
        frozen: Both | None = None
        if audited:
            theirs = None if production is None else self._counted(production, audited)
            frozen = Both(scenes=audited, production=theirs, candidate=self._counted(candidate, audited))
        names = list(dict.fromkeys([asked.metric, *shown(self._classes)]))
        return Figures(
            metric=asked.metric,
            overall=tuple(both.compared(name) for name in names),
            classes=tuple(
                both.compared(f"iou/{name}", guard=asked.class_guards.get(name, asked.class_guard))
                for name in self._classes
            ),
            groups=tuple(self._by_group(both)),
            scenes=tuple(self._by_scene(both)),
            audit=tuple(frozen.compared(name) for name in names) if frozen else (),
            audit_scenes=len(audited),
            audit_note=audit_note,
        )

    def evaluating(self, package: Package) -> Evaluating:
        """A package, to be evaluated on scenes of this night."""
        return evaluating(self.spec, self._dataset, package, self.calls)

    def _counted(self, package: Package, scenes: Sequence[Inspected]) -> Counted:
        output = package.card.output
        span = output.range[1] - output.range[0] if isinstance(output, ImageOutput) else 1.0
        rows = count(self.calls, self.evaluating(package), scenes)
        return Counted(rows=rows, scale=Scale(classes=self._classes, span=span))

    def _bound(self, candidate: Counted, production: Counted, now: Compared, nights: int) -> Bound:
        asked = self.spec.judge
        level = level_of(asked.confidence, nights)
        ours, theirs = ((self._by_volume(one.rows), one.score(asked.metric)) for one in (candidate, production))
        found = differences(ours, theirs, resamples=resamples_for(level, asked.resamples), seed=asked.seed)
        bounds = interval(found, level)
        return Bound(
            observed=None if now.production is None or now.candidate is None else round(0.0 - now.fall, 6),
            lower=bounds.lower,
            upper=bounds.upper,
            level=level,
            nights=nights,
            resamples=bounds.resamples,
        )

    def _by_volume(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """(volumes, numbers): slices of one are no more independent than pixels of one slice; what is no slice is a
        row by itself.
        """
        whose = [unit_of(one.pair) for one in self.held_out]
        places = {name: number for number, name in enumerate(dict.fromkeys(whose))}
        summed = np.zeros((len(places), rows.shape[1]))
        np.add.at(summed, [places[name] for name in whose], rows)
        return summed

    def _before(self, both: Both, state: ProductionState) -> list[Compared]:
        """Of the scenes that were there at the last promotion, labelled as now: what wrong labels of a new delivery
        gain among themselves, they lose here.
        """
        keys = {one.key: one.fingerprint for one in self._dataset.labels.scenes}
        known = [
            number
            for number, one in enumerate(both.scenes)
            if state.known.get(key_of(one.pair)) == keys[key_of(one.pair)]
        ]
        if not known or len(known) == len(both.scenes):
            return []
        guard = self.spec.judge.group_guard
        return [self._guarded(both.some(known), "(there at the last promotion)", guard)]

    def _by_group(self, both: Both) -> list[Compared]:
        asked = self.spec.judge
        if asked.groups.kind == "none":
            return []
        members: dict[str, list[int]] = {}
        for number, one in enumerate(both.scenes):
            members.setdefault(self._groups[key_of(one.pair)], []).append(number)
        return [
            self._guarded(both.some(numbers), group or "(none)", asked.group_guards.get(group, asked.group_guard))
            for group, numbers in sorted(members.items())
        ]

    def _guarded(self, both: Both, name: str, guard: float) -> Compared:
        """A group's metric; of few scenes it has no guard, unless the spec gives it one of its own."""
        asked = self.spec.judge
        held = len(both.scenes) >= asked.least_group or name in asked.group_guards
        return both.compared(asked.metric, name=name, guard=guard if held else None)

    def _by_scene(self, both: Both) -> list[Compared]:
        rows = [
            both.some([number]).compared(self.spec.judge.metric, name=key_of(one.pair))
            for number, one in enumerate(both.scenes)
        ]
        return sorted(rows, key=fallen if both.production is not None else worst)


def fallen(row: Compared) -> tuple[float, str]:
    """Puts the scenes first that fell most."""
    return -row.fall, row.name


def worst(row: Compared) -> tuple[bool, float, str]:
    """Puts the scenes first that the candidate does worst; those without a figure last."""
    return row.candidate is None, 0.0 if row.candidate is None else row.candidate, row.name
