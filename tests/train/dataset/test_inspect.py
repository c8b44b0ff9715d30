"""What is wrong with a file is said before training, in one line, and does not keep the others from being used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from train.made import alone, made, mask_of, picture, spec_of, write_pairs, write_png, write_tif

from encdec_batch.errors import SpecError
from encdec_batch.train.dataset.inspect import Inspected, inspect
from encdec_batch.train.pairs.find import find_pairs
from encdec_batch.train.pairs.pair import Aside


def looked(folder: Path, **changes: Any) -> Inspected | Aside:
    """At the first pair of a folder."""
    spec = spec_of(folder, **changes)
    pairs, _ = find_pairs(spec.train, made=False)
    return inspect(pairs[0], spec)


def georeferenced(folder: Path, image: dict[str, Any], mask: dict[str, Any]) -> None:
    pixels = picture(1)
    write_tif(folder / "images/a.tif", pixels.transpose(2, 0, 1), **image)
    write_tif(folder / "masks/a.tif", mask_of(pixels)[None], **mask)


HERE = (500_000.0, 4_100_000.0)
BAD: dict[str, tuple[Any, str]] = {
    "size": (
        lambda folder: write_png(folder / "masks/00.png", mask_of(picture(0, 59))),
        "masks/00.png: has 80 x 59 px, its image",
    ),
    "label": (
        lambda folder: write_png(folder / "masks/00.png", mask_of(picture(0)) * 3),
        "masks/00.png: label 3 is of no class; name it in the values of a class, or in ignore",
    ),
    "truncated": (
        lambda folder: (folder / "images/00.png").write_bytes((folder / "images/00.png").read_bytes()[:900]),
        "images/00.png: its PNG ends before the image does",
    ),
    "no_image": (lambda folder: (folder / "masks/00.png").write_bytes(b"hello, world"), "masks/00.png: not an image"),
    "empty": (lambda folder: (folder / "images/00.png").write_bytes(b""), "images/00.png: the object is empty"),
    "small": (
        lambda folder: (
            write_png(folder / "images/00.png", picture(0, 20, 80)),
            write_png(folder / "masks/00.png", mask_of(picture(0, 20, 80))),
        ),
        "window of 32 x 32 px is larger than the image, 80 x 20; lower data.sampling.crop, or set data.sampling.small",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_set_aside_before_training_and_the_others_are_used(tmp_path, name):
    write_pairs(tmp_path, 12)
    spoil, words = BAD[name]
    spoil(tmp_path)
    (aside,) = made(spec_of(tmp_path)).aside
    assert words in str(aside)
    assert "\n" not in str(aside)


def test_too_many_bad_files_stop_training(tmp_path):
    write_pairs(tmp_path, 12)
    for number in range(3):
        (tmp_path / f"images/{number:02}.png").write_bytes(b"")
    with pytest.raises(SpecError, match=r"3 of 12 files cannot be used: .*00\.png: the object is empty"):
        made(spec_of(tmp_path))
    assert len(made(spec_of(tmp_path, most_aside=0.5)).aside) == 3


def test_labels_that_no_class_names_are_told_with_what_to_do(tmp_path):
    """As of single nuclei, numbered: the usual mistake of a first spec, and of nearly all files."""
    write_pairs(tmp_path, 12)
    for number in range(12):
        write_png(tmp_path / f"masks/{number:02}.png", mask_of(picture(number)) * 3)
    with pytest.raises(SpecError, match="no file is left") as error:
        made(spec_of(tmp_path))
    assert "name it in the values of a class, or in ignore" in str(error.value)


def test_nothing_left(tmp_path):
    write_pairs(tmp_path, 2)
    for path in (tmp_path / "images").iterdir():
        path.write_bytes(b"")
    with pytest.raises(SpecError, match="no file is left to train on"):
        made(spec_of(tmp_path, split={"kind": "none"}))


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ({"origin": (HERE[0] + 50, HERE[1])}, "lies 100.0 px right and 0.0 px below of its image"),
        ({"origin": HERE, "crs": "EPSG:32634"}, "has another coordinate system"),
        ({"origin": HERE, "transform": Affine(1, 0, HERE[0], 0, -1, HERE[1])}, "are 2 x 2 those"),
    ],
    ids=["place", "crs", "scale"],
)
def test_a_target_of_another_place_or_scale(tmp_path, mask, words):
    georeferenced(tmp_path, {"origin": HERE}, mask)
    found = looked(tmp_path)
    assert isinstance(found, Aside)
    assert found.uri.endswith("masks/a.tif")
    assert words in found.reason


def test_a_target_without_place_is_taken_by_its_size(tmp_path):
    georeferenced(tmp_path, {"origin": HERE}, {})
    assert isinstance(looked(tmp_path), Inspected)


def test_nodata_of_the_target_and_of_the_image_do_not_count(tmp_path):
    pixels = np.maximum(picture(1), 1)
    mask = mask_of(pixels)
    pixels[:10], mask[:, :20] = 0, 9
    write_tif(tmp_path / "images/a.tif", pixels.transpose(2, 0, 1), nodata=0)
    write_tif(tmp_path / "masks/a.tif", mask[None], nodata=9)
    found = looked(tmp_path)
    assert isinstance(found, Inspected)
    assert int(found.class_pixels.sum()) == 50 * 60
    assert found.class_pixels.tolist() == [int((mask[10:, 20:] == value).sum()) for value in (0, 1)]


def test_a_scene_with_nothing_to_learn_from(tmp_path):
    write_png(tmp_path / "images/a.png", picture(1))
    write_png(tmp_path / "masks/a.png", np.full((60, 80), 7, np.uint8))
    found = looked(tmp_path, target={"kind": "mask", "classes": spec_of(tmp_path).target.classes, "ignore": [7]})
    assert isinstance(found, Aside)
    assert "no pixel of it can be learned from" in found.reason


def test_nan_is_refused_or_nodata_as_the_spec_says(tmp_path):
    pixels = picture(1).transpose(2, 0, 1).astype(np.float32)
    pixels[1, 3, 4] = np.nan
    write_tif(tmp_path / "images/a.tif", pixels)
    write_tif(tmp_path / "masks/a.tif", mask_of(picture(1))[None])
    refused = looked(tmp_path)
    assert isinstance(refused, Aside)
    assert "NaN among its pixels; set data.nodata.nan: nodata" in str(refused)
    taken = looked(tmp_path, nodata={"nan": "nodata"})
    assert isinstance(taken, Inspected)
    assert int(taken.class_pixels.sum()) == 60 * 80 - 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bands": [4]}, "it has 3 bands, band 4 is asked for"),
        ({"region": {"col_off": 50, "row_off": 0, "width": 40, "height": 40}}, "reaches to column 90, row 40"),
    ],
    ids=["band", "region"],
)
def test_what_is_asked_for_is_not_there(tmp_path, changes, words):
    write_pairs(tmp_path, 1)
    train = spec_of(tmp_path).train.model_dump() | changes
    found = looked(tmp_path, train=train)
    assert isinstance(found, Aside)
    assert words in found.reason


def test_one_band_among_images_of_three(tmp_path):
    write_pairs(tmp_path, 12)
    write_png(tmp_path / "images/00.png", picture(0)[..., 0])
    (aside,) = made(spec_of(tmp_path)).aside
    assert "its image has 1 band, those of most others 3" in aside.reason
    prepared = made(spec_of(tmp_path, expand_single_band=True))
    assert prepared.aside == ()
    assert {one.bands for one in (*prepared.train, *prepared.val)} == {(1, 2, 3), (1, 1, 1)}
    asked = spec_of(tmp_path).train.model_dump() | {"bands": [3, 1]}
    prepared = made(spec_of(tmp_path, expand_single_band=True, train=asked))
    assert {one.bands for one in (*prepared.train, *prepared.val)} == {(3, 1), (1, 1)}


def test_grey_images_give_as_many_bands_as_are_named(tmp_path):
    for number in range(4):
        write_png(tmp_path / f"images/{number}.png", picture(number)[..., 0])
        write_png(tmp_path / f"masks/{number}.png", mask_of(picture(number)))
    train, split = spec_of(tmp_path).train.model_dump(), {"kind": "none"}
    prepared = made(spec_of(tmp_path, split=split, train=train | {"bands": [1, 1, 1]}))
    assert (prepared.num_bands, prepared.aside) == (3, ())
    with pytest.raises(SpecError, match=r"it has 1 band, band 2 is asked for; .*\[1, 1, 1\]"):
        made(spec_of(tmp_path, split=split, train=train | {"bands": [1, 2, 3]}))


def test_grey_images_alone_on_one_side(tmp_path):
    write_pairs(tmp_path / "train", 3)
    for number in (10, 11):
        write_png(tmp_path / f"val/images/{number}.png", picture(number)[..., 0])
        write_png(tmp_path / f"val/masks/{number}.png", mask_of(picture(number)))
    split = {"kind": "pairs", "pairs": spec_of(tmp_path / "val").train}
    prepared = made(spec_of(tmp_path / "train", split=split, expand_single_band=True))
    assert {one.bands for one in prepared.val} == {(1, 1, 1)}


def test_a_region_is_all_that_is_looked_at(tmp_path):
    write_pairs(tmp_path, 1)
    region = {"col_off": 5, "row_off": 10, "width": 41, "height": 39}
    found = looked(tmp_path, train=spec_of(tmp_path).train.model_dump() | {"region": region})
    assert isinstance(found, Inspected)
    assert int(found.class_pixels.sum()) == 41 * 39
    mask = mask_of(picture(0))[10:49, 5:46]
    assert found.class_pixels.tolist() == [int((mask == 0).sum()), int((mask == 1).sum())]


def test_windows_of_a_large_image_count_as_the_whole_does(tmp_path):
    image = picture(5, 1300, 1100)
    write_png(tmp_path / "images/a.png", image)
    write_png(tmp_path / "masks/a.png", mask_of(image))
    found = looked(tmp_path)
    assert isinstance(found, Inspected)
    assert found.class_pixels.tolist() == [int((mask_of(image) == value).sum()) for value in (0, 1)]
    assert sum(piece.count for piece in found.moments[0]) == image[..., 0].size


def test_sides_that_the_scale_does_not_divide_are_cut(tmp_path):
    write_png(tmp_path / "images/a.png", picture(1, 61, 83))
    spec = alone(tmp_path, target={"kind": "high_resolution", "scale": 4}, sampling={"crop": 8})
    pairs, _ = find_pairs(spec.train, made=True)
    found = inspect(pairs[0], spec)
    assert isinstance(found, Inspected)
    assert (found.region.height, found.region.width) == (60, 80)
    assert (found.lattice.height, found.lattice.width) == (15, 20)
