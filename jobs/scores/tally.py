"""Figures of one contestant over all scenes: those of `encdec-batch evaluate`, and those of the papers of its task."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from encdec_batch.models.card import ClassesOutput, ImageOutput
from encdec_batch.spec.train_target import CleanTarget, HighResolutionTarget, ImageTarget
from encdec_batch.train.batch import Example
from encdec_batch.train.evaluation.metrics import Confusion, Fidelity, mean_of
from jobs.scores.overlap import paper_way, rand, weighted
from jobs.scores.restoration import as_file, luma, shaved
from jobs.scores.sharpness import MIDDLE, RINGS, ratio, spectrum
from jobs.scores.task import Task
from jobs.scores.translation import agreement, ndvi


class Tally(Protocol):
    """Counts scenes as they come, then says the figures of all."""

    def add(self, example: Example, prediction: NDArray[Any]) -> None:
        """A scene as it was predicted, in the network's units."""

    def figures(self) -> dict[str, float]:
        """By name."""


def tally_of(task: Task) -> Tally:
    """One that has seen nothing yet."""
    return ClassTally(task) if isinstance(task.output, ClassesOutput) else ImageTally(task)


class ClassTally:
    """Counts pixels by class; of two classes image by image too; of membranes the regions between them."""

    def __init__(self, task: Task) -> None:
        classes = task.output.classes if isinstance(task.output, ClassesOutput) else ()
        self._names = [one.name for one in classes]
        self._membrane = self._names.index("membrane") if "membrane" in self._names else None
        self._counted: list[Confusion] = []
        self._rand: list[dict[str, float]] = []

    def add(self, example: Example, prediction: NDArray[Any]) -> None:
        known = example.target_valid
        self._counted.append(Confusion.of(example.target, prediction, known, len(self._names)))
        if self._membrane is not None:
            truth, made = ((one == self._membrane) for one in (example.target, prediction))
            self._rand.append(rand(truth, made, known))

    def figures(self) -> dict[str, float]:
        first, *others = self._counted
        figures = sum(others, start=first).figures(self._names)
        if len(self._names) == 2:
            figures |= paper_way([weighted(one.counts) for one in self._counted])
        return figures | _means(self._rand)


class ImageTally:
    """Sums differences; and, by the kind of target, what papers count beside them."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._span = task.output.range[1] - task.output.range[0] if isinstance(task.output, ImageOutput) else 1.0
        self._counted: list[Fidelity] = []
        self._rows: list[dict[str, float]] = []
        self._spectra = np.zeros((2, RINGS))
        self._indices: list[NDArray[np.float64]] = []

    def add(self, example: Example, prediction: NDArray[Any]) -> None:
        known, task = example.target_valid, self._task
        self._counted.append(Fidelity.of(example.target, prediction, known, self._span))
        self._spectra += [spectrum(prediction, known), spectrum(example.target, known)]
        made, truth = task.stored(prediction), task.stored(example.target)
        if isinstance(task.target, CleanTarget | HighResolutionTarget) and np.dtype(task.dtype).kind != "f":
            self._rows.append(_as_papers(task, made, truth, known))
        if task.red and isinstance(task.target, ImageTarget):
            red = example.pixels[:1]
            pair = [ndvi(np.clip(nir, *task.target.range), red) for nir in (made, truth)]
            self._indices.append(np.stack(pair)[:, 0, known])

    def figures(self) -> dict[str, float]:
        first, *others = self._counted
        total = sum(others, start=first)
        # As evaluate has it: means over scenes, and `pooled_psnr` of all pixels together.
        figures = total.figures() | {"pooled_psnr": total.psnr}
        figures |= {name: mean_of([getattr(one, name) for one in self._counted]) for name in ("psnr", "ssim")}
        figures |= _means(self._rows)
        figures |= {"sharpness": ratio(*self._spectra), "sharpness_middle": ratio(*self._spectra, MIDDLE)}
        if self._indices:
            error, correlation = agreement(*np.concatenate(self._indices, axis=1))
            figures |= {"ndvi_mae": error, "ndvi_correlation": correlation}
        return figures


def _as_papers(
    task: Task, made: NDArray[np.float64], truth: NDArray[np.float64], known: NDArray[np.bool_]
) -> dict[str, float]:
    """PSNR and SSIM of one scene as files: of all bands, or of Y without a border where it was enlarged."""
    made, truth = as_file(made, task.dtype), as_file(truth, task.dtype)
    held = np.iinfo(np.dtype(task.dtype))
    border, ending = 0, "file"
    if isinstance(task.target, HighResolutionTarget):
        if len(made) == 3 and task.dtype == "uint8":
            made, truth = luma(made), luma(truth)
        elif len(made) != 1:
            return {}
        border, ending = task.target.scale, "y"
    found = shaved(truth, made, known, border=border, span=float(held.max - held.min))
    return {f"psnr_{ending}": found.psnr, f"ssim_{ending}": found.ssim}


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: mean_of([row[name] for row in rows]) for name in (rows[0] if rows else {})}
