"""How good a package is on whole scenes, each predicted tile by tile as the main job predicts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from encdec_batch.errors import EncdecError
from encdec_batch.models.card import Card, ClassesOutput, ImageOutput
from encdec_batch.models.package import Package
from encdec_batch.plan.product import quantum_levels
from encdec_batch.predict.array import predict_patch, stitch_of
from encdec_batch.predict.device import Precision
from encdec_batch.predict.resolve import device_for
from encdec_batch.read.patch import Patch
from encdec_batch.train.batch import Example, Examples
from encdec_batch.train.evaluation.metrics import Confusion, Fidelity, mean_of
from encdec_batch.train.learning.all_reduce import Team, TeamOfOne

MAIN_SCORE = {"classes": "mean_iou", "image": "psnr"}
"""What the best weights are chosen by, by kind of output; more is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Scores of one package on one set of scenes."""

    overall: Mapping[str, float]
    """Classes: of all pixels of all scenes together. Images: `psnr` and `ssim` are means over the scenes, as papers
    have it; `pooled_psnr` is that of all pixels together."""
    scenes: Mapping[str, Mapping[str, float]]
    """By scene."""
    precision: Precision
    """In which the network was run."""
    counted: NDArray[np.float64] = field(compare=False)
    """(scenes, numbers), in the order of `scenes`: what was counted of each, which adds up: of classes the
    confusion matrix, row by row; of images squared and absolute differences, values, similarities, windows."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: what is no number is null."""
        scenes = {name: plain(row) for name, row in self.scenes.items()}
        return {"precision": self.precision, "overall": plain(self.overall), "scenes": scenes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One scene as it was judged."""

    example: Example
    prediction: NDArray[np.generic]
    """(kH, kW) channels, or (C, kH, kW) in the network's units; what is not valid holds 0."""


def evaluate(  # noqa: PLR0913  (all but two have a default)
    package: Package,
    examples: Examples,
    *,
    precision: Precision | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    team: Team | None = None,
    on_scene: Callable[[Seen], None] | None = None,
) -> Evaluation:
    """Predict every scene and compare it with its target.

    Args:
        package: what is judged.
        examples: whole scenes with targets.
        precision: None: what a job's `auto` is on this device.
        device: that runs the network.
        team: divides the scenes among its members, who all get the whole result; None: there is no other.
        on_scene: is shown each scene of this member.

    Raises:
        EncdecError: a scene cannot be read, or there is none.
    """
    team = team or TeamOfOne()
    precision = precision or device_for(package.card, device, "auto", "auto").precision
    names: list[str] = []
    rows: list[NDArray[np.float64]] = []
    for number, example in enumerate(examples):
        names.append(example.name)
        if number % team.size != team.rank:
            rows.append(np.zeros(_row_length(package.card)))
            continue
        prediction = _predict(package, example, precision, device)
        rows.append(_row(package.card, example, prediction))
        if on_scene:
            on_scene(Seen(example=example, prediction=prediction))
    if not rows:
        raise EncdecError("there is no scene to judge on", hint="set data.split to one that leaves some")
    table = torch.from_numpy(np.stack(rows))
    team.sum([table])
    counted = [_score(package.card, row) for row in table.numpy()]
    return Evaluation(
        overall=_overall(package.card, counted),
        scenes=_by_scene(package.card, names, counted),
        precision=precision,
        counted=table.numpy(),
    )


def plain(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Scores for JSON, which has no NaN."""
    return {name: round(value, 6) if isfinite(value) else None for name, value in figures.items()}


def _predict(
    package: Package, example: Example, precision: Precision, device: Literal["auto", "cpu", "cuda"]
) -> NDArray[np.generic]:
    output = package.card.output
    scene = Patch(pixels=example.pixels, valid_mask=example.valid_mask)
    made = predict_patch(package, scene, stitch=stitch_of(package.card), precision=precision, device=device)
    if isinstance(output, ClassesOutput):
        channels = np.zeros(max(item.id for item in output.classes) + 1, np.int64)
        for number, item in enumerate(output.classes):
            channels[item.id] = number
        # What is not valid holds an id that no class has; nobody looks at it.
        return channels[np.minimum(made.astype(np.int64), len(channels) - 1)]
    return _in_network_units(made, output)


def _in_network_units(made: NDArray[np.generic], output: ImageOutput) -> NDArray[np.float32]:
    """Float32 images out of the card's units; quantised ones back between the ends of its range."""
    if output.dtype == "float32":
        values = (np.nan_to_num(made.astype(np.float64), nan=output.offset) - output.offset) / output.scale
        return values.astype(np.float32)
    low, high = output.range
    levels = quantum_levels(output.dtype)
    quantised: NDArray[np.float32] = (low + (made.astype(np.float32) - 1) * ((high - low) / levels)).astype(np.float32)
    return np.where(made == 0, np.float32(0), quantised)


def _row_length(card: Card) -> int:
    return len(card.output.classes) ** 2 if isinstance(card.output, ClassesOutput) else 5


def _row(card: Card, example: Example, prediction: NDArray[np.generic]) -> NDArray[np.float64]:
    """What is counted of a scene, as numbers that members can sum: counts are exact up to 2**53."""
    if isinstance(card.output, ClassesOutput):
        counted = Confusion.of(example.target, prediction, example.target_valid, len(card.output.classes))
        return counted.counts.ravel().astype(np.float64)
    found = Fidelity.of(example.target, prediction, example.target_valid, _span(card.output))
    return np.array([found.squared, found.absolute, found.values, found.similarity, found.windows])


def _score(card: Card, row: NDArray[np.float64]) -> Confusion | Fidelity:
    if isinstance(card.output, ClassesOutput):
        number = len(card.output.classes)
        return Confusion(counts=row.reshape(number, number).astype(np.int64))
    squared, absolute, values, similarity, windows = row.tolist()
    return Fidelity(
        span=_span(card.output),
        squared=squared,
        absolute=absolute,
        values=int(values),
        similarity=similarity,
        windows=int(windows),
    )


def _overall(card: Card, counted: list[Any]) -> dict[str, float]:
    total = counted[0]
    for one in counted[1:]:
        total = total + one
    figures = _figures(card, total)
    if isinstance(total, Fidelity):
        means = {name: mean_of([getattr(one, name) for one in counted]) for name in ("psnr", "ssim")}
        figures |= {"pooled_psnr": total.psnr, **means}
    return figures | {"scenes": float(len(counted))}


def _by_scene(card: Card, names: list[str], counted: list[Any]) -> dict[str, dict[str, float]]:
    """Names that stand twice get a number."""
    rows: dict[str, dict[str, float]] = {}
    for name, one in zip(names, counted, strict=True):
        number = 2
        unique = name
        while unique in rows:
            unique, number = f"{name} ({number})", number + 1
        rows[unique] = _figures(card, one)
    return rows


def _figures(card: Card, counted: Confusion | Fidelity) -> dict[str, float]:
    if isinstance(counted, Confusion) and isinstance(card.output, ClassesOutput):
        return counted.figures([item.name for item in card.output.classes])
    return counted.figures([])


def _span(output: ImageOutput) -> float:
    return output.range[1] - output.range[0]
