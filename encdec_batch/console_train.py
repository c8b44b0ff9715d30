"""What a person sees in a terminal of a training and of a judged package."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isnan
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from encdec_batch.console import LINE_EVERY_S, timestamp
from encdec_batch.report.page import format_duration, format_number

if TYPE_CHECKING:
    # What is printed by one command is imported by that command: torch comes with it.
    from encdec_batch.models.package import Package
    from encdec_batch.train.evaluation.evaluate import Evaluation
    from encdec_batch.train.running.run import TrainSummary
    from encdec_batch.train.tracking.progress import Progress

_MAIN = ("mean_iou", "mean_dice", "accuracy", "psnr", "ssim", "mae")
_SHOWN_SCENES = 20


class TrainLine:
    """Shows how far a training is: a live line in a terminal, else a line every 30 s and at the end."""

    def __init__(self, console: Console) -> None:
        self._console, self._said = console, 0.0
        self._live = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("steps  {task.fields[figures]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._live.add_task("training", total=None, figures="looking through the data")

    @contextmanager
    def shown(self) -> Iterator[TrainLine]:
        if not self._console.is_terminal:
            yield self
            return
        with self._live:
            yield self

    def __call__(self, now: Progress) -> None:
        if self._console.is_terminal:
            self._live.update(self._task, completed=now.step, total=now.steps, figures=figures_of(now))
        elif now.step == now.steps or time.monotonic() - self._said >= LINE_EVERY_S:
            self._said = time.monotonic()
            line = f"{timestamp()}  training  {now.step}/{now.steps} steps  {figures_of(now)}"
            self._console.print(line, highlight=False, soft_wrap=True)


def figures_of(now: Progress) -> str:
    """Loss, rate, what is left, and the newest scores."""
    parts = [f"loss {now.loss:.4g}"] if now.loss is not None else []
    parts.append(f"{format_number(now.images_per_s)} images/s")
    if now.waited >= 0.01:
        parts.append(f"{100 * now.waited:.0f} % waiting for data")
    if now.workers > 1:
        parts.append(f"{now.workers} workers")
    if now.seconds_left is not None and now.step < now.steps:
        parts.append(f"{format_duration(now.seconds_left)} left")
    parts += [f"val {said}" for said in scores_said(now.scores)[:1]]
    return "  ".join(parts)


def print_trained(console: Console, summary: TrainSummary) -> None:
    began = "finished before; nothing was to do" if summary.already else f"complete: {summary.steps} steps"
    chosen = f"; the weights of step {summary.step}, the best" if summary.step < summary.steps else ""
    console.print(f"{began}{chosen}", highlight=False, soft_wrap=True)
    if summary.scores:
        console.print(f"val      {', '.join(scores_said(summary.scores))}", highlight=False, soft_wrap=True)
    console.print(f"package  {summary.package}", highlight=False, soft_wrap=True)
    if summary.registered:
        console.print(f"registry {summary.registered}", highlight=False, soft_wrap=True)
    console.print(f"digest   {summary.digest}", highlight=False, soft_wrap=True)


def print_evaluation(console: Console, package: Package, found: Evaluation) -> None:
    card = package.card
    console.print(f"{card.name} {card.version}  {package.uri}  {found.precision}", highlight=False, soft_wrap=True)
    names = [name for name in _MAIN if name in found.overall]
    table = Table("scene", *names, box=None, padding=(0, 2, 0, 0))
    for scene, row in list(found.scenes.items())[:_SHOWN_SCENES]:
        table.add_row(scene.rpartition("/")[2], *(_said(row.get(name)) for name in names))
    table.add_row("all", *(_said(found.overall.get(name)) for name in names))
    console.print(table)
    if (more := len(found.scenes) - _SHOWN_SCENES) > 0:
        console.print(f"and {more} more scenes, evaluate --json lists them", highlight=False)
    by_class = {name: value for name, value in found.overall.items() if name.startswith("iou/")}
    for name, value in by_class.items():
        console.print(f"IoU of {name.removeprefix('iou/')}: {_said(value)}", highlight=False, soft_wrap=True)


def scores_said(scores: Mapping[str, float | None]) -> list[str]:
    """`mean_iou 0.81`, the most important first; classes are left out."""
    return [f"{name} {_said(scores[name])}" for name in _MAIN if name in scores]


def _said(value: float | None) -> str:
    if value is None or isnan(value):
        return "-"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"
