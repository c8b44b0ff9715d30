"""Whole trainings in one process: to a package, and on again from wherever they ended."""

from __future__ import annotations

import json
import re
import resource
import shutil
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from train.learning.test_loop import Threads
from train.squares import Scenes, Squares
from train.trainings import material, train_spec

from encdec_batch.commit.holder import HolderInfo
from encdec_batch.commit.lease import acquire_lease
from encdec_batch.errors import CheckpointError, EncdecError, LeaseHeld, LossNotFinite, PermanentStoreError, SpecError
from encdec_batch.models.package import load_package
from encdec_batch.predict.array import predict_array
from encdec_batch.predict.resolve import device_for
from encdec_batch.spec.source import IMAGE_SUFFIXES
from encdec_batch.store.open import open_store
from encdec_batch.train.evaluation.evaluate import evaluate
from encdec_batch.train.learning.checkpoint import Checkpoints
from encdec_batch.train.learning.signature import check_bands
from encdec_batch.train.packaging.draft import precision_of_a_job
from encdec_batch.train.running.ray_train import Given
from encdec_batch.train.running.run import train
from encdec_batch.train.running.session import Session
from encdec_batch.train.tracking.curve import read_curve

pytestmark = pytest.mark.integration

PACKAGES = Path(__file__).parents[3] / "jobs/packages"


class Stopped(BaseException):
    """What a kill would do, as far as one process can do it to itself."""


@dataclass(frozen=True)
class Deadly:
    """Batches that stop the process when sample `number` of an epoch is wanted."""

    batches: Squares
    epoch_number: int
    first: int
    num_samples: int = 24
    how: type[BaseException] = Stopped

    def epoch(self, turn):
        for batch in self.batches.epoch(turn):
            if turn.epoch == self.epoch_number and batch.names[0].startswith(f"scene{self.first}@"):
                raise self.how
            yield batch


def losses(folder):
    points = read_curve(open_store(str(folder / "training")))
    return [(point["step"], point["loss"]) for point in points if "loss" in point]


def test_a_training_ends_in_a_package_that_knows_its_task(tmp_path):
    spec = train_spec(tmp_path, {"learn.steps": 60, "learn.ema": 0.9, "output.checkpoint_every": 25})
    seen = []
    summary = train(spec, material, report=seen.append)
    package = load_package(spec.output.package)
    assert summary.digest == package.digest
    scene = next(iter(Scenes()))
    mask = predict_array(package, scene.pixels)
    known = scene.target_valid
    right = np.mean((mask == 7)[known] == (scene.target == 1)[known])
    assert right > 1.3 * max(np.mean(scene.target[known] == 1), np.mean(scene.target[known] == 0)) or right > 0.9
    assert package.card.metrics["val"]["mean_iou"] == summary.scores["mean_iou"] > 0.6
    assert (seen[-1].step, seen[-1].steps, seen[-1].workers) == (60, 60, 1)
    assert "60 steps of 8 windows" in package.card.training.procedure
    assert len(list((tmp_path / "training/checkpoints").iterdir())) == 2
    assert list((tmp_path / "training/tensorboard").iterdir())


@pytest.mark.parametrize("kind", ["classes", "image"])
def test_the_scores_of_its_card_are_those_of_the_precision_that_a_job_takes(tmp_path, kind):
    spec = train_spec(tmp_path, {"learn.steps": 4, "compute.precision": "float32"}, kind=kind)
    given = material(kind=kind)
    train(spec, lambda: given)
    package = load_package(spec.output.package)
    found = evaluate(package, given.examples)
    assert found.precision == device_for(package.card, "auto", "auto", 1).precision
    assert package.card.metrics == {"val": found.to_dict()["overall"], "val_precision": found.precision}


@pytest.mark.parametrize("name", ["nuclei", "nuclei-segnet"])
def test_a_draft_is_run_in_the_precision_that_its_package_is_run_in(name):
    """Rounded to bfloat16 the pooling of a SegNet remembers other pixels: a job runs it in float32."""
    package = load_package(str(PACKAGES / name))
    draft = replace(package, card=package.card.model_copy(update={"tolerance": {}}))
    assert precision_of_a_job(draft) == device_for(package.card, "auto", "auto", 1).precision


