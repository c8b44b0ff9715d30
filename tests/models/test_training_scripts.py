from __future__ import annotations

import csv

import numpy as np
import pytest
import rasterio
import torch

from encdec_batch.networks.unet import UNet
from jobs.training import nuclei, vegetation
from jobs.training.fit import Example, Recipe, fit, loss_of, predict, scores, statistics


def examples() -> list[Example]:
    """Bright squares on dark ground are class 1; a corner is not known."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(3):
        label = np.zeros((48, 64), np.uint8)
        label[8:24, 10 * number : 10 * number + 20] = 1
        image = (60 + 120 * label + rng.integers(0, 20, (3, 48, 64))).astype(np.uint8)
        label[-4:, -4:] = 255
        made.append(Example(name=str(number), image=image, label=label))
    return made


def trained(seed: int) -> UNet:
    torch.manual_seed(seed)
    recipe = Recipe(seed=seed, steps=25, batch=4, crop=32)
    return fit(UNet(3, 1, width=4, depth=1), examples(), statistics(examples()), recipe)


def test_it_learns_what_is_easy_and_repeats_itself():
    first, again = trained(3), trained(3)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    constants = statistics(examples())
    assert scores([(predict(first, e.image, constants, 2), e.label) for e in examples()])["iou"] > 0.9


def test_statistics_are_per_band():
    mean, std = statistics([Example(name="", image=np.array([[[1, 3]], [[8, 8]]], np.uint8), label=np.zeros((1, 2)))])
    assert (mean, std) == ((2.0, 8.0), (1.0, 0.0))


def test_scores_by_hand_leave_out_what_is_not_known():
    found = scores([(np.array([[1, 1, 0, 0, 1]]), np.array([[1, 0, 1, 0, 255]]))])
    assert found["iou"] == pytest.approx(1 / 3, abs=1e-4)
    assert (found["f1"], found["precision"], found["recall"], found["accuracy"]) == (0.5, 0.5, 0.5, 0.5)
    assert found["pixels"] == 4


def test_one_channel_and_two_have_the_same_loss():
    logit = torch.randn(2, 1, 8, 8)
    label = torch.randint(0, 2, (2, 8, 8))
    both = torch.cat([torch.zeros_like(logit), logit], 1)
    assert loss_of(logit, label).item() == pytest.approx(loss_of(both, label).item(), rel=1e-6)


def test_vegetation_is_taught_by_the_fourth_band(tmp_path):
    path = tmp_path / "naip.tif"
    pixels = np.zeros((4, 1, 4), np.uint8)
    pixels[0, 0], pixels[3, 0] = [100, 100, 0, 100], [200, 120, 0, 0]
    # A fourth band of 8 bits is alpha by default; in NAIP files it is not.
    profile = {"driver": "GTiff", "width": 4, "height": 1, "count": 4, "dtype": "uint8", "photometric": "minisblack"}
    with rasterio.open(path, "w", **profile) as out:
        out.write(pixels)
    example = vegetation.read_scene(path)
    # NDVI 1/3 and 0.09; no light at all is not known; no infrared is -1.
    assert example.label.tolist() == [[1, 0, 255, 0]]
    assert example.image.shape == (3, 1, 4)
    assert vegetation.columns(example, 1, 3).label.tolist() == [[0, 255]]


def test_grey_nuclei_are_read_as_three_bands(tmp_path):
    for name, bands in (("image.png", 1), ("label.png", 1)):
        with rasterio.open(tmp_path / name, "w", driver="PNG", width=3, height=2, count=bands, dtype="uint8") as out:
            out.write(np.full((bands, 2, 3), 7, np.uint8))
    with (tmp_path / "val.csv").open("w", newline="") as table:
        csv.writer(table).writerows([["image", "label", "kind"], ["image.png", "label.png", "fluo256"]])
    [(kind, example)] = nuclei.read_split(tmp_path, "val")
    assert kind == "fluo256"
    assert example.image.shape == (3, 2, 3)
    assert example.label.tolist() == [[1, 1, 1], [1, 1, 1]]
