"""Packages that tests make: a small network with random weights, and the card that goes with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from encdec_batch.models.card import BandCard, ClassCard, ClassesOutput, ConstantNormalization, Declared, TrainingCard
from encdec_batch.networks.unet import UNet

ARGUMENTS = {"in_channels": 2, "out_channels": 2, "width": 2, "depth": 2}


def network(seed: int = 0, **arguments: Any) -> UNet:
    torch.manual_seed(seed)
    return UNet(**(ARGUMENTS | arguments)).eval()


def declared(**changes: Any) -> Declared:
    classes = tuple(ClassCard(id=i, name=name, color=(i, 0, 0)) for i, name in enumerate(("no", "yes")))
    fields: dict[str, Any] = {
        "name": "made-for-tests",
        "version": "1",
        "task": "semantic-segmentation",
        "architecture": "unet",
        "arguments": ARGUMENTS,
        "bands": (BandCard(name="a"), BandCard(name="b")),
        "dtypes": ("uint8",),
        "normalization": ConstantNormalization(kind="constants", mean=(100.0, 90.0), std=(50.0, 40.0)),
        "output": ClassesOutput(kind="classes", activation="softmax", classes=classes),
        "training": TrainingCard(data="none", licence="none"),
    }
    return Declared(**(fields | changes))


def sample(bands: int = 2, side: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (bands, side, side), dtype=np.uint8)