def test_bands_have_the_names_that_the_spec_gives_them(tmp_path):
    spec = train_spec(tmp_path, {"card.bands": ["red", "near infrared"]})
    train(spec, material)
    card = load_package(spec.output.package).card
    assert [band.name for band in card.bands] == ["red", "near infrared"]
    changes = {"card.bands": ["red"], "network.arguments": {"in_channels": 3}, "learn.batch": 32}
    with pytest.raises(SpecError) as error:
        train(train_spec(tmp_path / "other", changes), material)
    bands = r"card.bands names 1 band \(red\); network.arguments.in_channels is 3; the network sees 2"
    assert re.search(bands, str(error.value))
    assert "or correct card.bands, network.arguments.in_channels" in str(error.value)
    assert "an epoch has 24 samples, a step wants 32" in str(error.value)


def test_a_network_of_three_bands_is_told_how_it_takes_grey_images(tmp_path):
    spec = train_spec(tmp_path, {"card.bands": ["red", "green", "blue"]})
    with pytest.raises(SpecError, match=r"the network sees 1, as that is what is read.* say \[1, 1, 1\] in data.train"):
        check_bands(spec, 1)
    check_bands(spec, 3)


def test_a_finished_training_says_so_and_does_nothing(tmp_path):
    spec = train_spec(tmp_path)
    first = train(spec, material)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}

    def never():
        raise AssertionError

    again = train(spec, never)
    assert again == replace(first, already=True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_package_of_a_finished_training_that_was_deleted_is_written_once_more(tmp_path):
    spec = train_spec(tmp_path)
    first = train(spec, material)
    shutil.rmtree(first.package)
    again = train(spec, lambda: material(batches=Squares(poisoned=0)))
    assert (again.already, load_package(again.package).digest) == (False, first.digest)


def test_a_finished_training_is_published_again_under_another_version(tmp_path):
    """As where a registry has other bytes under the first one; nothing is learned for it."""
    spec = train_spec(tmp_path)
    first = train(spec, material)
    changes = {"card.version": "1.1.0", "output.package": str(tmp_path / "other"), "output.registry": f"{tmp_path}/reg"}
    again = train(train_spec(tmp_path, changes), lambda: material(batches=Squares(poisoned=0)))
    assert (again.already, again.registered) == (False, f"{tmp_path}/reg/squares@1.1.0")
    packages = [load_package(one.package) for one in (first, again)]
    assert [package.card.version for package in packages] == ["1.0.0", "1.1.0"]
    assert packages[0].weights == packages[1].weights
    assert train(train_spec(tmp_path, changes), material) == replace(again, already=True)


@pytest.mark.parametrize(("epoch", "first"), [(0, 0), (0, 16), (2, 8), (3, 16)])
def test_stopped_at_any_step_it_goes_on_to_the_same_curve_and_bytes(tmp_path, epoch, first):
    changes = {"learn.ema": 0.8, "output.evaluate_every": 5, "network.arguments": {"width": 4, "depth": 1}}
    train(train_spec(tmp_path / "a", changes), material)
    spec = train_spec(tmp_path / "b", changes)
    with pytest.raises(Stopped):
        train(spec, lambda: material(batches=Deadly(Squares(), epoch, first)))
    train(spec, material)
    assert losses(tmp_path / "b") == losses(tmp_path / "a")
    assert [step for step, _ in losses(tmp_path / "a")] == list(range(1, 13))
    one, two = (load_package(str(tmp_path / name / "package")) for name in "ab")
    assert one.weights == two.weights
    assert one.digest == two.digest


def test_stopped_after_the_last_checkpoint_it_only_publishes(tmp_path):
    spec = train_spec(tmp_path)
    train(spec, material)
    (tmp_path / "training/finished.json").unlink()
    digest = load_package(spec.output.package).digest

    def poisoned():
        return material(batches=Squares(poisoned=0))

    assert train(spec, poisoned).digest == digest


def test_a_loss_that_is_not_finite_stops_with_the_sample(tmp_path):
    spec = train_spec(tmp_path)
    with pytest.raises(LossNotFinite, match=r"step 2.*scene11@0,0"):
        train(spec, lambda: material(batches=Squares(poisoned=11)))
    assert Checkpoints(open_store(spec.output.uri)).newest() is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"network.architecture": "segnet-basic", "network.arguments": {"width": 4, "depth": 2}},
            "network.architecture",
        ),
        ({"network.arguments": {"width": 8, "depth": 1, "norm": "none"}}, "network.arguments.width was 4, is 8"),
        ({"learn.steps": 13}, "learn.steps was 12, is 13"),
        ({"data.sampling": {"crop": 64}}, "data.sampling.crop was 32, is 64"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_a_folder_of_another_training_is_refused_in_one_line(tmp_path, changes, said, finished):
    if finished:
        train(train_spec(tmp_path), material)
    else:
        with pytest.raises(Stopped):
            train(train_spec(tmp_path), lambda: material(batches=Deadly(Squares(), 2, 0)))
    with pytest.raises(CheckpointError) as caught:
        train(train_spec(tmp_path, changes), material)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_files_are_another_training(tmp_path):
    with pytest.raises(Stopped):
        train(train_spec(tmp_path), lambda: material(batches=Deadly(Squares(), 2, 0)))
    with pytest.raises(CheckpointError, match="its files are not those of then"):
        train(train_spec(tmp_path), lambda: material(digest="e" * 64))


def test_where_it_is_computed_and_how_often_it_is_kept_may_change(tmp_path):
    spec = train_spec(tmp_path)
    with pytest.raises(KeyboardInterrupt) as stop:
        train(spec, lambda: material(batches=Deadly(Squares(), 2, 0, how=KeyboardInterrupt)))
    assert stop.value.__notes__ == ["started once more the training goes on from its newest checkpoint, that of step 4"]
    changes = {"output.checkpoint_every": 3, "compute.precision": "bfloat16", "data.loading": {"workers": 3}}
    assert train(train_spec(tmp_path, changes), material).step == 12


@pytest.mark.parametrize("limit", [3_000, 600])
def test_a_full_disk_is_one_line_and_the_last_checkpoint_stays(tmp_path, limit):
    """Files may not grow above a limit: the system then says what it says when a quota is reached."""
    spec = train_spec(tmp_path)
    with pytest.raises(Stopped):
        train(spec, lambda: material(batches=Deadly(Squares(), 2, 0)))
    newest = (tmp_path / "training/newest.json").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        return material()

    try:
        with pytest.raises(PermanentStoreError, match="free space or raise the quota") as caught:
            train(spec, full)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert (tmp_path / "training/newest.json").read_bytes() == newest
    assert Checkpoints(open_store(spec.output.uri)).newest().step == 4
    assert train(spec, material).step == 12


def test_a_disk_that_is_full_for_the_one_that_writes_stops_the_others_too(tmp_path):
    """Rank 1 writes nothing; were it not told, it would wait in its next step."""
    spec = train_spec(tmp_path)
    shared, barrier, errors = [None] * 2, threading.Barrier(2), {}

    def work(rank):
        team = Threads(rank, 2, shared, barrier)
        session = Session(spec, material(), team=team, device=torch.device("cpu"), report=lambda _: None)
        try:
            session.run()
        except EncdecError as error:
            errors[rank] = error

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "free space" in str(errors[0])
    assert errors[1].context["elsewhere"]


def test_two_trainings_at_a_time_on_one_folder(tmp_path):
    spec = train_spec(tmp_path)
    with acquire_lease(open_store(spec.output.uri), HolderInfo.current("other")), pytest.raises(LeaseHeld):
        train(spec, material)


def test_the_best_weights_are_published_where_that_is_asked_for(tmp_path):
    changes = {"output.publish": "best", "output.evaluate_every": 2, "learn.steps": 10}
    summary = train(train_spec(tmp_path, changes), material)
    points = read_curve(open_store(str(tmp_path / "training")))
    scores = {point["step"]: point["val/mean_iou"] for point in points if "val/mean_iou" in point}
    assert sorted(scores) == [2, 4, 6, 8, 10]
    assert summary.scores["mean_iou"] == pytest.approx(max(scores.values()), abs=1e-6)
    assert scores[summary.step] == max(scores.values())


def test_it_begins_with_a_parent_and_the_card_says_so(tmp_path):
    train(train_spec(tmp_path / "a"), material)
    parent = load_package(str(tmp_path / "a/package"))
    changes = {
        "network.parent": parent.uri,
        "learn.steps": 1,
        "learn.optimizer": {"kind": "sgd", "learning_rate": 1e-9},
    }
    train(train_spec(tmp_path / "b", changes), material)
    child = load_package(str(tmp_path / "b/package"))
    assert child.card.parent == parent.digest
    other = train_spec(tmp_path / "c", changes | {"network.arguments": {"width": 8, "depth": 1, "norm": "none"}})
    with pytest.raises(SpecError, match=r"network.parent .* is unet"):
        train(other, material)


def test_an_adversarial_pair_ends_in_a_package_of_the_generator(tmp_path):
    changes = {
        "network": {"architecture": "pix2pix", "arguments": {"width": 2, "depth": 3, "dropout": 1}},
        "learn.losses": [{"kind": "l1", "factor": 100}, {"kind": "adversarial", "width": 2, "depth": 1}],
        "learn.steps": 6,
    }
    spec = train_spec(tmp_path, changes, kind="image")
    summary = train(spec, lambda: material(kind="image"))
    assert load_package(spec.output.package).card.architecture == "pix2pix"
    assert set(summary.scores) >= {"psnr", "ssim", "mae", "pooled_psnr"}
    points = read_curve(open_store(spec.output.uri))
    assert "discriminator/real" in points[0]


def test_a_network_without_padding_learns_from_the_middle_of_its_windows(tmp_path):
    """A window of 32 px gives 16: two convolutions before the pooling, two below, two after."""
    changes = {"network.arguments": {"width": 4, "depth": 1, "norm": "none", "padding": False}, "learn.steps": 30}
    summary = train(train_spec(tmp_path, changes), material)
    assert load_package(summary.package).card.geometry.margin == 8
    assert summary.scores["accuracy"] > 0.6


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network.arguments": {"width": 4, "depth": 6}}, r"does not take windows of 32x32 px: a side of 32 px"),
        ({"network": {"architecture": "espcn", "arguments": {"scale": 2}}}, r"makes \(2, 64, 64\) of \(2, 32, 32\)"),
        ({"network.arguments": {"out_channels": 3}}, "the target has 2 classes"),
        ({"learn.batch": 25}, "an epoch has 24 samples"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_learned(tmp_path, changes, said):
    with pytest.raises(SpecError, match=said):
        train(train_spec(tmp_path, changes), material)
    assert not (tmp_path / "training/training.json").exists()


def test_a_registry_gets_the_package_and_the_spec(tmp_path):
    spec = train_spec(tmp_path, {"output.registry": str(tmp_path / "registry")})
    summary = train(spec, material)
    assert summary.registered == f"{tmp_path}/registry/squares@1.0.0"
    assert load_package(summary.registered).digest == summary.digest


def test_what_lies_in_the_folder_is_json_and_safetensors(tmp_path):
    train(train_spec(tmp_path), material)
    for path in Path(tmp_path / "training").rglob("*"):
        if path.is_dir() or "tensorboard" in path.parts or ".encdec" in path.parts:
            continue
        assert path.suffix in {".json", ".safetensors"}
        if path.suffix == ".json":
            json.loads(path.read_text())


def test_a_training_of_before_there_were_volumes_is_the_same(tmp_path):
    """Its options were fewer, it looked for fewer formats, and it did not say whether names are private."""
    spec = train_spec(tmp_path, {"learn.steps": 1})
    train(spec, material)
    path = tmp_path / "training/finished.json"
    said = json.loads(path.read_text())
    del said["private"]
    assert not {"context_slices", "axis", "folders"} & {
        *said["asked"]["data"]["train"],
        *said["asked"]["data"]["split"],
    }
    said["asked"]["data"]["train"]["suffixes"] = list(IMAGE_SUFFIXES)
    path.write_text(json.dumps(said))
    assert train(spec, material).already
    with pytest.raises(CheckpointError, match="context_slices was None, is 1"):
        train(train_spec(tmp_path, {"learn.steps": 1, "data.train.context_slices": 1}), material)


def test_what_ray_shows_of_a_training_names_nothing(tmp_path):
    """It keeps what workers are given as text, for its dashboard."""
    given = Given(train_spec(tmp_path), material())
    assert str(tmp_path) in str(given.spec)
    assert str(tmp_path) not in f"{given} {given!r}"
