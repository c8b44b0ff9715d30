"""A package on some scenes, as that package is to see them: what workers are sent, and what they count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from encdec_batch.models.package import Package
from encdec_batch.nightly.tune import NightDataset
from encdec_batch.predict.device import Precision
from encdec_batch.spec.nightly import NightlySpec
from encdec_batch.spec.train_data import DataSpec
from encdec_batch.stream.calls import Calls, Device
from encdec_batch.train.dataset.inspect import Inspected
from encdec_batch.train.evaluation.evaluate import Evaluation, Seen, evaluate
from encdec_batch.train.samples.examples import SceneExamples


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluating:
    """What every call of one evaluation has."""

    package: Package
    data: DataSpec
    precision: Precision | None
    """None: what a job's `auto` is where the call runs."""
    device: Device
    threads: int


def evaluating(spec: NightlySpec, dataset: NightDataset, package: Package, calls: Calls) -> Evaluating:
    """A package to be evaluated on the data of a night."""
    compute = spec.train.compute
    return Evaluating(
        package=package,
        data=dataset.spec.data,
        precision=None if compute.precision == "auto" else compute.precision,
        device=calls.device,
        threads=compute.threads,
    )


def count(calls: Calls, shared: Evaluating, scenes: Sequence[Inspected]) -> NDArray[np.float64]:
    """(scenes, numbers) what is counted of each scene (`Evaluation.counted`); divided among the workers.

    Raises:
        EncdecError: a scene cannot be read, or there is none.
    """
    return np.concatenate(calls(_count, shared, divided(scenes, calls.workers)))


def divided(scenes: Sequence[Inspected], workers: int) -> list[tuple[Inspected, ...]]:
    """As many runs of scenes as there are workers, in their order; none is empty, but for one where all are."""
    number = max(1, min(workers, len(scenes)))
    cuts = [len(scenes) * n // number for n in range(number + 1)]
    return [tuple(scenes[begin:end]) for begin, end in pairwise(cuts)]


def evaluate_here(
    shared: Evaluating, scenes: Sequence[Inspected], on_scene: Callable[[Seen], None] | None = None
) -> Evaluation:
    """Predicts and counts in this process.

    Raises:
        EncdecError: as `count`.
    """
    # As the training has it: Ray's workers have one thread, and a process that trained has those of its spec.
    torch.set_num_threads(shared.threads)
    examples = SceneExamples(scenes, shared.data, shared.package.card.normalization)
    return evaluate(shared.package, examples, precision=shared.precision, device=shared.device, on_scene=on_scene)


def _count(shared: Evaluating, scenes: Sequence[Inspected]) -> NDArray[np.float64]:
    return evaluate_here(shared, scenes).counted
