"""The same training on the workers of a Ray: the curve of one process, deaths or not."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from train.squares import Squares
from train.trainings import material, train_spec

from encdec_batch.errors import LossNotFinite
from encdec_batch.models.package import load_package
from encdec_batch.store.open import open_store
from encdec_batch.train.running.run import train
from encdec_batch.train.tracking.curve import read_curve

pytestmark = pytest.mark.integration

STEPS = 6
BASE = {
    "learn.steps": STEPS,
    "learn.ema": 0.9,
    "network.arguments": {"width": 4, "depth": 1, "norm": "none"},
    "output.checkpoint_every": 2,
}


def on_ray(workers=2):
    return {"compute.stream": {"kind": "ray", "workers": workers, "cpus_per_worker": 0.5, "max_failures": 1}}


@dataclass(frozen=True)
class DiesOnce:
    """Batches whose second worker dies, once, when it is to make its batch of step 4."""

    note: Path
    num_samples: int = 24

    def epoch(self, turn):
        for number, batch in enumerate(Squares().epoch(turn), turn.start // turn.global_batch):
            if (turn.epoch, number, turn.rank) == (1, 0, 1) and not self.note.exists():
                self.note.touch()
                os._exit(1)
            yield batch


def points(spec):
    return [point for point in read_curve(open_store(spec.output.uri)) if "loss" in point]


@pytest.fixture(scope="module", autouse=True)
def _tests_are_importable():
    """By Ray's workers too, which take these batches out of their pickle."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Spec and report of a training by two workers."""
    folder, seen = tmp_path_factory.mktemp("undisturbed"), []
    spec = train_spec(folder, BASE | on_ray())
    train(spec, material, report=seen.append)
    return spec, seen


def test_two_workers_of_4_learn_what_one_of_8_learns(undisturbed, tmp_path):
    spec, seen = undisturbed
    alone = train_spec(tmp_path, BASE)
    train(alone, material)
    for ours, theirs in zip(points(spec), points(alone), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        assert ours["step"] == theirs["step"]
    assert (seen[-1].step, seen[-1].workers) == (STEPS, 2)
    assert len(seen) == len({one.step for one in seen})
    scores = [load_package(one.output.package).card.metrics["val"] for one in (spec, alone)]
    assert scores[0] == pytest.approx(scores[1], abs=0.02)


def test_a_lost_worker_is_started_again_and_the_curve_is_the_same(undisturbed, tmp_path):
    """One failure allowed. With one it failed once on a busy machine, of an ActorUnavailableError. Ray gives up at once
    where a worker does not answer as it gets its work (`died_while_starting`), and we said "died 2 times" whatever had
    happened. Such a start is tried again now, and each death is noted.
    """
    spec = train_spec(tmp_path, BASE | on_ray())
    train(spec, lambda: material(batches=DiesOnce(tmp_path / "died")))
    assert (tmp_path / "died").exists()
    losses, expected = ([point["loss"] for point in points(one)] for one in (spec, undisturbed[0]))
    assert losses == expected
    assert load_package(spec.output.package).weights == load_package(undisturbed[0].output.package).weights


def test_a_loss_that_is_not_finite_is_told_by_the_worker_that_saw_it_and_not_tried_again(tmp_path):
    """Of as many workers as there is room for, from 1 to 2."""
    spec = train_spec(tmp_path, BASE | on_ray([1, 2]))
    with pytest.raises(LossNotFinite, match=r"step 1, network.*scene6@0,0"):
        train(spec, lambda: material(batches=Squares(poisoned=6)))
    assert not (tmp_path / "training/newest.json").exists()
