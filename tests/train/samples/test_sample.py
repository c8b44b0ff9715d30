"""A sample is a function of seed, epoch and number: whoever makes it, in whatever order, with whatever in the cache."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from train.made import CLASSES, alone, made, mask_of, picture, spec_of, write_pairs, write_png, write_tif

from encdec_batch.errors import SceneError, SpecError
from encdec_batch.models.card import ConstantNormalization
from encdec_batch.spec.train_data import DataSpec
from encdec_batch.train.batch import IGNORE, Batch, Turn
from encdec_batch.train.dataset.prepare import Prepared
from encdec_batch.train.samples.examples import SceneExamples
from encdec_batch.train.samples.local_batches import LocalBatches
from encdec_batch.train.samples.resample import shrink
from encdec_batch.train.samples.sample import Samples

NONE = {"kind": "none"}
ALL = {
    "flips": ["horizontal", "vertical"],
    "turns": True,
    "zoom": (0.6, 1.8),
    "brightness": 0.3,
    "contrast": 1.5,
    "colour": 0.2,
}
DISTURBED = ALL | {"noise": 0.1, "blur": 1.0}


def kinds(folder: Path) -> dict[str, DataSpec]:
    """One of each target, everything varied."""
    sigma = {"kind": "gaussian", "sigma": (5, 50)}
    source = spec_of(folder).train.model_dump()
    return {
        "mask": spec_of(folder, augment=DISTURBED),
        "image": spec_of(folder, target={"kind": "image", "range": (0, 1)}, augment=DISTURBED),
        "labels": spec_of(
            folder,
            train=source | {"images": source["targets"], "targets": source["images"]},
            input={"kind": "labels", "classes": CLASSES},
            target={"kind": "image"},
            augment={"flips": ["vertical"], "zoom": (0.6, 1.8)},
        ),
        "clean": alone(folder, target={"kind": "clean", "noise": sigma}, augment=ALL),
        "high_resolution": alone(
            folder, target={"kind": "high_resolution", "scale": 2}, augment=ALL, sampling={"crop": 16, "samples": 24}
        ),
    }


KINDS = ("mask", "image", "labels", "clean", "high_resolution")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pairs")
    write_pairs(path, 8)
    return path


@pytest.fixture(scope="module", params=KINDS)
def task(request, folder) -> tuple[DataSpec, Prepared]:
    spec = kinds(folder)[request.param]
    return spec, made(spec)


def assert_equal(one: Batch, other: Batch) -> None:
    assert one.names == other.names
    for name in ("image", "target", "valid", "noise_level"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def joined(batches: list[Batch]) -> Batch:
    return Batch(
        names=tuple(name for batch in batches for name in batch.names),
        **{
            field: np.concatenate([getattr(batch, field) for batch in batches])
            for field in ("image", "target", "valid", "noise_level")
        },
    )


def test_shapes_types_and_no_nan(task):
    spec, prepared = task
    batch = Samples(prepared, spec).batch(3, 1, range(6))
    k = 2 if spec.target.kind == "high_resolution" else 1
    rows, cols = spec.sampling.sides
    assert batch.image.shape == (6, prepared.num_bands, rows, cols)
    assert batch.image.dtype == np.float32
    assert batch.valid.shape == (6, rows * k, cols * k)
    assert np.isfinite(batch.image).all()
    if spec.target.kind == "mask":
        assert batch.target.dtype == np.int64
        assert set(np.unique(batch.target)) <= {0, 1, IGNORE}
        np.testing.assert_array_equal(batch.valid, batch.target != IGNORE)
    else:
        assert batch.target.dtype == np.float32
        assert batch.target.shape[2:] == batch.valid.shape[1:]
        assert np.isfinite(batch.target).all()
    assert len(batch.names) == len(batch) == 6
    assert (batch.noise_level > 0).all() == (spec.target.kind == "clean")


def test_two_workers_of_eight_see_what_one_of_sixteen_sees(task):
    spec, prepared = task
    (whole,) = list(LocalBatches(prepared, spec).epoch(Turn(seed=7, epoch=2, global_batch=16)))
    halves = [
        list(LocalBatches(prepared, spec).epoch(Turn(seed=7, epoch=2, global_batch=16, rank=rank, world_size=2)))
        for rank in range(2)
    ]
    assert [len(half) for half in halves] == [1, 1]
    assert_equal(joined([batch for half in halves for batch in half]), whole)


def test_a_run_that_was_killed_goes_on_with_the_same_batches(task):
    spec, prepared = task
    whole = list(LocalBatches(prepared, spec).epoch(Turn(seed=7, epoch=2, global_batch=6)))
    rest = list(LocalBatches(prepared, spec).epoch(Turn(seed=7, epoch=2, global_batch=6, start=12)))
    assert len(whole) == 4
    for ours, theirs in zip(rest, whole[2:], strict=True):
        assert_equal(ours, theirs)


def test_neither_order_nor_cache_nor_pickling_changes_a_sample(task):
    spec, prepared = task
    samples = Samples(prepared, spec)
    ours = [samples.batch(1, 0, [number]) for number in range(10)]
    poor = spec.model_copy(update={"loading": spec.loading.model_copy(update={"cache_mib": 0})})
    other = pickle.loads(pickle.dumps(Samples(prepared, poor)))
    for number in reversed(range(10)):
        assert_equal(other.batch(1, 0, [number]), ours[number])


def test_seeds_epochs_and_numbers_all_matter(task):
    spec, prepared = task
    samples = Samples(prepared, spec)
    images = [samples.batch(*at).image.tobytes() for at in ((0, 0, [0]), (1, 0, [0]), (0, 1, [0]), (0, 0, [1]))]
    assert len(set(images)) == 4


def test_a_step_larger_than_an_epoch(task):
    spec, prepared = task
    with pytest.raises(SpecError, match="an epoch has 24 samples, fewer than the 25 of one step"):
        list(LocalBatches(prepared, spec).epoch(Turn(seed=0, epoch=0, global_batch=25)))


def plain(folder: Path, **changes: Any) -> tuple[DataSpec, Prepared, Samples]:
    spec = spec_of(folder, split=NONE, **changes)
    prepared = made(spec)
    return spec, prepared, Samples(prepared, spec)


def corner(name: str) -> tuple[str, int, int]:
    """File, column and row in a sample's name."""
    uri, _, place = name.rpartition("@")
    col, row = place.split(",")
    return Path(uri).name, int(col), int(row)


