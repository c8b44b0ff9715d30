from __future__ import annotations

import pickle

import fsspec
import numpy as np
import pytest
from train.made import alone, made, mask_of, picture, spec_of, write_pairs, write_png

from encdec_batch.errors import SpecError
from encdec_batch.models.card import ConstantNormalization, PercentileNormalization
from encdec_batch.train.dataset.normalization import units_of
from encdec_batch.train.dataset.prepare import prepare
from encdec_batch.train.samples.sample import Samples

NONE = {"kind": "none"}


def constants(spec) -> ConstantNormalization:
    found = made(spec).normalization
    assert isinstance(found, ConstantNormalization)
    return found


def test_constants_are_those_of_the_training_scenes_alone(tmp_path):
    write_pairs(tmp_path, 8)
    prepared = made(spec_of(tmp_path))
    assert isinstance(prepared.normalization, ConstantNormalization)
    numbers = [int(one.pair.scene) for one in prepared.train]
    assert 0 < len(numbers) < 8
    pixels = np.concatenate([picture(n).reshape(-1, 3) for n in numbers]).astype(float)
    np.testing.assert_allclose(prepared.normalization.mean, pixels.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(prepared.normalization.std, pixels.std(axis=0), rtol=1e-5)
    batch = Samples(prepared, spec_of(tmp_path)).batch(0, 0, range(24))
    assert abs(batch.image.mean()) < 0.3
    assert 0.6 < batch.image.std() < 1.4


def test_one_pair_of_constants_for_all_bands(tmp_path):
    write_pairs(tmp_path, 3)
    found = constants(alone(tmp_path, split=NONE, target={"kind": "high_resolution", "scale": 2}, sampling={"crop": 8}))
    pixels = np.concatenate([picture(n).ravel() for n in range(3)]).astype(float)
    assert len(set(found.mean)) == len(set(found.std)) == 1
    assert found.mean[0] == pytest.approx(pixels.mean(), rel=1e-5)
    assert found.std[0] == pytest.approx(pixels.std(), rel=1e-5)


def test_constants_of_the_spec(tmp_path):
    write_pairs(tmp_path, 1)
    given = {"kind": "constants", "mean": [1, 2, 3], "std": [4, 5, 6]}
    assert constants(spec_of(tmp_path, split=NONE, normalization=given)).mean == (1, 2, 3)
    with pytest.raises(SpecError, match="constants of 1 band, the images have 3"):
        made(spec_of(tmp_path, split=NONE, normalization=given | {"mean": [1], "std": [1]}))


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    write_pairs(tmp_path, 4)
    for number in (1, 2):
        (tmp_path / f"images/{number:02}.png").write_bytes(b"")

    def check(bands, samples):
        raise SpecError(f"not {bands} bands and {samples} samples")

    given = {"kind": "constants", "mean": [1], "std": [1]}
    with pytest.raises(SpecError) as error:
        prepare(spec_of(tmp_path, split={"kind": "hash", "share": 0.01}, normalization=given), check=check)
    [first, *lines] = str(error.value).splitlines()
    assert first == "4 things are to be corrected:"
    assert [any(word in line for line in lines) for word in ("none is left to validate on", "2 of 4 files")] == [
        True
    ] * 2
    assert [any(word in line for line in lines) for word in ("constants of 1 band", "not 3 bands and 24")] == [True] * 2


def test_a_band_of_one_value(tmp_path):
    image = picture(0)
    image[..., 1] = 7
    write_png(tmp_path / "images/a.png", image)
    write_png(tmp_path / "masks/a.png", mask_of(image))
    with pytest.raises(SpecError, match="band 2 of the training scenes has one value, 7"):
        made(spec_of(tmp_path, split=NONE))


def test_percentiles_are_those_of_each_whole_scene(tmp_path):
    write_pairs(tmp_path, 2)
    prepared = made(spec_of(tmp_path, split=NONE, normalization={"kind": "percentiles", "lower": 5, "upper": 90}))
    assert prepared.normalization == PercentileNormalization(kind="percentiles", lower=5, upper=90)
    for number, one in enumerate(prepared.train):
        wanted = np.percentile(picture(number).reshape(-1, 3), (5, 90), axis=0).T
        np.testing.assert_allclose(one.value_range, wanted)
        units = units_of(prepared.normalization, one.value_range)
        np.testing.assert_allclose(units.normalised(wanted.T[:, :, None].transpose(1, 0, 2))[:, :, 0], [[0, 1]] * 3)


def test_what_is_counted_for_the_losses(tmp_path):
    masks = [np.zeros((60, 80), np.uint8), mask_of(picture(1))]
    for number, mask in enumerate(masks):
        write_png(tmp_path / f"images/{number}.png", picture(number))
        write_png(tmp_path / f"masks/{number}.png", mask)
    prepared = made(spec_of(tmp_path, split=NONE))
    ones = int(masks[1].sum())
    assert prepared.class_pixels == (9600 - ones, ones)
    assert prepared.class_presence == (9600, 4800)
    assert prepared.num_bands == 3
    assert prepared.dtypes == ("uint8",)


def test_the_digest_is_of_the_files_whatever_their_order(tmp_path):
    write_pairs(tmp_path, 8)
    one = made(spec_of(tmp_path))
    by_threads = prepare(spec_of(tmp_path))
    assert by_threads.digest == one.digest
    assert by_threads.normalization == one.normalization
    np.testing.assert_array_equal(by_threads.cells.cumulated, one.cells.cumulated)
    write_png(tmp_path / "images/03.png", picture(99))
    assert made(spec_of(tmp_path)).digest != one.digest


def test_it_travels_to_other_processes(tmp_path):
    write_pairs(tmp_path, 8)
    prepared = made(spec_of(tmp_path))
    again = pickle.loads(pickle.dumps(prepared))
    assert again.digest == prepared.digest
    assert [one.pair for one in again.train] == [one.pair for one in prepared.train]
    assert len(pickle.dumps(prepared)) < 10_000 * 8


def test_an_empty_data_set(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(SpecError, match="holds no images to learn from"):
        made(spec_of(tmp_path))


def test_pairs_of_any_store(tmp_path):
    """By whatever fsspec knows: here in the memory of this process."""
    write_pairs(tmp_path, 4)
    memory = fsspec.filesystem("memory")
    try:
        memory.put(str(tmp_path), "/pairs", recursive=True)
        near, far = (
            made(
                spec_of(
                    tmp_path, train={"kind": "folders", "images": f"{at}/images", "targets": f"{at}/masks"}, split=NONE
                )
            )
            for at in (str(tmp_path), "memory://pairs")
        )
        assert far.train[0].pair.image.uri == "memory://pairs/images/00.png"
        assert far.normalization == near.normalization
        spec = spec_of(tmp_path, split=NONE)
        for ours, theirs in zip(
            *(vars_of(Samples(prepared, spec).batch(0, 0, range(8))) for prepared in (near, far)), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    finally:
        memory.rm("/pairs", recursive=True)


def vars_of(batch):
    return batch.image, batch.target, batch.valid
