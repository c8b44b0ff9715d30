"""Whole scenes judged through the predictor of jobs: known networks have known scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from e2e.made import identity_network
from train.squares import Scenes
from train.trainings import material, train_spec

from encdec_batch.errors import EncdecError
from encdec_batch.networks.unet import UNet
from encdec_batch.train.batch import Example
from encdec_batch.train.evaluation.evaluate import evaluate
from encdec_batch.train.evaluation.metrics import Confusion, Fidelity
from encdec_batch.train.evaluation.picture import picture_of
from encdec_batch.train.packaging.draft import Drafts


def draft(tmp_path, network, kind, **changes):
    arguments = {"width": network.head.in_channels, "depth": 1, "norm": "none"}
    spec = train_spec(tmp_path, {"network.arguments": arguments, **changes}, kind=kind)
    return Drafts(spec, material(kind=kind)).make(network)


def first_band_decides():
    """Class 1 where the first band is above 0.25, in normalised units: what such squares are told by, but for noise."""
    network = UNet(2, 2, width=2, depth=1, norm="none").eval()
    network.load_state_dict(identity_network(2).state_dict())
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.weight[1, 0] = 1
        network.head.bias[:] = torch.tensor([0.25, 0.0])
    return network


@pytest.mark.parametrize("precision", [None, "float32"])
def test_classes_are_counted_as_the_network_decides(tmp_path, precision):
    package = draft(tmp_path, first_band_decides(), "classes")
    found = evaluate(package, Scenes(), precision=precision)
    total = Confusion(counts=np.zeros((2, 2), np.int64))
    for example in Scenes():
        x = (example.pixels[0].astype(np.float32) - 100) / 50
        # The stored value nearest to the threshold is 0.01 from it, more than bfloat16 rounds by.
        scene = Confusion.of(example.target, (np.maximum(x, 0) > 0.25).astype(int), example.target_valid, 2)
        row = found.scenes[example.name]
        assert row["mean_iou"] == pytest.approx(float(np.nanmean(scene.iou)), abs=0.02 if precision is None else 1e-9)
        total = total + scene
    assert found.overall["iou/bright"] == pytest.approx(total.iou[1], abs=0.02 if precision is None else 1e-9)
    assert found.overall["scenes"] == 3
    assert found.overall["accuracy"] > 0.6


@dataclass(frozen=True)
class OneImage:
    """A scene whose target is what a network that takes the first band would give, plus noise of 0.1."""

    def __len__(self):
        return 1

    def __iter__(self):
        rng = np.random.default_rng(1)
        pixels = rng.integers(101, 151, (2, 40, 60), dtype=np.uint8)
        target = (pixels[:1].astype(np.float32) - 100) / 50 + rng.normal(0, 0.1, (1, 40, 60)).astype(np.float32)
        valid = np.ones((40, 60), bool)
        valid[:4] = False
        yield Example(name="one", pixels=pixels, valid_mask=valid, target=target, target_valid=valid, noise_level=0.0)


def one_band():
    network = UNet(2, 1, width=2, depth=1, norm="none").eval()
    state = identity_network(2).state_dict()
    state["head.weight"], state["head.bias"] = state["head.weight"][:1], state["head.bias"][:1]
    network.load_state_dict(state)
    return network


@pytest.mark.parametrize(("dtype", "slack"), [("float32", 1e-5), ("uint16", 1e-4), ("uint8", 0.02)])
def test_images_are_judged_in_the_networks_units_whatever_is_stored(tmp_path, dtype, slack):
    package = draft(tmp_path, one_band(), "image", **{"card.dtype": dtype})
    found = evaluate(package, OneImage(), precision="float32")
    [example] = OneImage()
    expected = Fidelity.of(
        example.target, (example.pixels[:1].astype(np.float32) - 100) / 50, example.target_valid, span=1.0
    )
    assert found.overall["psnr"] == pytest.approx(expected.psnr, rel=slack)
    assert found.overall["ssim"] == pytest.approx(expected.ssim, rel=slack)
    assert found.overall["pixels"] == 36 * 60


class Half:
    """A member of a team of two, the sums of the other one added by hand."""

    size = 2

    def __init__(self, rank, tables):
        self.rank, self._tables = rank, tables

    def sum(self, tensors):
        self._tables.append([tensor.clone() for tensor in tensors])
        if self.rank:
            for tensor, other in zip(tensors, self._tables[0], strict=True):
                tensor.add_(other)


def test_members_of_a_team_judge_a_part_each(tmp_path):
    package, tables, seen = draft(tmp_path, first_band_decides(), "classes"), [], [[], []]
    for rank in range(2):
        found = evaluate(package, Scenes(), team=Half(rank, tables), on_scene=seen[rank].append)
    assert [[one.example.name for one in part] for part in seen] == [["scene-0", "scene-2"], ["scene-1"]]
    assert found == evaluate(package, Scenes())


def test_nothing_to_judge_on(tmp_path):
    with pytest.raises(EncdecError, match="no scene to judge on"):
        evaluate(draft(tmp_path, first_band_decides(), "classes"), Scenes(count=0))


@pytest.mark.parametrize("kind", ["classes", "image"])
def test_pictures_show_input_target_and_prediction_side_by_side(tmp_path, kind):
    network = first_band_decides() if kind == "classes" else one_band()
    package, seen = draft(tmp_path, network, kind), []
    evaluate(package, Scenes(kind=kind, count=2), on_scene=seen.append)
    # The second scene has no data in its first corner.
    picture = picture_of(seen[1], package.card)
    assert picture.shape == (50, 3 * 61, 3)
    assert tuple(picture[0, 61]) == (128, 128, 128)
    bright = seen[1].example.target.reshape(50, 61)[20:40, 20:50] == 1
    colour = np.array([255, 255, 0] if kind == "classes" else [255, 255, 255], np.uint8)
    assert np.array_equal((picture[20:40, 61 + 20 : 61 + 50] == colour).all(-1), bright)