def test_an_unvaried_sample_is_the_window_it_names(folder):
    _, prepared, samples = plain(folder)
    batch = samples.batch(0, 0, range(8))
    constants = prepared.normalization
    assert isinstance(constants, ConstantNormalization)
    mean, std = (np.array(values).reshape(3, 1, 1) for values in (constants.mean, constants.std))
    for image, target, name in zip(batch.image, batch.target, batch.names, strict=True):
        file, col, row = corner(name)
        pixels = picture(int(file[:2]))[row : row + 32, col : col + 32]
        np.testing.assert_allclose(image, (pixels.transpose(2, 0, 1) - mean) / std, atol=1e-5)
        np.testing.assert_array_equal(target, mask_of(pixels))


def test_image_and_target_are_varied_alike(folder):
    """The mask is a threshold of the first band: it stays one wherever pixels go."""
    _, prepared, samples = plain(folder, augment={k: ALL[k] for k in ("flips", "turns")})
    batch = samples.batch(0, 0, range(24))
    constants = prepared.normalization
    assert isinstance(constants, ConstantNormalization)
    bright = batch.image[:, 0] * constants.std[0] + constants.mean[0] > 150.5
    np.testing.assert_array_equal(bright, batch.target == 1)


def test_zoomed_image_and_target_still_fit(folder):
    _, prepared, samples = plain(folder, augment={"zoom": (0.6, 1.8)})
    batch = samples.batch(0, 0, range(24))
    constants = prepared.normalization
    assert isinstance(constants, ConstantNormalization)
    bright = batch.image[:, 0] * constants.std[0] + constants.mean[0] > 150.5
    assert (bright == (batch.target == 1)).mean() > 0.93


