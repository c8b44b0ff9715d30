"""`python -m bench recipes`: a package beside plain methods, counted as `encdec-batch evaluate` counts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from train.made import write_pairs
from train.squares import Scenes
from train.trainings import material, train_spec

from bench.__main__ import main
from bench.recipes import judged
from encdec_batch.models.card import ConstantNormalization
from encdec_batch.models.package import load_package
from encdec_batch.networks.unet import UNet
from encdec_batch.spec.load_train import load_train_spec
from encdec_batch.train.dataset.normalization import units_of
from encdec_batch.train.evaluation.evaluate import evaluate, plain
from encdec_batch.train.learning.signature import output_of
from encdec_batch.train.packaging.draft import Drafts
from encdec_batch.train.running.collect import examples_for
from jobs.scores.task import Task

ROOT = Path(__file__).parents[2]
NUCLEI = ROOT / "jobs/packages/nuclei"
TARGETS = {
    "mask": {
        "kind": "mask",
        "classes": [{"id": n, "name": name, "color": [n, 0, 0]} for n, name in enumerate(("background", "nucleus"))],
    },
    "clean": {"kind": "clean", "noise": {"kind": "gaussian", "sigma": 25}},
    "high_resolution": {"kind": "high_resolution", "scale": 2},
    "image": {"kind": "image", "bands": [3]},
}


def write_spec(folder: Path, kind: str) -> Path:
    write_pairs(folder, 6)
    pairs = {"kind": "folders", "images": "images", "targets": "masks"}
    alone = {"kind": "images", "uri": "images", "bands": [1, 2] if kind == "image" else None}
    values = {
        "data": {
            "train": pairs if kind == "mask" else alone,
            "split": {"kind": "hash", "share": 0.5},
            "target": TARGETS[kind],
            "normalization": {"kind": "estimate", "per_band": kind in {"mask", "image"}},
            "sampling": {"crop": 16},
        },
        "network": {"architecture": "unet"},
        "learn": {"losses": [{"kind": "cross_entropy" if kind == "mask" else "l1"}], "steps": 1},
        "card": {"name": "made", "task": "test", "data": "made", "licence": "CC0"},
        "output": {"uri": "training", "package": "package"},
    }
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["recipes", *map(str, arguments)])
    return int(ended.value.code or 0)


def test_a_package_has_the_figures_that_evaluate_gives_it(tmp_path, capsys):
    path = write_spec(tmp_path, "mask")
    assert run(path, "--package", NUCLEI, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    package, *methods = printed["figures"]
    assert (package, methods) == ("nuclei 1.1.0", ["majority class", "Otsu", "Otsu, smaller side", "best threshold"])
    nuclei = load_package(str(NUCLEI))
    wanted = evaluate(nuclei, examples_for(nuclei.card, load_train_spec(path)))
    found = printed["figures"][package]
    assert printed["scenes"] == wanted.overall["scenes"]
    assert {name: found[name] for name in found.keys() & wanted.overall} == {
        name: value for name, value in plain(wanted.overall).items() if name != "scenes"
    }
    # Masks are where the first band is bright.
    assert printed["figures"]["best threshold"]["mean_iou"] > 0.98
    assert found["weighted_f1"] > 0


@pytest.mark.parametrize("kind", ["mask", "clean", "high_resolution", "image"])
def test_plain_methods_alone_need_no_package(tmp_path, capsys, kind):
    path = write_spec(tmp_path, kind)
    assert run(path, "--baseline") == 0
    first, head, *lines = capsys.readouterr().out.splitlines()
    assert first.endswith(" validation scenes")
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    shown = {
        "mask": {"majority class": "iou/nucleus", "Otsu": "weighted_f1"},
        "clean": {"noisy input": "psnr_file", "median 5x5": "ssim", "non-local means": "mae"},
        "high_resolution": {"bicubic": "psnr_y"},
        "image": {"linear regression": "ndvi_mae", "mean": "sharpness"},
    }[kind]
    page = (ROOT / "docs/scores.md").read_text()
    assert [name for name in rows if f"`{name.partition('/')[0]}" not in page] == []
    for method, figure in shown.items():
        assert method in head
        assert all(np.isfinite(float(value)) for value in rows[figure] if value != "-")
    if kind == "clean":
        # Of noise of 25 on values that are clipped: a little above 20 log10(255 / 25) = 20.17 dB.
        assert 20.1 < float(rows["psnr"][0]) < 20.25 < float(rows["psnr_file"][0])


def test_images_have_the_figures_that_evaluate_gives_them(tmp_path):
    network = UNet(2, 1, width=4, depth=1, norm="none").eval()
    spec, known = train_spec(tmp_path, kind="image"), material(kind="image")
    package = Drafts(spec, known).make(network)
    assert isinstance(known.facts.normalization, ConstantNormalization)
    task = Task(
        target=spec.data.target, output=output_of(spec, known.facts), units=units_of(known.facts.normalization, None),
        dtype="uint8", num_bands=2, class_pixels=(), red=False, train=Scenes(kind="image"), val=Scenes(kind="image"),
    )  # fmt: skip
    found = judged(task, [package, package])
    wanted = evaluate(package, Scenes(kind="image")).overall
    assert {name: found["squares 1.0.0"][name] for name in wanted if name != "scenes"} == pytest.approx(
        {name: value for name, value in wanted.items() if name != "scenes"}
    )
    assert list(found) == ["squares 1.0.0", package.uri, "mean", "linear regression"]
    assert found["linear regression"]["mae"] < found["mean"]["mae"]


def test_mistakes_are_said_in_a_line(tmp_path, capsys):
    path = write_spec(tmp_path, "clean")
    assert run(path, "--package", NUCLEI) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: nuclei is no package of this task")
    assert run(path) == 1
    assert "package" in capsys.readouterr().err
    assert run(path, "--baseline", "--set", "data.split.kind=none") == 2
    assert run(tmp_path / "none.yaml") == 2
