"""What a training costs beyond its steps: images a second by one thread against a bare loop, and waiting for data."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import tifffile
import yaml

from bench import bare_loop
from bench.bare_loop import Task
from bench.figure import Bench, Figure
from bench.jobs import COMMAND
from encdec_batch.spec.load_train import load_train_spec
from encdec_batch.spec.train import TrainSpec
from encdec_batch.store.open import open_store
from encdec_batch.train.batch import Turn
from encdec_batch.train.dataset.prepare import prepare
from encdec_batch.train.running.collect import facts_of
from encdec_batch.train.samples.local_batches import LocalBatches
from encdec_batch.train.tracking.curve import EVENTS, read_curve

JOBS = Path(__file__).parents[1] / "jobs"
RECIPES = ("train-nuclei", "train-unet-camvid")
"""A small network on small windows, whose data have to come quickly, and one of 1.9 M parameters on larger ones."""
EPOCH = {"train-nuclei": 240, "train-unet-camvid": 160, "made": 40}
"""Samples of an epoch; scenes that were not in the first are decoded later, as it comes."""
LAST = {"train-nuclei": 100, "train-unet-camvid": 40, "made": 10}
"""Steps that are timed, after the first epoch; so many of the bare loop too."""
LOG_EVERY = 10
"""Steps, as by default; whole epochs end with a point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Of one training, after its first epoch."""

    images_per_s: float
    """By the clock, from one point of the curve to the last: what is done between two steps counts."""
    waited: float
    """Share of the time of steps in which the network had no batch."""


def measure(bench: Bench) -> Figure:
    figure = Figure(
        title="training: one thread and one process that makes its batches, against a bare loop of one thread"
    )
    there = (JOBS.parent / "data").is_dir()
    for name in bench.pick(RECIPES, ("made",)) if there else ("made",):
        file = _made(bench.folder / "training-made") if name == "made" else JOBS / f"{name}.yaml"
        _measure_recipe(bench, figure, name, file)
    figure.notes.append("images_per_s after the first epoch, without evaluation and publishing; of_bare: median of")
    figure.notes.append("each round's ratio; bare: the same network, precision and step on tensors that lie in memory")
    if not there:
        figure.notes.append("the data of the recipes do not lie in data/ (docs/recipes.md): made squares alone")
    return figure


def _measure_recipe(bench: Bench, figure: Figure, name: str, file: Path) -> None:
    folder = bench.folder / "training" / name
    changes = _changes(name, folder)
    task = _task(load_train_spec(file, changes), LAST[name])
    found: dict[str, list[tuple[Rate, float]]] = {kind: [] for kind in bench.streams}
    for _ in range(bench.rounds):
        bare = bare_loop.images_per_s(task)
        for kind, rates in found.items():
            rates.append((_train(file, [*changes, f"compute.stream={{kind: {kind}}}"], folder, task.spec), bare))
    for kind, rates in found.items():
        figure.row(
            recipe=name,
            stream=kind,
            bare_images_per_s=median(bare for _, bare in rates),
            images_per_s=median(rate.images_per_s for rate, _ in rates),
            of_bare=median(rate.images_per_s / bare for rate, bare in rates),
            waited=median(rate.waited for rate, _ in rates),
        )


def _changes(name: str, folder: Path) -> list[str]:
    """A loss that plain torch has too, and nothing but steps after the first epoch."""
    samples = EPOCH[name]
    batch = 4 if name == "made" else yaml.safe_load((JOBS / f"{name}.yaml").read_text())["learn"]["batch"]
    steps = samples // batch + LAST[name]
    return [
        "data.split={kind: none}",
        f"data.sampling.samples={samples}",
        "learn.losses=[{kind: cross_entropy}]",
        f"learn.steps={steps}",
        "learn.warmup=0",
        "network.arguments={width: 8, depth: 4}" if name == "train-nuclei" else "network.architecture=unet",
        f"output={{uri: {folder / 'training'}, package: {folder / 'package'}}}",
        f"output.checkpoint_every={steps}",
        f"output.log_every={LOG_EVERY}",
        "compute={threads: 1, device: cpu}",
    ]


def _task(spec: TrainSpec, steps: int) -> Task:
    prepared = prepare(spec.data)
    turn = Turn(seed=spec.learn.seed, epoch=0, global_batch=spec.learn.batch)
    batches = tuple(islice(LocalBatches(prepared, spec.data).epoch(turn), 4))
    return Task(spec=spec, facts=facts_of(prepared), batches=batches, steps=steps)


def _train(file: Path, changes: list[str], folder: Path, spec: TrainSpec) -> Rate:
    """By the command line, as a user trains."""
    shutil.rmtree(folder, ignore_errors=True)
    said = [word for change in changes for word in ("--set", change)]
    subprocess.run([*COMMAND, "train", str(file), *said, "--json"], check=True, stdout=subprocess.DEVNULL)
    first = spec.data.sampling.samples // spec.learn.batch
    points = [one for one in read_curve(open_store(spec.output.uri)) if one["step"] > first]
    seconds = [spec.learn.batch / one["images_per_s"] for one in points]
    waited = sum(one["waited"] * second for one, second in zip(points, seconds, strict=True))
    clock = _clock(folder / "training")
    taken = clock[spec.learn.steps] - clock[first]
    return Rate(
        images_per_s=spec.learn.batch * (spec.learn.steps - first) / taken,
        waited=waited / sum(seconds),
    )


def _clock(training: Path) -> dict[int, float]:
    """Seconds at which each step's loss was written, by TensorBoard's file: records of length, checksum, protobuf,
    checksum.
    """
    from tensorboardX.proto.event_pb2 import Event

    found: dict[int, float] = {}
    for path in sorted((training / EVENTS).iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            event = Event.FromString(data[at + 12 : at + 12 + length])
            if any(value.tag == "loss" for value in event.summary.value):
                found[event.step] = event.wall_time
            at += 16 + length
    return found


def _made(folder: Path) -> Path:
    """A spec and six pairs of bright squares, for a run that only shows that it runs."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(6):
        mask = np.zeros((96, 96), np.uint8)
        row, col = rng.integers(8, 60, 2)
        mask[row : row + 24, col : col + 24] = 1
        image = (mask * 90 + rng.integers(0, 120, mask.shape)).astype(np.uint8)
        tifffile.imwrite(folder / "images" / f"{number}.tif", image)
        tifffile.imwrite(folder / "masks" / f"{number}.tif", mask)
    spec: dict[str, Any] = {
        "data": {
            "train": {"kind": "folders", "images": "images", "targets": "masks"},
            "split": {"kind": "none"},
            "target": {
                "kind": "mask",
                "classes": [
                    {"id": 0, "name": "dark", "color": [0, 0, 0]},
                    {"id": 1, "name": "bright", "color": [255, 255, 0]},
                ],
            },
            "sampling": {"crop": 48},
        },
        "network": {"architecture": "unet", "arguments": {"width": 4, "depth": 2}},
        "learn": {"losses": [{"kind": "cross_entropy"}], "steps": 1, "batch": 4},
        "card": {"name": "made", "task": "segmentation", "data": "made squares", "licence": "CC0"},
        "output": {"uri": "training", "package": "package"},
    }
    file = folder / "train.yaml"
    file.write_text(yaml.safe_dump(spec))
    return file