@pytest.mark.parametrize("scale", [2, 3])
def test_a_sample_of_super_resolution_is_a_part_of_the_whole_image_made_smaller(folder, scale):
    spec = alone(
        folder,
        split=NONE,
        target={"kind": "high_resolution", "scale": scale},
        sampling={"crop": 12, "samples": 32},
        normalization={"kind": "constants", "mean": [0, 0, 0], "std": [1, 1, 1]},
    )
    batch = Samples(made(spec), spec).batch(0, 0, range(32))
    for image, target, name in zip(batch.image, batch.target, batch.names, strict=True):
        file, col, row = corner(name)
        pixels = picture(int(file[:2])).transpose(2, 0, 1).astype(np.float32)
        whole = pixels[:, : 60 // scale * scale, : 80 // scale * scale]
        low = shrink(whole, scale, dtype="uint8")
        at = (row // scale, col // scale)
        assert (row % scale, col % scale) == (0, 0)
        np.testing.assert_array_equal(image, low[:, at[0] : at[0] + 12, at[1] : at[1] + 12])
        np.testing.assert_array_equal(target, whole[:, row : row + 12 * scale, col : col + 12 * scale])


def test_the_noise_of_a_sample_is_known(folder):
    spec = alone(folder, split=NONE, target={"kind": "clean", "noise": {"kind": "gaussian", "sigma": (5, 50)}})
    batch = Samples(made(spec), spec).batch(0, 0, range(24))
    found = (batch.image - batch.target).std(axis=(1, 2, 3))
    np.testing.assert_allclose(found, batch.noise_level, rtol=0.1)
    assert batch.noise_level.max() > 3 * batch.noise_level.min()


def test_a_grey_image_for_three_bands_has_one_noise(tmp_path):
    for number in range(3):
        write_png(tmp_path / f"images/{number}.png", picture(number)[..., 0] if number else picture(number))
    spec = alone(
        tmp_path,
        split=NONE,
        expand_single_band=True,
        target={"kind": "clean", "noise": {"kind": "gaussian", "sigma": 9}},
        sampling={"crop": 32, "samples": 12},
    )
    batch = Samples(made(spec), spec).batch(0, 0, range(12))
    for image, name in zip(batch.image, batch.names, strict=True):
        alike = np.array_equal(image[0], image[1]) and np.array_equal(image[1], image[2])
        assert alike == (corner(name)[0] != "0.png")


def test_what_is_mirrored_beyond_a_small_image_does_not_count(tmp_path):
    write_png(tmp_path / "images/a.png", picture(1, 20, 80))
    write_png(tmp_path / "masks/a.png", mask_of(picture(1, 20, 80)))
    _, _, samples = plain(tmp_path, sampling={"crop": 32, "small": "pad", "samples": 4})
    batch = samples.batch(0, 0, range(4))
    assert batch.valid[:, :20].all()
    assert not batch.valid[:, 20:].any()
    np.testing.assert_array_equal(batch.image[:, :, 20:30], batch.image[:, :, 9:19][:, :, ::-1])


def test_other_bands_of_the_image_as_target(tmp_path):
    pixels = np.concatenate([picture(1), picture(2)[..., :1]], axis=2)
    write_tif(tmp_path / "images/a.tif", pixels.transpose(2, 0, 1), photometric="rgb", alpha="no")
    spec = spec_of(
        tmp_path,
        split=NONE,
        train={"kind": "images", "uri": str(tmp_path / "images"), "bands": [1, 2, 3]},
        target={"kind": "image", "bands": [4], "range": (0, 255), "to": (-1, 1)},
    )
    batch = Samples(made(spec), spec).batch(0, 0, range(4))
    for target, name in zip(batch.target, batch.names, strict=True):
        _, col, row = corner(name)
        wanted = picture(2)[row : row + 32, col : col + 32, 0] / 127.5 - 1
        np.testing.assert_allclose(target[0], wanted, atol=1e-5)


def test_invalid_pixels_are_the_fill_and_do_not_count(tmp_path):
    image = np.maximum(picture(1), 1)
    image[20:40, 20:40] = 0
    write_tif(tmp_path / "images/a.tif", image.transpose(2, 0, 1), nodata=0)
    write_png(tmp_path / "masks/a.png", mask_of(picture(1)))
    _, _, samples = plain(tmp_path, nodata={"fill": -3.5}, sampling={"crop": 60, "samples": 3})
    batch = samples.batch(0, 0, range(3))
    assert not batch.valid.all()
    np.testing.assert_array_equal((batch.image == -3.5).all(axis=1), ~batch.valid)
    assert (batch.target[~batch.valid] == IGNORE).all()


def test_a_file_that_is_replaced_after_it_was_looked_at(tmp_path):
    write_pairs(tmp_path, 1)
    _, _, samples = plain(tmp_path)
    write_png(tmp_path / "images/00.png", picture(99))
    with pytest.raises(SceneError, match=r"images/00\.png: ") as error:
        samples.batch(0, 0, [0])
    assert "train anew in a folder of its own" in error.value.hint


@pytest.mark.parametrize("kind", KINDS)
def test_whole_scenes_to_validate_on(folder, kind):
    spec = kinds(folder)[kind]
    prepared = made(spec)
    examples = SceneExamples(prepared.val, spec, prepared.normalization)
    first, again = list(examples), list(pickle.loads(pickle.dumps(examples)))
    assert len(first) == len(examples) == len(prepared.val)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        np.testing.assert_array_equal(one.target, other.target)
        k = 2 if kind == "high_resolution" else 1
        assert one.target.shape[-2:] == one.target_valid.shape == (60, 80)
        assert one.pixels.shape[1:] == one.valid_mask.shape == (60 // k, 80 // k)
        image = picture(int(Path(one.name).name[:2]))
        if kind == "mask":
            np.testing.assert_array_equal(one.pixels, image.transpose(2, 0, 1))
            np.testing.assert_array_equal(one.target, mask_of(image))
        if kind == "high_resolution":
            assert one.pixels.dtype == np.uint8
        if kind == "clean":
            assert one.noise_level > 0
