"""One worker's part of a training: from the newest checkpoint to the last step, with evaluations and checkpoints.

Rank 0 alone writes. All workers do the same steps, evaluations and looks at the store in the same order, so that what
fails for one of them is known to all before they wait for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf, isfinite
from typing import Any

import torch

from encdec_batch.errors import EncdecError, TrainingError
from encdec_batch.models.forward import arithmetic_restored
from encdec_batch.predict.device import choose_device
from encdec_batch.spec.train import TrainSpec
from encdec_batch.store.open import open_store
from encdec_batch.train.batch import Examples
from encdec_batch.train.evaluation.evaluate import MAIN_SCORE, Evaluation, Seen, evaluate
from encdec_batch.train.evaluation.picture import picture_of
from encdec_batch.train.learning.all_reduce import Team
from encdec_batch.train.learning.build import build_loop
from encdec_batch.train.learning.checkpoint import Checkpoints, State
from encdec_batch.train.learning.loop import Done
from encdec_batch.train.material import Material
from encdec_batch.train.packaging.draft import Drafts, precision_of_a_job
from encdec_batch.train.tracking.curve import Curve
from encdec_batch.train.tracking.figures import Mean, Pace
from encdec_batch.train.tracking.mlflow import open_tracker
from encdec_batch.train.tracking.progress import Progress, Report


class Session:
    """A worker of a training, ready to begin.

    Args:
        spec: of the training.
        material: its data.
        team: the workers that learn together.
        device: where this one's network is.
        report: is told how far rank 0 is, after every point of the curve.
    """

    def __init__(
        self, spec: TrainSpec, material: Material, *, team: Team, device: torch.device, report: Report
    ) -> None:
        self._spec, self._material, self._team, self._report = spec, material, team, report
        self._store = open_store(spec.output.uri, spec.output.storage)
        self._checkpoints = Checkpoints(self._store, keep=spec.output.keep)
        precision = choose_device(device.type, spec.compute.precision, 1).precision
        self._loop = build_loop(spec, material.facts, device=device, precision=precision)
        self._drafts = Drafts(spec, material)
        self._values: dict[str, Any] = {"evaluations": []}
        self._best: dict[str, torch.Tensor] = {}
        self._scores: dict[str, float | None] = {}

    def run(self) -> None:
        """Train to the end.

        Raises:
            EncdecError: it cannot go on; the newest checkpoint is from where the next attempt will.
        """
        self._restore()
        spec, loop, curve = self._spec, self._loop, None
        with self._agreed():
            curve = self._curve() if self._team.rank == 0 else None
        mean, pace = Mean(), Pace(spec.learn.steps)
        try:
            for done in loop.run(self._material.batches, self._team):
                mean.add(done)
                ends = done.step == spec.learn.steps
                saves = ends or done.step % spec.output.checkpoint_every == 0
                if curve and (saves or done.step % spec.output.log_every == 0):
                    curve.point(done.step, mean.values(done, spec.learn.batch))
                    self._report(self._progress(done, mean, pace))
                    mean = Mean()
                every = spec.output.evaluate_every
                examples = self._material.examples
                judges = examples is not None and (ends or (every is not None and done.step % every == 0))
                if judges or saves:
                    loop.share_statistics(self._team)
                if examples is not None and judges:
                    self._evaluate(examples, curve)
                if saves:
                    with self._agreed():
                        if curve:
                            curve.flush(done.step)
                            self._checkpoints.save(self._state())
        finally:
            if curve:
                curve.close(finished=loop.step == spec.learn.steps)

    def _curve(self) -> Curve:
        output, tracker = self._spec.output, None
        if output.mlflow:
            tracker = open_tracker(output.mlflow, name=self._spec.card.name, training=self._store.uri)
        return Curve(self._store, self._loop.step, tracker)

    def _restore(self) -> None:
        with self._agreed():
            if state := self._checkpoints.newest():
                self._loop.restore(state)
                own = ("evaluations", "best")
                self._values |= {name: state.values[name] for name in own if name in state.values}
                self._best = {name: value for name, value in state.tensors.items() if name.startswith("best/")}

    def _state(self) -> State:
        state = self._loop.state()
        return State(step=state.step, tensors={**state.tensors, **self._best}, values={**state.values, **self._values})

    def _evaluate(self, examples: Examples, curve: Curve | None) -> None:
        step, output = self._loop.step, self._spec.output
        pictures: list[Seen] = []

        def keep(seen: Seen) -> None:
            if curve and len(pictures) < output.pictures:
                pictures.append(seen)

        with self._agreed():
            package = self._drafts.make(self._loop.judged)
            with arithmetic_restored():
                # Not that of the training: the scores are to be those of the package's users.
                precision = precision_of_a_job(package)
                found = evaluate(package, examples, precision=precision, team=self._team, on_scene=keep)
        self._scores = found.to_dict()["overall"]
        self._values["evaluations"].append({"step": step, "overall": self._scores, "precision": found.precision})
        self._keep_if_best(found, step)
        if curve:
            curve.point(step, {f"val/{name}": value for name, value in found.overall.items() if isfinite(value)})
            for number, seen in enumerate(pictures):
                curve.picture(step, f"val/{number}", picture_of(seen, self._drafts.card))

    def _keep_if_best(self, found: Evaluation, step: int) -> None:
        if self._spec.output.publish != "best":
            return
        score = found.overall[MAIN_SCORE[self._drafts.card.output.kind]]
        if score > self._values.get("best", {}).get("score", -inf):
            self._values["best"] = {"step": step, "score": score}
            weights = self._loop.judged.state_dict()
            self._best = {f"best/{name}": value.detach().clone() for name, value in weights.items()}

    def _progress(self, done: Done, mean: Mean, pace: Pace) -> Progress:
        values = mean.values(done, self._spec.learn.batch)
        return Progress(
            step=done.step,
            steps=self._spec.learn.steps,
            loss=values.get("loss"),
            images_per_s=values["images_per_s"],
            waited=values["waited"],
            seconds_left=pace.left(done.step),
            workers=self._team.size,
            scores=self._scores,
        )

    @contextmanager
    def _agreed(self) -> Iterator[None]:
        """What one worker fails at stops all: without it the others would wait for it in their next step."""
        failure: EncdecError | None = None
        try:
            yield
        except EncdecError as error:
            failure = error
        failed = torch.tensor([float(failure is not None)])
        self._team.sum([failed])
        if failure:
            raise failure
        if failed.item():
            raise TrainingError("another worker cannot go on; its own error says why", elsewhere=True)
