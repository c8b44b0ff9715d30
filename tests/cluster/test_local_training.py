"""A training on a real cluster, from and to a store: submitted, followed, asked for, cancelled, and gone on with."""

from __future__ import annotations

import json
import os

import pytest
import yaml
from cluster.place import Place
from train.test_cli_train import write_pairs
from train.trainings import CLASSES

from encdec_batch.models.package import load_package
from encdec_batch.spec.load_train import load_train_spec
from encdec_batch.store.open import open_store
from encdec_batch.train.learning.checkpoint import Checkpoints
from encdec_batch.train.running.collect import collect
from encdec_batch.train.running.run import train
from encdec_batch.train.tracking.curve import read_curve

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif("ENCDEC_LONG" not in os.environ, reason="takes minutes: `make long`"),
]

STEPS, FOR_EVER = 20, 100_000


@pytest.fixture(scope="module")
def labelled(place: Place):
    """Scenes and their masks on the store; and a cluster of two nodes, whatever befell them before."""
    for name in ("one", "two"):
        if place.cluster.workers[name].process.poll() is not None:
            place.cluster.add(name)
    folder = place.folder / "labelled"
    write_pairs(folder)
    store = open_store(f"{place.bucket}/labelled", place.s3.options)
    for path in folder.glob("*/*.tif"):
        store.put(path.relative_to(folder).as_posix(), path.read_bytes())
    return f"{place.bucket}/labelled"


def write_spec(place: Place, labelled: str, name: str, *, steps: int, address: str = "auto"):
    """A training spec with all it names on the store."""
    storage = dict(place.s3.options)
    stream = {"kind": "ray", "address": address, "workers": 1, "cpus_per_worker": 0.5}
    values = {
        "data": {
            "train": {"kind": "folders", "images": f"{labelled}/images", "targets": f"{labelled}/targets"}
            | {"storage": storage},
            "split": {"kind": "hash", "share": 0.4},
            "target": {"kind": "mask", "classes": CLASSES},
            "sampling": {"crop": 32, "samples": 24},
            "loading": {"workers": 1, "cpus_per_worker": 0.5},
        },
        "network": {"architecture": "unet", "arguments": {"width": 4, "depth": 1}},
        "learn": {"losses": [{"kind": "dice"}], "steps": steps, "batch": 8},
        "card": {"name": name, "task": "semantic-segmentation", "data": "squares", "licence": "CC0"},
        "output": {
            "uri": f"{place.bucket}/{name}/training",
            "storage": storage,
            "package": f"{place.bucket}/{name}/package",
            "package_storage": storage,
            "registry": f"{place.bucket}/{name}/registry",
            "registry_storage": storage,
            "checkpoint_every": 5,
            "log_every": 5,
        },
        "compute": {"stream": stream if address else {"kind": "local"}, "device": "cpu", "precision": "float32"},
    }
    path = place.folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def steps_of(place: Place, name: str) -> int:
    """Of the newest checkpoint."""
    newest = Checkpoints(open_store(f"{place.bucket}/{name}/training", place.s3.options)).newest()
    return newest.step if newest else 0


def points(place: Place, name: str):
    """Of the curve, without those of evaluations."""
    store = open_store(f"{place.bucket}/{name}/training", place.s3.options)
    return [point for point in read_curve(store) if "loss" in point]


def test_from_labelled_scenes_to_a_package(place, labelled):
    spec = write_spec(place, labelled, "squares", steps=STEPS)
    sent = place.command("submit", spec, "--follow", "--id", "squares")
    assert (sent.returncode, sent.stdout) == (0, "squares\n"), sent.stderr
    assert f"training  {STEPS}/{STEPS} steps" in sent.stderr
    told = json.loads(place.command("status", "squares", "--json").stdout)
    assert (told["state"], told["output"]) == ("succeeded", f"{place.bucket}/squares/training")
    assert place.command("logs", "squares").stdout in sent.stderr

    here = load_train_spec(write_spec(place, labelled, "here", steps=STEPS, address=""))
    train(here, lambda: collect(here))
    curves = [[point["loss"] for point in points(place, name)] for name in ("squares", "here")]
    assert len(curves[0]) == STEPS // 5
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)
    assert load_package(f"{place.bucket}/squares/package", place.s3.options).card.name == "squares"
    assert load_package(f"{place.bucket}/squares/registry/squares@1.0.0", place.s3.options).card.name == "squares"


def test_a_training_that_is_finished_is_not_trained_again(place, labelled):
    """After the test before."""
    spec = write_spec(place, labelled, "squares", steps=STEPS)
    by_id = place.command("submit", spec, "--id", "squares")
    assert (by_id.returncode, by_id.stdout) == (0, "squares\n")
    assert "squares: submitted before (succeeded)" in by_id.stderr
    anew = place.command("submit", spec, "--follow")
    assert anew.returncode == 0, anew.stderr
    assert "finished before; nothing was to do" in anew.stderr


def test_a_cancelled_training_goes_on_from_its_checkpoint(place, labelled):
    spec = write_spec(place, labelled, "endless", steps=FOR_EVER)
    assert place.command("submit", spec, "--id", "endless").stdout == "endless\n"
    place.wait_for("endless", lambda: steps_of(place, "endless") > 0, what="checkpoint")
    cancelled = place.command("cancel", "endless")
    assert (cancelled.returncode, cancelled.stdout) == (0, "endless: stopped\n"), cancelled.stderr
    reached = steps_of(place, "endless")
    store = open_store(f"{place.bucket}/endless/training", place.s3.options)
    [lease] = store.list(".encdec/lease/")
    assert json.loads(store.get(lease.path))["ended"] is True

    again = place.command("submit", spec, "--id", "endless")
    assert (again.returncode, again.stdout) == (0, "endless.2\n"), again.stderr
    place.wait_for("endless.2", lambda: steps_of(place, "endless") > reached, what="later checkpoint")
    assert place.command("cancel", "endless.2").stdout == "endless.2: stopped\n"
    steps = [point["step"] for point in points(place, "endless")]
    assert steps == sorted(set(steps))
