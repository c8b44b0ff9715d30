"""Whole small trainings on squares in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from train.squares import Scenes, Squares

from encdec_batch.models.card import ConstantNormalization
from encdec_batch.spec.load_train import parse_train_spec
from encdec_batch.spec.train import TrainSpec
from encdec_batch.train.material import Facts, Material

CLASSES = [{"id": 0, "name": "dark", "color": [0, 0, 0]}, {"id": 7, "name": "bright", "color": [255, 255, 0]}]


def train_spec(folder: Path, changes: dict[str, Any] | None = None, *, kind: str = "classes") -> TrainSpec:
    """A training of seconds in this process; `changes` by dotted key."""
    target: dict[str, Any] = {"kind": "mask", "classes": CLASSES}
    if kind == "image":
        target = {"kind": "image", "range": [0, 1], "to": [0, 1]}
    values: dict[str, Any] = {
        "data": {
            "train": {"kind": "folders", "images": str(folder / "images"), "targets": str(folder / "targets")},
            "split": {"kind": "hash"},
            "target": target,
            "sampling": {"crop": 32},
        },
        "network": {"architecture": "unet", "arguments": {"width": 4, "depth": 1, "norm": "none"}},
        "learn": {
            "losses": [{"kind": "cross_entropy"}] if kind == "classes" else [{"kind": "l1"}],
            "steps": 12,
            "batch": 8,
            "optimizer": {"kind": "adamw", "learning_rate": 0.01},
        },
        "card": {"name": "squares", "task": "test", "data": "squares", "licence": "CC0"},
        "output": {
            "uri": str(folder / "training"),
            "package": str(folder / "package"),
            "checkpoint_every": 4,
            "log_every": 1,
        },
        "compute": {"stream": {"kind": "local"}, "device": "cpu", "precision": "float32"},
    }
    for key, value in (changes or {}).items():
        *parents, last = key.split(".")
        section = values
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    return parse_train_spec(values)


def material(*, kind: str = "classes", batches: Any = None, **facts: Any) -> Material:
    """Squares to learn from, and scenes of them to judge on."""
    found: dict[str, Any] = {
        "num_bands": 2,
        "dtypes": ("uint8",),
        "target_bands": 0 if kind == "classes" else 1,
        "normalization": ConstantNormalization(kind="constants", mean=(100.0, 100.0), std=(50.0, 50.0)),
        "class_pixels": (900, 100),
        "class_presence": (1000, 1000),
        "split_note": "by hash",
        "leak_note": "",
        "digest": "d" * 64,
    }
    return Material(
        facts=Facts(**found | facts),
        batches=batches or Squares(kind=kind),
        examples=Scenes(kind=kind),
        sample=np.random.default_rng(0).integers(0, 255, (2, 128, 128), dtype=np.uint8),
    )
