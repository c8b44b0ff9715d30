"""`python -m bench recipes JOB.yaml`: a trained package beside plain methods, on the same pixels, counted the same way.

The scenes are those that the spec validates on, read, degraded and predicted as `encdec-batch evaluate` does.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from math import isnan
from pathlib import Path

from encdec_batch.errors import EncdecError, SpecError
from encdec_batch.models.package import Package, load_package
from encdec_batch.spec.load_train import load_train_spec
from encdec_batch.spec.train import TrainSpec
from encdec_batch.train.evaluation.evaluate import Seen, evaluate, plain
from jobs.scores.baselines import Predict, baselines_of
from jobs.scores.tally import Tally, tally_of
from jobs.scores.task import Task

_LEFT_OUT = ("precision/", "recall/", "pixels", "pooled_psnr")
"""Of the table; JSON has all."""


def main(arguments: list[str]) -> int:
    """Prints the figures; the exit code."""
    said = _parser().parse_args(arguments)
    try:
        spec = load_train_spec(said.spec, said.set)
        packages = [] if said.baseline else [load_package(uri) for uri in said.package] or [_of_spec(spec)]
        task = Task.of(spec)
        found = judged(task, packages)
    except EncdecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, SpecError) else 1
    if said.json:
        rows = {name: plain(figures) for name, figures in found.items()}
        print(json.dumps({"spec": str(said.spec), "scenes": len(task.val), "figures": rows}))
    else:
        print(f"{said.spec}: {len(task.val)} validation scenes\n{table(found)}")
    return 0


def judged(task: Task, packages: list[Package]) -> dict[str, dict[str, float]]:
    """Figures by contestant: packages first, then the plain methods.

    Raises:
        SpecError: a package is of another task.
        EncdecError: a scene cannot be read.
    """
    for package in packages:
        task.check(package.card)
    found = {}
    for package in packages:
        tally = tally_of(task)

        def count(seen: Seen, tally: Tally = tally, package: Package = package) -> None:
            tally.add(seen.example, task.in_these_units(seen.prediction, package.card))

        evaluate(package, task.val, on_scene=count)
        name = f"{package.card.name} {package.card.version}"
        found[name if name not in found else package.uri] = tally.figures()
    return found | plainly(task, baselines_of(task))


def plainly(task: Task, methods: Mapping[str, Predict]) -> dict[str, dict[str, float]]:
    """Figures of plain methods, each of which sees every scene once."""
    tallies = {name: tally_of(task) for name in methods}
    for example in task.val:
        for name, predict in methods.items():
            tallies[name].add(example, predict(example))
    return {name: tally.figures() for name, tally in tallies.items()}


def table(found: Mapping[str, Mapping[str, float]]) -> str:
    """A line for each figure, a column for each contestant."""
    figures = [name for name in next(iter(found.values())) if not name.startswith(_LEFT_OUT)]
    lines = [["", *found], *([name, *(_said(row[name]) for row in found.values())] for name in figures)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines
    )


def _of_spec(spec: TrainSpec) -> Package:
    return load_package(spec.output.package, spec.output.package_storage)


def _said(value: float) -> str:
    if isnan(value):
        return "-"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench recipes", description=__doc__)
    parser.add_argument("spec", type=Path, metavar="JOB.yaml", help="of a training, e.g. one of jobs/")
    parser.add_argument(
        "--package", action="append", default=[], metavar="DIR", help="another than the spec's; once more for a second"
    )
    parser.add_argument("--baseline", action="store_true", help="the plain methods alone: needs no package")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of the spec")
    parser.add_argument("--json", action="store_true", help="print all figures as one JSON object")
    return parser
