from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from train.made import made, mask_of, picture, spec_of, write_pairs, write_png, write_tif

from encdec_batch.errors import SpecError
from encdec_batch.train.dataset.prepare import Prepared
from encdec_batch.train.dataset.sampling import Cells
from encdec_batch.train.samples.sample import Samples

NONE = {"kind": "none"}


@given(
    weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=30),
    num=st.integers(1, 300),
    seed=st.integers(0, 99),
    epoch=st.integers(0, 9),
)
def test_each_cell_comes_within_one_of_its_expected_number(weights, num, seed, epoch):
    cumulated = np.cumsum(weights) / np.sum(weights)
    number = np.arange(len(weights), dtype=np.int32)
    cells = Cells(scene=number, row=number, col=number, cumulated=cumulated / cumulated[-1], num_samples=num)
    order = cells.order(seed, epoch)
    counts = np.bincount(order, minlength=len(weights))
    assert len(order) == num
    assert np.abs(counts - num * np.array(weights) / np.sum(weights)).max() < 1 + 1e-6
    np.testing.assert_array_equal(order, cells.order(seed, epoch))


def test_epochs_and_seeds_differ():
    number = np.arange(50, dtype=np.int32)
    cells = Cells(scene=number, row=number, col=number, cumulated=(number + 1) / 50, num_samples=50)
    orders = [tuple(cells.order(seed, epoch)) for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == 9
    assert all(sorted(order) == number.tolist() for order in orders)


def scenes_drawn(prepared: Prepared, epoch: int = 0) -> Counter[int]:
    return Counter(prepared.cells[number].scene for number in prepared.cells.order(0, epoch).tolist())


@pytest.mark.parametrize(("weight", "share"), [("scene", 1 / 2), ("area", 1 / 5)])
def test_scenes_by_area_or_all_alike(tmp_path, weight, share):
    for name, side in (("a", 40), ("b", 80)):
        image = picture(side, side, side)
        write_png(tmp_path / f"images/{name}.png", image)
        write_png(tmp_path / f"masks/{name}.png", mask_of(image))
    prepared = made(spec_of(tmp_path, split=NONE, sampling={"crop": 16, "samples": 100, "weight": weight}))
    assert scenes_drawn(prepared)[0] == pytest.approx(100 * share, abs=1)


def test_auto_is_the_area_in_windows_and_one_a_scene_at_least(tmp_path):
    write_pairs(tmp_path, 3)
    assert made(spec_of(tmp_path, split=NONE, sampling={"crop": 20})).cells.num_samples == 3 * 12
    assert made(spec_of(tmp_path, split=NONE, sampling={"crop": (60, 80)})).cells.num_samples == 3
    small = {"crop": 500, "small": "pad"}
    assert made(spec_of(tmp_path, split=NONE, sampling=small)).cells.num_samples == 3


def rare(folder: Path) -> None:
    """Two large images with a small corner of class 1."""
    for number in range(2):
        write_png(folder / f"images/{number}.png", picture(number, 256, 256))
        mask = np.zeros((256, 256), np.uint8)
        mask[:24, :24] = 1
        write_png(folder / f"masks/{number}.png", mask)


def test_balance_shows_a_rare_class_more_often(tmp_path):
    rare(tmp_path)
    shares, windows = [], []
    for balance in (0.0, 0.5, 1.0):
        sampling = {"crop": 32, "samples": 128, "class_balance": balance}
        spec = spec_of(tmp_path, split=NONE, sampling=sampling)
        batch = Samples(made(spec), spec).batch(0, 0, range(128))
        shares.append(float((batch.target == 1).mean()))
        windows.append(float((batch.target == 1).any(axis=(1, 2)).mean()))
    assert shares[0] < 0.01 < shares[1] < 0.1 < shares[2]
    # A class of two is drawn in half of all cases; its cells may have windows that just miss it.
    assert windows[2] == pytest.approx(0.5, abs=0.1)


def test_windows_lie_where_there_is_something_to_learn_from(tmp_path):
    image = picture(3, 256, 256)
    image = np.maximum(image, 1)
    image[:, 64:] = 0
    write_tif(tmp_path / "images/a.tif", image.transpose(2, 0, 1), nodata=0)
    write_png(tmp_path / "masks/a.png", mask_of(image))
    spec = spec_of(tmp_path, split=NONE, sampling={"crop": 32, "samples": 64, "min_valid": 0.5})
    prepared = made(spec)
    batch = Samples(prepared, spec).batch(0, 0, range(64))
    share = batch.valid.mean(axis=(1, 2))
    assert share.min() > 0.4
    assert (share < 0.5).mean() < 0.1
    everywhere = spec_of(tmp_path, split=NONE, sampling={"crop": 32, "samples": 64, "min_valid": 0})
    assert len(made(everywhere).cells.row) > len(prepared.cells.row)


def test_where_no_window_has_enough(tmp_path):
    image = np.maximum(picture(3, 64, 64), 1)
    image[::2] = 0
    write_tif(tmp_path / "images/a.tif", image.transpose(2, 0, 1), nodata=0)
    write_png(tmp_path / "masks/a.png", mask_of(image))
    with pytest.raises(SpecError, match="no window of 32 x 32 px has 90% of pixels to learn from"):
        made(spec_of(tmp_path, split=NONE, sampling={"crop": 32, "min_valid": 0.9}))
