"""A training on real images, as small as shows that it learns: nuclei of the 2018 Data Science Bowl."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from e2e.made import command

NUCLEI = Path(__file__).parents[3] / "shared/data/dsb2018_nuclei"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not NUCLEI.exists(), reason="../shared/data/dsb2018_nuclei is not there"),
]


def test_nuclei_are_found_better_than_by_saying_what_is_most_frequent(tmp_path):
    """The baseline: everything is background. Its IoU of nuclei is 0, its accuracy the share of background."""
    table = {"kind": "table", "target": "label"}
    spec = {
        "data": {
            "train": {**table, "uri": str(NUCLEI / "train.csv")},
            "split": {"kind": "pairs", "pairs": {**table, "uri": str(NUCLEI / "val.csv")}},
            "target": {
                "kind": "mask",
                "classes": [
                    {"id": 0, "name": "background", "color": [0, 0, 0], "values": [0]},
                    {"id": 1, "name": "nucleus", "color": [255, 200, 0], "values": [[1, 65535]]},
                ],
            },
            "expand_single_band": True,
            "allow_leak": "a trial: images of one plate are on both sides",
            "sampling": {"crop": 128},
            "augment": {"flips": ["horizontal", "vertical"], "turns": True},
        },
        "network": {"architecture": "unet", "arguments": {"width": 8, "depth": 3, "out_channels": 1}},
        "learn": {
            "losses": [{"kind": "cross_entropy"}, {"kind": "dice"}],
            "steps": 150,
            "batch": 8,
            "warmup": 5,
            "optimizer": {"kind": "adamw", "learning_rate": 4e-3},
        },
        "card": {"name": "nuclei", "task": "semantic-segmentation", "data": "BBBC038", "licence": "CC0"},
        "output": {"uri": "training", "package": "package"},
        "compute": {"stream": {"kind": "local"}},
    }
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(spec))
    ended = command("train", tmp_path / "train.yaml", "--json")
    assert ended.code == 0, ended.stderr
    scores = ended.result["scores"]
    # Recall and IoU give the share of each class: of what is background, and so right when everything is called that.
    truly, called = scores["recall/nucleus"], scores["precision/nucleus"]
    wrong = 1 - scores["accuracy"]
    share = wrong / ((1 - truly) + truly * (1 / called - 1))
    assert scores["accuracy"] > 1 - share
    assert scores["iou/nucleus"] > 0.5
