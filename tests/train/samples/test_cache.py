from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from train.made import made, picture, spec_of, write_pairs, write_png, write_tif

from encdec_batch.spec.train_data import DataSpec
from encdec_batch.train.dataset.prepare import Prepared
from encdec_batch.train.samples.cache import Scenes
from encdec_batch.window import Window

WINDOW = Window(3, 4, 20, 10)


def limited(spec: DataSpec, mib: int) -> DataSpec:
    return spec.model_copy(update={"loading": spec.loading.model_copy(update={"cache_mib": mib})})


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> tuple[DataSpec, Prepared]:
    """Six scenes of about half a MiB each, decoded."""
    folder = tmp_path_factory.mktemp("large")
    write_pairs(folder, 6, height=280, width=280)
    spec = spec_of(folder, split={"kind": "none"})
    return spec, made(spec)


def test_what_is_kept_stays_within_its_bytes(large):
    spec, prepared = large
    scenes = Scenes(prepared.train, limited(spec, 2))
    most = 0
    for number in [0, 1, 2, 3, 4, 5, 0, 5, 2] * 2:
        scenes.read(number, WINDOW)
        most = max(most, scenes.bytes_kept)
    assert 0 < most <= 2 << 20
    scenes.close()
    assert scenes.bytes_kept == 0


@pytest.mark.parametrize("mib", [0, 1, 2, 512])
def test_windows_are_the_same_with_and_without_a_cache(large, mib):
    spec, prepared = large
    scenes = Scenes(prepared.train, limited(spec, mib))
    for number in (5, 0, 5):
        raw = scenes.read(number, WINDOW)
        wanted = picture(number, 280, 280)[WINDOW.rows, WINDOW.cols]
        np.testing.assert_array_equal(raw.pixels, wanted.transpose(2, 0, 1))
    assert (scenes.bytes_kept > 0) == (mib >= 2)
    scenes.close()


def test_a_kept_scene_needs_its_file_no_more(tmp_path):
    write_pairs(tmp_path, 1)
    spec = spec_of(tmp_path, split={"kind": "none"})
    scenes = Scenes(made(spec).train, spec)
    first = scenes.read(0, WINDOW)
    for path in tmp_path.rglob("*.png"):
        path.unlink()
    np.testing.assert_array_equal(scenes.read(0, WINDOW).pixels, first.pixels)


def test_a_large_tiff_is_read_by_windows_of_its_region(tmp_path):
    image = picture(1, 400, 600)
    write_tif(tmp_path / "images/a.tif", image.transpose(2, 0, 1), tiled=True, blockxsize=64, blockysize=64)
    write_png(tmp_path / "masks/a.png", np.zeros((400, 600), np.uint8))
    region = {"col_off": 100, "row_off": 50, "width": 300, "height": 200}
    train = spec_of(Path(tmp_path)).train.model_dump() | {"region": region}
    spec = limited(spec_of(tmp_path, train=train, split={"kind": "none"}), 0)
    scenes = Scenes(made(spec).train, spec)
    raw = scenes.read(0, WINDOW)
    np.testing.assert_array_equal(raw.pixels, image[54:64, 103:123].transpose(2, 0, 1))
    assert scenes.bytes_kept == 0
    again = pickle.loads(pickle.dumps(scenes))
    np.testing.assert_array_equal(again.read(0, WINDOW).pixels, raw.pixels)
    scenes.close()
    again.close()
