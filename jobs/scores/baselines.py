"""Which plain methods a task is held to, each ready to predict a scene."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.spec.train_target import CleanTarget, HighResolutionTarget, MaskTarget
from encdec_batch.train.batch import Example
from jobs.scores.restoration import bicubic, median, nl_means
from jobs.scores.task import Task
from jobs.scores.thresholds import as_usual, best_threshold, brighter_class, otsu, otsu_minority, usual_classes
from jobs.scores.translation import fit

Predict = Callable[[Example], NDArray[Any]]
"""As a network predicts: (kH, kW) channels, or (C, kH, kW) in the network's units."""


def baselines_of(task: Task) -> dict[str, Predict]:
    """By name. What they know, they have from the training scenes alone, and denoisers the strength of the noise."""
    if isinstance(task.target, MaskTarget):
        return _of_classes(task)
    if isinstance(task.target, CleanTarget):
        return {
            "noisy input": lambda one: task.units.normalised(one.pixels),
            "median 3x3": lambda one: task.units.normalised(median(one.pixels, 3)),
            "median 5x5": lambda one: task.units.normalised(median(one.pixels, 5)),
            "non-local means": lambda one: task.units.normalised(nl_means(one.pixels, task.sigma_of(one))),
        }
    if isinstance(task.target, HighResolutionTarget):
        scale = task.target.scale
        return {"bicubic": lambda one: task.units.normalised(bicubic(one.pixels, scale))}
    mean, linear = fit(task.labelled())
    return {"mean": lambda one: mean(one.pixels), "linear regression": lambda one: linear(one.pixels)}


def _of_classes(task: Task) -> dict[str, Predict]:
    counts = task.class_pixels
    found: dict[str, Predict] = {"majority class": partial(_constant, channel=int(np.argmax(counts)))}
    if len(counts) == 2:
        above, rare, threshold = brighter_class(task.labelled), int(np.argmin(counts)), best_threshold(task.labelled)
        found |= {
            "Otsu": lambda one: otsu(one.pixels, one.valid_mask, above=above),
            "Otsu, smaller side": lambda one: otsu_minority(one.pixels, one.valid_mask, rare=rare),
            "best threshold": lambda one: threshold(one.pixels),
        }
    else:
        usual = usual_classes(task.labelled, len(counts))
        found["usual class of the place"] = lambda one: as_usual(usual, *one.target.shape)
    return found


def _constant(example: Example, *, channel: int) -> NDArray[np.int64]:
    return np.full(example.target.shape, channel, np.int64)
