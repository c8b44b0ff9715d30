"""Candidate and production on the same scenes, each predicted tile by tile as a job predicts it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from encdec_batch.models.card import ImageOutput
from encdec_batch.models.package import Package
from encdec_batch.nightly.bootstrap import Score, differences, interval, level_of, resamples_for
from encdec_batch.nightly.find import key_of
from encdec_batch.nightly.records import Against, Bound, Compared, Judgement
from encdec_batch.nightly.scores import Scale, scores_of, shown
from encdec_batch.nightly.tune import Course
from encdec_batch.spec.nightly import NightlySpec
from encdec_batch.spec.train_target import MaskTarget
from encdec_batch.train.dataset.inspect import Inspected
from encdec_batch.train.evaluation.evaluate import Evaluation, Seen, evaluate
from encdec_batch.train.learning.signature import check_fits, output_of
from encdec_batch.train.running.collect import facts_of
from encdec_batch.train.samples.examples import SceneExamples


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """Two packages on the same scenes."""

    scenes: tuple[Inspected, ...]
    production: NDArray[np.float64]
    """(scenes, numbers), what was counted of each."""
    candidate: NDArray[np.float64]


class Court:
    """Judges packages by the scenes of one night."""

    def __init__(self, spec: NightlySpec, course: Course) -> None:
        self.spec, self._course = spec, course
        target = spec.train.data.target
        self._classes = tuple(one.name for one in target.classes) if isinstance(target, MaskTarget) else ()
        self._groups = {one.key: one.group for one in course.labels.scenes}

    @property
    def held_out(self) -> tuple[Inspected, ...]:
        """The scenes that decide."""
        return tuple(one for one in self._course.prepared.val if key_of(one.pair) not in self._course.audit)

    def judge(
        self, candidate: Package, production: Package, against: Against, *, nights: int, audit_note: str = ""
    ) -> Judgement:
        """All figures of both.

        Args:
            candidate: made this night.
            production: what it is to be better than.
            against: the alias that says so.
            nights: judged since the last promotion, this one among them.
            audit_note: why there is no audit, or less of it.

        Raises:
            SpecError: production is a package of another task.
            EncdecError: a scene cannot be read.
        """
        wanted = output_of(self._course.spec, facts_of(self._course.prepared))
        target, num_bands = self.spec.train.data.target, self._course.prepared.num_bands
        check_fits(production.card, target, wanted, num_bands=num_bands)
        asked, pair = self.spec.judge, (production, candidate)
        both = self._both(pair, self.held_out)
        audited = [one for one in self._course.prepared.val if key_of(one.pair) in self._course.audit]
        frozen = self._both(pair, audited) if audited else None
        names = list(dict.fromkeys([asked.metric, *shown(self._classes)]))
        return Judgement(
            against=against,
            metric=asked.metric,
            margin=asked.margin,
            bound=self._bound(pair, both, nights),
            overall=tuple(self._compared(pair, both, name) for name in names),
            classes=tuple(
                self._compared(pair, both, f"iou/{name}", guard=asked.class_guards.get(name, asked.class_guard))
                for name in self._classes
            ),
            groups=tuple(self._by_group(pair, both)),
            scenes=tuple(self._by_scene(pair, both)),
            audit=tuple(self._compared(pair, frozen, name) for name in names) if frozen else (),
            audit_scenes=len(audited),
            audit_note=audit_note,
        )

    def evaluate(
        self, package: Package, scenes: Sequence[Inspected], *, on_scene: Callable[[Seen], None] | None = None
    ) -> Evaluation:
        """A package on some scenes, each as that package is to see it."""
        precision = self.spec.train.compute.precision
        examples = SceneExamples(scenes, self._course.spec.data, package.card.normalization)
        return evaluate(package, examples, precision=None if precision == "auto" else precision, on_scene=on_scene)

    def _both(self, pair: tuple[Package, Package], scenes: Sequence[Inspected]) -> Both:
        production, candidate = pair
        return Both(
            scenes=tuple(scenes),
            production=self.evaluate(production, scenes).counted,
            candidate=self.evaluate(candidate, scenes).counted,
        )

    def _score(self, package: Package, metric: str) -> Score:
        output = package.card.output
        span = output.range[1] - output.range[0] if isinstance(output, ImageOutput) else 1.0
        scale = Scale(classes=self._classes, span=span)
        return lambda rows: scores_of(rows, metric, scale)

    def _bound(self, pair: tuple[Package, Package], both: Both, nights: int) -> Bound:
        asked = self.spec.judge
        production, candidate = (self._score(package, asked.metric) for package in pair)
        level = level_of(asked.confidence, nights)
        found = differences(
            (both.candidate, candidate),
            (both.production, production),
            resamples=resamples_for(level, asked.resamples),
            seed=asked.seed,
        )
        bounds = interval(found, level)
        now = self._compared(pair, both, asked.metric)
        return Bound(
            observed=None if now.production is None or now.candidate is None else round(-now.fall, 6),
            lower=_finite(bounds.lower),
            upper=_finite(bounds.upper),
            level=level,
            nights=nights,
            resamples=bounds.resamples,
        )

    def _compared(
        self,
        pair: tuple[Package, Package],
        both: Both,
        metric: str,
        *,
        some: Sequence[int] | None = None,
        name: str = "",
        guard: float | None = None,
    ) -> Compared:
        """A figure of the sum of some scenes, or of all."""
        chosen = list(range(len(both.scenes))) if some is None else list(some)
        production, candidate = (
            float(self._score(package, metric)(rows[chosen].sum(axis=0, keepdims=True))[0])
            for package, rows in zip(pair, (both.production, both.candidate), strict=True)
        )
        return Compared(
            name=name or metric,
            production=_plain(production),
            candidate=_plain(candidate),
            guard=guard,
            scenes=len(chosen),
        )

    def _by_group(self, pair: tuple[Package, Package], both: Both) -> list[Compared]:
        asked = self.spec.judge
        if asked.groups.kind == "none":
            return []
        members: dict[str, list[int]] = {}
        for number, one in enumerate(both.scenes):
            members.setdefault(self._groups[key_of(one.pair)], []).append(number)
        return [
            self._compared(
                pair,
                both,
                asked.metric,
                some=some,
                name=group or "(none)",
                guard=asked.group_guards.get(group, asked.group_guard),
            )
            for group, some in sorted(members.items())
        ]

    def _by_scene(self, pair: tuple[Package, Package], both: Both) -> list[Compared]:
        metric = self.spec.judge.metric
        rows = [
            self._compared(pair, both, metric, some=[number], name=key_of(one.pair))
            for number, one in enumerate(both.scenes)
        ]
        return sorted(rows, key=lambda row: (-row.fall, row.name))


def _plain(value: float) -> float | None:
    return round(value, 6) if isfinite(value) else None


def _finite(value: float) -> float:
    """PSNR of equal images is infinite, and JSON has no infinity."""
    return float(np.clip(value, -1e9, 1e9))
