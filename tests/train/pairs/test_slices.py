"""Volumes and series as pairs: slice by slice, each volume on one side, nothing of their names in what is kept."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from train.made import spec_of
from volume.made import ct_slice

from encdec_batch.errors import SpecError
from encdec_batch.plan.public_spec import public_data
from encdec_batch.spec.privacy import PrivacySpec
from encdec_batch.spec.train_data import DataSpec
from encdec_batch.spec.train_pairs import HashSplit
from encdec_batch.train.dataset.inspect import inspect
from encdec_batch.train.dataset.leak import find_leaks
from encdec_batch.train.dataset.split import falls_in, place_of, split_pairs
from encdec_batch.train.pairs.pair import File, Pair
from encdec_batch.train.pairs.reader import PairReader
from encdec_batch.window import Window

SHAPE = (40, 36, 3)
"""(i, j, k) of a volume."""
AFFINE = np.diag([0.5, 0.75, 3.0, 1.0])
ON = PrivacySpec(hide="on")


def write_volume(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def write_case(folder: Path, name: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """An image volume and its labels, as arrays (i, j, k)."""
    image = np.random.default_rng(seed).integers(0, 900, SHAPE, np.int16)
    labels = (image > 450).astype(np.uint8)
    write_volume(folder / f"images/{name}.nii", image)
    write_volume(folder / f"masks/{name}.nii", labels)
    return image, labels


def write_series(folder: Path, patient: str, count: int = 3, *, uid: str = "1.2.3") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        dataset = ct_slice(number, shape=(40, 36), uid=uid)
        dataset.PatientID = patient
        noise = np.random.default_rng(number).integers(0, 999, (40, 36)).astype(np.int16)
        dataset.PixelData = noise.tobytes()
        pydicom.dcmwrite(folder / f"{(2 * number) % 5}.dcm", dataset, enforce_file_format=True)


def clean(folder: Path, **changes) -> DataSpec:
    """Denoising of the images below a folder."""
    noise = {"kind": "gaussian", "sigma": 10}
    values = {
        "train": {"kind": "images", "uri": str(folder)},
        "target": {"kind": "clean", "noise": noise},
        "normalization": {"kind": "estimate", "per_band": False},
        "split": {"kind": "none"},
    }
    return spec_of(folder, **values | changes)


def test_slices_of_a_volume_are_paired_with_those_of_its_labels(tmp_path):
    image, labels = write_case(tmp_path, "a")
    [*pairs], _, aside, *_ = split_pairs(spec_of(tmp_path, split={"kind": "none"}))
    assert aside == []
    assert [(pair.image.plane["slice"], pair.target.plane["slice"], pair.scene) for pair in pairs] == [
        (k, k, "a") for k in range(3)
    ]
    for k, pair in enumerate(pairs):
        with PairReader(pair, spec_of(tmp_path)) as reader:
            raw = reader.read(Window(0, 0, SHAPE[0], SHAPE[1]))
        np.testing.assert_array_equal(raw.pixels[0], image[:, :, k].T)
        np.testing.assert_array_equal(raw.target, labels[:, :, k].T)


@pytest.mark.parametrize(
    ("labels", "affine", "reason"),
    [
        (np.zeros((40, 36, 4), np.uint8), AFFINE, "holds 4 images, that which it is the target of 3"),
        (np.zeros(SHAPE, np.uint8), np.diag([0.5, 0.75, 2.5, 1.0]), "lie elsewhere"),
        (np.zeros(SHAPE, np.uint8), AFFINE + np.eye(4, k=3) * 0.2, "lie elsewhere"),
    ],
)
def test_labels_of_another_grid_are_set_aside(tmp_path, labels, affine, reason):
    write_case(tmp_path, "a")
    write_case(tmp_path, "b", seed=1)
    write_volume(tmp_path / "masks/b.nii", labels, affine)
    train, _, [aside], *_ = split_pairs(spec_of(tmp_path, split={"kind": "none"}))
    assert len(train) == SHAPE[2]
    assert reason in aside.reason
    assert aside.uri.endswith("masks/b.nii")


def test_an_affine_that_was_rounded_is_the_same(tmp_path):
    _, labels = write_case(tmp_path, "a")
    write_volume(tmp_path / "masks/a.nii", labels, AFFINE * (1 + 1e-5))
    assert split_pairs(spec_of(tmp_path, split={"kind": "none"})).aside == []


def test_neighbours_are_read_with_a_slice_and_not_with_its_labels(tmp_path):
    image, labels = write_case(tmp_path, "a")
    train = {"kind": "folders", "images": f"{tmp_path}/images", "targets": f"{tmp_path}/masks", "context_slices": 1}
    spec = spec_of(tmp_path, train=train, split={"kind": "none"})
    first = split_pairs(spec).train[0]
    with PairReader(first, spec) as reader:
        raw = reader.read(Window(0, 0, SHAPE[0], SHAPE[1]))
    np.testing.assert_array_equal(raw.pixels, image.T[[0, 0, 1]])
    np.testing.assert_array_equal(raw.target, labels[:, :, 0].T)


def test_neighbours_of_both_sides_must_be_as_many(tmp_path):
    images = {"kind": "images", "uri": str(tmp_path)}
    with pytest.raises(ValueError, match=r"context_slices of train and of split\.pairs differ"):
        clean(tmp_path, split={"kind": "pairs", "pairs": images | {"context_slices": 1}})


def test_a_series_is_one_scene_in_the_order_of_space(tmp_path):
    write_series(tmp_path / "case", "p1")
    pairs = split_pairs(clean(tmp_path)).train
    assert [Path(pair.image.uri).name for pair in pairs] == ["0.dcm", "2.dcm", "4.dcm"]
    assert len({pair.scene for pair in pairs}) == 1
    assert pairs[0].scene.startswith("case/series-")


def test_a_series_with_a_gap_is_set_aside_unless_its_images_stand_alone(tmp_path):
    write_series(tmp_path / "case", "p1", count=5)
    (tmp_path / "case/2.dcm").unlink()
    write_series(tmp_path / "other", "p2", uid="1.2.4")
    sides = split_pairs(clean(tmp_path))
    assert (len(sides.train), len(sides.aside)) == (3, 4)
    assert "1 gaps" in sides.aside[0].reason
    train = {"kind": "images", "uri": str(tmp_path), "series": "images"}
    assert len(split_pairs(clean(tmp_path, train=train)).train) == 7


@pytest.mark.parametrize("by", ["patient", "folder"])
def test_series_of_one_patient_are_on_one_side(tmp_path, by):
    for number in range(6):
        write_series(tmp_path / f"person{number // 2}" / f"visit{number}", f"p{number // 2}", uid=f"1.2.{number}")
    sides = split_pairs(clean(tmp_path, split={"kind": "hash", "by": by, "share": 0.5, "seed": 3}))
    train, val = ({pair.patient for pair in side} for side in (sides.train, sides.val))
    assert train
    assert val
    assert train.isdisjoint(val)


@given(share=st.floats(0.05, 0.95), seed=st.integers(0, 99), by=st.sampled_from(["scene", "folder"]))
def test_no_volume_is_on_both_sides(share, seed, by):
    """Neither as slices of one object nor of one series, whatever else there is."""
    rule = HashSplit(kind="hash", by=by, share=share, seed=seed)
    source = clean(Path("/nowhere")).train
    pairs = [
        Pair(image=File(uri=f"{case}/{n}.dcm", source=source), target=None, scene=f"{case}/series-1", series=case)
        for case in ("a", "b", "c")
        for n in range(4)
    ]
    sides = {
        case: {falls_in(place_of(one, rule), share, seed=seed) for one in pairs if one.series == case} for case in "abc"
    }
    assert all(len(found) == 1 for found in sides.values())


def test_a_patient_on_both_sides_is_a_leak_and_slices_that_look_alike_are_none(tmp_path):
    write_series(tmp_path / "train", "p1")
    write_series(tmp_path / "val", "p1", uid="1.2.4")
    write_series(tmp_path / "more", "p2", uid="1.2.5")

    def side(name):
        spec = clean(tmp_path / name)
        return [inspect(pair, spec) for pair in split_pairs(spec).train]

    train, val, more = map(side, ("train", "val", "more"))
    assert {leak.what for leak in find_leaks(train, val)} == {"the same patient"}
    assert {leak.what for leak in find_leaks(train, more)} == {"the same pixels"}, "made of the same noise"


def test_nothing_of_a_private_pair_tells_its_name_but_the_side_is_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("ENCDEC_PRIVACY_KEY", "a key for tests, long enough")
    for number in range(5):
        write_case(tmp_path, f"Doernbecher_{number}", seed=number)
    (tmp_path / "images/Doernbecher_Broken.nii").write_bytes(b"x" * 400)
    write_volume(tmp_path / "masks/Doernbecher_Broken.nii", np.zeros(SHAPE, np.uint8))
    write_volume(tmp_path / "images/Doernbecher_alone.nii", np.zeros(SHAPE, np.uint8))
    spec = spec_of(tmp_path, split={"kind": "hash", "share": 0.4})
    clear, hidden = split_pairs(spec), split_pairs(spec, PrivacySpec())
    assert [len(side) for side in clear[:3]] == [len(side) for side in hidden[:3]]
    assert [one.image.link for one in hidden.val] == [one.image.uri for one in clear.val]
    assert "Doernbecher" in repr((clear, clear.aside))
    assert "Doernbecher" not in repr(hidden)
    assert str(tmp_path) not in str([*map(str, hidden.aside), public_data(spec, ON)])
    assert {one.image.link for one in hidden.train}.isdisjoint({one.image.link for one in hidden.val})


def test_without_a_key_private_pairs_are_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("ENCDEC_PRIVACY_KEY", raising=False)
    write_case(tmp_path, "a")
    with pytest.raises(SpecError, match="ENCDEC_PRIVACY_KEY holds no key"):
        split_pairs(spec_of(tmp_path), PrivacySpec())
