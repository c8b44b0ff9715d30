"""Figures over scenes: what is counted, in which units, and that a package is of the task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from encdec_batch.errors import SpecError
from encdec_batch.models.card import ClassCard, ClassesOutput, ImageOutput
from encdec_batch.models.package import load_package
from encdec_batch.spec.train_target import CleanTarget, HighResolutionTarget, ImageTarget, MaskTarget
from encdec_batch.train.batch import Example
from encdec_batch.train.dataset.normalization import Units
from jobs.scores.baselines import baselines_of
from jobs.scores.tally import tally_of
from jobs.scores.task import Task

GAUSSIAN = {"kind": "clean", "noise": {"kind": "gaussian", "sigma": 20}}
NUCLEI = str(Path(__file__).parents[3] / "jobs/packages/nuclei")


def units(bands: int, centre: float = 100.0, spread: float = 50.0) -> Units:
    return Units(centre=np.full(bands, centre, np.float32), spread=np.full(bands, spread, np.float32))


def image_task(target, *, bands=1, red=False, train=(), val=()) -> Task:
    ends = (-1.0, 1.0) if isinstance(target, ImageTarget) else (-2.0, 3.1)
    output = ImageOutput(kind="image", band_names=tuple(f"b{n}" for n in range(bands)), dtype="float32", range=ends)
    return Task(
        target=target, output=output, units=units(bands), dtype="uint8", num_bands=bands, class_pixels=(), red=red,
        train=train, val=val,
    )  # fmt: skip


def class_task(*names: str, train=(), class_pixels=(1, 1)) -> Task:
    named = [ClassCard(id=number, name=name, color=(0, 0, number)) for number, name in enumerate(names)]
    target = MaskTarget(kind="mask", classes=tuple(one.model_dump() for one in named))
    output = ClassesOutput(kind="classes", activation="softmax", classes=tuple(named))
    return Task(
        target=target, output=output, units=units(3), dtype="uint8", num_bands=3, class_pixels=class_pixels, red=False,
        train=train, val=(),
    )  # fmt: skip


def scene(pixels, target, *, valid=None, level=0.0) -> Example:
    height, width = target.shape[-2:]
    known = np.ones((height, width), bool) if valid is None else valid
    seen = np.ones(pixels.shape[-2:], bool)
    return Example(name="a", pixels=pixels, valid_mask=seen, target=target, target_valid=known, noise_level=level)


def test_denoised_images_are_compared_as_files_would_hold_them():
    clean = np.random.default_rng(0).integers(0, 256, (1, 32, 32))
    task = image_task(CleanTarget.model_validate(GAUSSIAN))
    tally = tally_of(task)
    # A fifth of a grey level is gone when it is rounded; two levels are not.
    for added in (0.2, 2.0):
        made = np.clip(clean, 2, 250) + added
        tally.add(scene(clean, task.units.normalised(np.clip(clean, 2, 250))), task.units.normalised(made))
    found = tally.figures()
    assert found["psnr_file"] == np.inf
    tally = tally_of(task)
    tally.add(scene(clean, task.units.normalised(np.clip(clean, 2, 250))), task.units.normalised(made))
    assert tally.figures()["psnr_file"] == pytest.approx(20 * np.log10(255 / 2))
    assert tally.figures()["psnr"] == pytest.approx(20 * np.log10(5.1 / (2 / 50)), rel=1e-5)


def test_enlarged_images_are_compared_on_y_without_a_border_of_the_scale():
    rng = np.random.default_rng(1)
    large = rng.integers(20, 230, (3, 32, 40)).astype(np.float32)
    task = image_task(HighResolutionTarget(kind="high_resolution", scale=2), bands=3)
    made = large.copy()
    made[:, :2] = 255
    made[2, 2:-2, 2:-2] += 10.2
    tally = tally_of(task)
    tally.add(scene(large[:, ::2, ::2], task.units.normalised(large)), task.units.normalised(made))
    found = tally.figures()
    # 10 levels of blue are 10 * 24.966 / 255 of Y, rounded: 1 level everywhere, but for the rounding of both.
    assert found["psnr_y"] == pytest.approx(20 * np.log10(255), abs=0.4)
    assert found["ssim_y"] > 0.99


def test_the_vegetation_index_is_of_stored_numbers():
    task = image_task(ImageTarget(kind="image"), red=True)
    pixels = np.stack([np.full((16, 16), 50), np.zeros((16, 16)), np.zeros((16, 16))]).astype(np.uint8)
    true = np.linspace(60, 200, 256).reshape(1, 16, 16)
    made = true + 70
    known = np.ones((16, 16), bool)
    known[3:] = False
    known[15, 14:] = True
    tally = tally_of(task)
    tally.add(scene(pixels, (true / 127.5 - 1).astype(np.float32), valid=known), made / 127.5 - 1)
    found = tally.figures()
    # The last pixels are made brighter than a file holds.
    made = np.minimum(made, 255)
    wanted = np.abs((made - 50) / (made + 50) - (true - 50) / (true + 50))[0, known].mean()
    assert found["ndvi_mae"] == pytest.approx(wanted, rel=1e-5)
    assert 0.9 < found["ndvi_correlation"] < 1
    assert "psnr_file" not in found
    assert "ndvi_mae" not in tally_figures_without_red(pixels, true)


def tally_figures_without_red(pixels, true):
    tally = tally_of(image_task(ImageTarget(kind="image")))
    tally.add(scene(pixels, true / 127.5 - 1), true / 127.5 - 1)
    return tally.figures()


def test_two_classes_are_counted_image_by_image_too_and_membranes_by_regions():
    labels = np.zeros((12, 21), np.int64)
    labels[:, 10] = 1
    valid = np.ones(labels.shape, bool)
    valid[0] = False
    missed = np.zeros_like(labels)
    found = {}
    for names in (("cell", "membrane"), ("other", "forest"), ("a", "b", "c")):
        tally = tally_of(class_task(*names))
        for made in (labels, missed):
            tally.add(scene(np.zeros((3, 12, 21), np.uint8), labels, valid=valid), made)
        found[names[-1]] = tally.figures()
    assert found["membrane"]["rand_merge"] == pytest.approx((1 + 0.5) / 2)
    assert found["membrane"]["dice/membrane"] == pytest.approx(2 / 3)
    assert found["forest"]["weighted_recall"] == pytest.approx((1 + 20 / 21) / 2)
    assert found["forest"]["weighted_precision"] == pytest.approx((1 + (20 / 21) ** 2) / 2)
    assert "rand" not in found["forest"]
    assert "weighted_f1" not in found["c"]


def test_plain_methods_of_classes_know_the_training_scenes_alone():
    rng = np.random.default_rng(2)
    image = rng.integers(0, 100, (3, 20, 20))
    labels = (rng.random((20, 20)) < 0.2).astype(np.int64)
    image[1, labels == 1] = 200
    task = class_task("ground", "thing", train=[scene(image, labels)], class_pixels=(320, 80))
    other = rng.integers(0, 100, (3, 20, 20))
    other[1, :5] = 200
    made = {name: predict(scene(other, labels * 0)) for name, predict in baselines_of(task).items()}
    wanted = np.zeros((20, 20))
    wanted[:5] = 1
    np.testing.assert_array_equal(made["best threshold"], wanted)
    assert np.mean(made["Otsu"] == wanted) > 0.9
    assert np.mean(made["Otsu, smaller side"] == wanted) > 0.9
    np.testing.assert_array_equal(made["majority class"], 0)


def test_of_many_classes_there_is_the_usual_one_of_each_place():
    labels = np.repeat([0, 1, 2, 2], 24)[:, None] + np.zeros((96, 96), np.int64)
    known = np.ones(labels.shape, bool)
    known[:, :48] = False
    scenes = [scene(np.zeros((3, 96, 96)), np.where(known, labels, 255), valid=known)] * 2
    rare = scene(np.zeros((3, 96, 96)), np.full((96, 96), 1), valid=known)
    methods = baselines_of(class_task("a", "b", "c", train=[*scenes, rare], class_pixels=(2, 4, 3)))
    assert set(methods) == {"majority class", "usual class of the place"}
    # Another size; what is known nowhere has the class that is most frequent.
    made = methods["usual class of the place"](scene(np.zeros((3, 192, 96)), np.zeros((192, 96))))
    np.testing.assert_array_equal(made[:, 48:], np.repeat([0, 1, 2, 2], 48)[:, None] + np.zeros((1, 48), int))
    assert (made[:, :48] == 1).all()
    assert (methods["majority class"](rare) == 1).all()


def test_plain_methods_of_images_stay_in_the_networks_units():
    clean = np.full((1, 40, 40), 130.0)
    noisy = clean + np.random.default_rng(3).normal(0, 20, clean.shape)
    task = image_task(CleanTarget.model_validate(GAUSSIAN))
    example = scene(noisy.astype(np.float32), task.units.normalised(clean), level=20 / 50)
    errors = {name: np.abs(predict(example) - 0.6).mean() for name, predict in baselines_of(task).items()}
    assert errors["noisy input"] == pytest.approx(20 / 50 * np.sqrt(2 / np.pi), rel=0.1)
    assert errors["median 3x3"] < errors["noisy input"] / 2
    assert errors["non-local means"] < errors["median 5x5"] < errors["median 3x3"]
    enlarging = image_task(HighResolutionTarget(kind="high_resolution", scale=3))
    [(name, predict)] = baselines_of(enlarging).items()
    assert name == "bicubic"
    np.testing.assert_allclose(predict(scene(clean, np.zeros((1, 120, 120)))), np.full((1, 120, 120), 0.6), rtol=1e-5)


def test_a_package_of_other_constants_is_converted_and_one_of_another_task_refused():
    card = load_package(NUCLEI).card
    stored = np.random.default_rng(4).uniform(0, 255, (3, 8, 8))
    theirs = (stored - np.reshape(card.normalization.mean, (3, 1, 1))) / np.reshape(card.normalization.std, (3, 1, 1))
    task = image_task(CleanTarget.model_validate(GAUSSIAN), bands=3)
    np.testing.assert_allclose(task.stored(task.in_these_units(theirs, card)), stored, rtol=1e-4)
    with pytest.raises(SpecError, match="nuclei is no package of this task: it makes no images of 3 bands"):
        task.check(card)
    with pytest.raises(SpecError, match="it takes 3 bands, the scenes have 1; its scale is 1, that of the targets 2"):
        image_task(HighResolutionTarget(kind="high_resolution", scale=2)).check(card)
    with pytest.raises(SpecError, match="its classes are others"):
        class_task("a", "b", "c").check(card)
    class_task("a", "b").check(card)
