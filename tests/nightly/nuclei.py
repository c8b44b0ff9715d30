"""Real nuclei that arrive in portions: crops of the 2018 Data Science Bowl, as labelled scenes below one folder."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NUCLEI = Path(__file__).parents[3] / "shared/data/dsb2018_nuclei"
SIDE = 64


@cache
def crops() -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and masks (0, 1) of fluorescence, as many as there are: in each the square with the most nuclei."""
    found = []
    with (NUCLEI / "train.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "fluo256"]
    for row in rows:
        image, labels = (np.asarray(Image.open(NUCLEI / row[key])) for key in ("image", "label"))
        image = image if image.ndim == 2 else image[..., 0]
        places = [(r, c) for r in range(0, 193, 64) for c in range(0, 193, 64)]
        r, c = max(places, key=lambda at: np.count_nonzero(labels[at[0] : at[0] + SIDE, at[1] : at[1] + SIDE]))
        part = np.s_[r : r + SIDE, c : c + SIDE]
        found.append((image[part], (labels[part] > 0).astype(np.uint8)))
    return found


def deliver(folder: Path, portion: str, first: int, count: int, *, poisoned: bool = False) -> None:
    """A portion of labelled scenes arrives; poisoned: what is nucleus and what is not are confused."""
    for number, (image, mask) in enumerate(crops()[first : first + count], first):
        for name, pixels in (("images", image), ("masks", 1 - mask if poisoned else mask)):
            path = folder / name / portion / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)


def nightly_values(folder: Path, **changes: Any) -> dict[str, Any]:
    """A nightly job of seconds in this process; `changes` by dotted key, written with two underscores."""
    values: dict[str, Any] = {
        "registry": str(folder / "registry"),
        "output": {"uri": str(folder / "nights")},
        "train": {
            "data": {
                "train": {"kind": "folders", "images": str(folder / "images"), "targets": str(folder / "masks")},
                "target": {
                    "kind": "mask",
                    "classes": [
                        {"id": 0, "name": "background", "color": [20, 20, 40]},
                        {"id": 1, "name": "nucleus", "color": [255, 196, 0]},
                    ],
                },
                "sampling": {"crop": 48, "weight": "scene", "samples": 64},
                "augment": {"flips": ["horizontal", "vertical"], "turns": True},
            },
            "network": {"architecture": "unet", "arguments": {"width": 4, "depth": 2, "out_channels": 1}},
            "learn": {
                "losses": [{"kind": "cross_entropy"}, {"kind": "dice"}],
                "steps": 40,
                "batch": 8,
                "optimizer": {"kind": "adamw", "learning_rate": 0.01},
            },
            "card": {"name": "nuclei", "task": "semantic-segmentation", "data": "BBBC038", "licence": "CC0"},
            "compute": {"stream": {"kind": "local"}, "device": "cpu", "precision": "float32"},
            "checkpoint_every": 5,
        },
        "new_scenes": 8,
        "split": {"held_out": 0.3, "audit": 0.15, "audit_scenes": 4},
        "judge": {"least_scenes": 6, "resamples": 2000, "groups": {"kind": "folder"}, "pictures": 4},
    }
    for key, value in changes.items():
        *parents, last = key.split("__")
        section = values
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    return values
