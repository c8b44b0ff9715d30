"""Planes of OME-Zarr images; the oracles are zarr-python and ome-zarr-py reading the same folder."""

from __future__ import annotations

import shutil
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from contracts import reader as contract
from fakes import FakeStore
from hypothesis import given, settings
from hypothesis import strategies as st
from zarrs import VARIANTS, VERSION_3, edit, upload, write_image

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.limits import Limits
from encdec_batch.read.open import contents_of, open_reader
from encdec_batch.read.options import ReadOptions
from encdec_batch.read.plane import WHOLE, Plane
from encdec_batch.read.reader import Reader
from encdec_batch.store.local import LocalStore
from encdec_batch.window import Window

SHARED = Path(__file__).resolve().parents[3] / "shared/data/medical/wsi/cmu1_crop.ome.zarr"


def noise(shape: tuple[int, ...], dtype: str = "uint16", seed: int = 0) -> Any:
    """Each value another, as far as the type goes."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    if np.dtype(dtype).kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(max(info.min, -(2**52)), min(info.max, 2**52), shape, endpoint=True).astype(dtype)


def opening(path: Path, plane: Plane = WHOLE, limits: Limits | None = None, **options: Any) -> Callable[[], Reader]:
    store = LocalStore(str(path.parent))
    return lambda: open_reader(store, path.name, plane=plane, options=ReadOptions(**options), limits=limits or Limits())


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_packing(tmp_path, variant):
    data = noise((2, 3, 4, 37, 45))
    path = write_image(tmp_path / "x.zarr", [data], "tczyx", variant=variant, chunks=(1, 2, 3, 16, 20))
    np.testing.assert_array_equal(zarr.open_array(path / "0", mode="r")[...], data)
    planes = contents_of(LocalStore(str(tmp_path)), "x.zarr").planes
    assert planes == tuple(Plane.of(t=t, z=z) for t in range(2) for z in range(4))
    for t, z in ((0, 0), (1, 3)):
        scene = opening(path, Plane.of(t=t, z=z))
        contract.check_pixels(scene, data[t, :, z], seed=t)
    contract.check_costs(scene, looks_up="shards" in variant)
    contract.check_thumbnail(scene, max_side=16)


@pytest.mark.parametrize("variant", ["v2_zlib", "v3_shards"])
@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ("bool", "uint8"),
        ("uint8", "uint8"),
        ("int8", "int16"),
        ("int16", "int16"),
        (">i2", "int16"),
        ("uint32", "float64"),
        (">i4", "float64"),
        ("int64", "float64"),
        ("uint64", "float64"),
        ("float16", "float32"),
        ("float32", "float32"),
        (">f8", "float64"),
    ],
)
def test_every_type(tmp_path, variant, stored, read):
    if variant in VERSION_3 and stored.startswith(">"):
        stored = stored[1:]
    data = noise((2, 20, 30), stored)
    scene = opening(write_image(tmp_path / "x.zarr", [data], variant=variant))
    contract.check_pixels(scene, data.astype(read))


@settings(max_examples=25)
@given(
    variant=st.sampled_from(sorted(VARIANTS)),
    axes=st.sampled_from(["yx", "cyx", "zyx", "tyx", "tcyx", "czyx", "tzyx", "tczyx"]),
    sides=st.lists(st.integers(1, 4), min_size=5, max_size=5),
    chunks=st.lists(st.integers(1, 3), min_size=5, max_size=5),
    data=st.data(),
)
def test_any_cut_of_any_axes_gives_what_zarr_gives(tmp_path_factory, variant, axes, sides, chunks, data):
    shape, chunk = tuple(sides[: len(axes)]), tuple(chunks[: len(axes)])
    path = write_image(
        tmp_path_factory.mktemp("law") / "x.zarr", [noise(shape, "int16")], axes, variant=variant, chunks=chunk
    )
    array = zarr.open_array(path / "0", mode="r")[...]
    plane = data.draw(st.sampled_from(contents_of(LocalStore(str(path.parent)), path.name).planes))
    at = dict(plane.indices)
    cut = array[tuple(slice(None) if axis in "cyx" else at.get(axis, 0) for axis in axes)]
    contract.check_pixels(opening(path, plane), cut if "c" in axes else cut[None])
    contract.check_costs(opening(path, plane), looks_up="shards" in variant)
    shutil.rmtree(path)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_image_of_ome_zarr_py(tmp_path, version):
    """With its labels beside it, and its names of channels, which nobody needs."""
    with warnings.catch_warnings(action="ignore"):  # it warns of a class of its own when it is imported
        import ome_zarr.io
        import ome_zarr.reader
        import ome_zarr.writer
    data, path = noise((2, 3, 64, 80), "uint8"), tmp_path / "x.ome.zarr"
    fmt = ome_zarr.format.format_from_version(version)
    root = zarr.open_group(path, mode="w", zarr_format=fmt.zarr_format)
    ome_zarr.writer.write_image(data, root, [2], axes="czyx", fmt=fmt, storage_options={"chunks": (1, 1, 32, 32)})
    channels = {"channels": [{"label": "Janetta Doernbecher", "color": "FF0000", "active": True}] * 2}
    attributes = {"omero": channels} if version == "0.4" else {"ome": {**root.attrs["ome"], "omero": channels}}
    root.attrs.update(attributes)
    nuclei = (data[0] % 7).astype("int32")
    ome_zarr.writer.write_labels(nuclei, root, "nuclei", None, [2], axes="zyx", fmt=fmt)
    store = LocalStore(str(tmp_path))
    contents = contents_of(store, path.name)
    assert (contents.planes, contents.stacked_along) == (tuple(Plane.of(z=z) for z in range(3)), "z")
    nodes = list(ome_zarr.reader.Reader(ome_zarr.io.parse_url(path))())
    read = np.asarray(nodes[0].data[0])
    np.testing.assert_array_equal(read, data)
    contract.check_pixels(opening(path, Plane.of(z=1)), read[:, 1])
    header = opening(path, Plane.of(z=1))().header
    assert (header.driver, header.band_names, header.pixel_size_um) == ("OME-Zarr", (None, None), None)
    labels = LocalStore(str(path / "labels"))
    contract.check_pixels(lambda: open_reader(labels, "nuclei", plane=Plane.of(z=1)), nuclei[1].astype("float64")[None])


def pyramid(tmp_path: Path, **options: Any) -> Path:
    finest = noise((2, 96, 160), "uint8")
    levels = [finest, finest[:, ::2, ::2], finest[:, ::4, ::4]]
    return write_image(tmp_path / "x.zarr", levels, **options)


@pytest.mark.parametrize(
    ("asked", "level", "height"),
    [(None, 0, 96), (0.25, 0, 192), (0.5, 0, 96), (0.8, 0, 60), (0.995, 1, 48), (1.5, 1, 32), (2, 2, 24), (4, 2, 12)],
)
def test_a_level_is_chosen_by_the_size_of_its_pixels_and_resampled_where_none_fits(tmp_path, asked, level, height):
    store = FakeStore()
    upload(store, pyramid(tmp_path), "x.zarr")
    store.requests.clear()
    reader = open_reader(store, "x.zarr", options=ReadOptions(um_per_px=asked))
    assert reader.header.height == height
    assert reader.header.level0_downsample == pytest.approx((96 / height,) * 2)
    reader.read(Window(0, 0, 1, 1), (1,), rule="any")
    assert {path.split("/")[1] for _, path in store.requests if path[-1].isdigit()} == {str(level)}
    reader.close()


@pytest.mark.parametrize(("unit", "times"), [("nanometer", 1e-3), ("millimeter", 1e3), (None, None), ("pixel", None)])
def test_units(tmp_path, unit, times):
    path = pyramid(tmp_path, unit=unit)
    size = opening(path)().header.pixel_size_um
    assert size == (None if times is None else pytest.approx((0.5 * times,) * 2))
    if times is None:
        with pytest.raises(UnsupportedScene, match="does not say how large its pixels are"):
            opening(path, um_per_px=1)()


@pytest.mark.parametrize("variant", ["v2_zlib", "v3_shards"])
def test_a_thumbnail_is_made_of_the_coarsest_level_that_is_large_enough(tmp_path, variant):
    path = pyramid(tmp_path, variant=variant)
    store = FakeStore()
    upload(store, path, "x.zarr")
    for side, level in ((100, 0), (64, 1), (40, 2), (7, 2)):
        reader = open_reader(store, "x.zarr")
        store.requests.clear()
        patch = reader.thumbnail(side)
        read = {request[1].split("/")[1] for request in store.requests if "zar" not in request[1].split("/")[2]}
        assert read == {str(level)}
        data = zarr.open_array(path / str(level), mode="r")[...]
        step = -(-data.shape[2] // side)
        np.testing.assert_array_equal(patch.pixels, data[:, ::step, ::step])
        reader.close()


@pytest.mark.parametrize("fill", [0, 7, None])
def test_missing_chunks_have_the_fill_value_or_none(tmp_path, fill):
    data = noise((3, 40, 40), "uint8") | 1
    path = write_image(tmp_path / "x.zarr", [data], variant="v2_zlib", fill_value=fill or 0)
    if fill is None:
        edit(path, "0/.zarray", fill_value=None)
    whole = opening(path)()
    assert whole.header.mask == "none"
    for name in ("0/0/1/1", "0/1/1/1", "0/2/0/0"):
        (path / name).unlink()
    valid = np.ones(data.shape, np.bool_)
    for band, rows, cols in (
        (0, slice(16, 32), slice(20, 40)),
        (1, slice(16, 32), slice(20, 40)),
        (2, slice(0, 16), slice(0, 20)),
    ):
        data[band, rows, cols] = fill or 0
        valid[band, rows, cols] = fill is not None
    contract.check_pixels(opening(path), data, valid)
    header = opening(path)().header
    assert (header.mask, header.nodata) == ("nodata" if fill is None else "none", (None,) * 3)
    np.testing.assert_array_equal(zarr.open_array(path / "0", mode="r")[...], data)


def test_missing_chunks_of_shards_and_shards_that_are_missing(tmp_path):
    data = noise((1, 100, 100), "float32")
    data[:, :32, :40], data[:, 64:80, 40:60] = np.nan, np.nan
    path = write_image(
        tmp_path / "x.zarr", [data], variant="v3_shards", fill_value=np.nan, config={"write_empty_chunks": False}
    )
    assert not (path / "0/c/0/0/0").exists()
    contract.check_pixels(opening(path), data)
    contract.check_costs(opening(path), looks_up=True)


@pytest.mark.parametrize("variant", ["v2_blosc_lz4", "v3_blosc", "v3_shards"])
def test_chunks_are_fetched_once_in_a_run_of_blocks(tmp_path, variant):
    path = write_image(tmp_path / "x.zarr", [noise((2, 64, 400))], variant=variant)
    store = FakeStore()
    upload(store, path, "x.zarr")
    reader = open_reader(store, "x.zarr")
    windows = [Window.from_bounds((10, 60), (max(0, at - 7), min(400, at + 67))) for at in range(0, 400, 60)]
    said = reader.bytes_for(windows, (1, 2))
    opened = reader.bytes_read
    for window in windows:
        reader.read(window, (1, 2), rule="any")
    assert reader.bytes_read - opened == said
    index = sum(len(data) for name, (data, _) in store.objects.items() if "/c/" in name or name.count("/") == 4)
    assert said <= index
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("chunks")]


@pytest.mark.parametrize("kept", [0, 3000])
def test_little_is_kept_where_little_may_be(tmp_path, kept):
    path = write_image(tmp_path / "x.zarr", [noise((2, 64, 400))], variant="v2_plain")
    contract.check_costs(opening(path, limits=Limits(kept_bytes=kept)), keeps_a_window=False)


def test_a_collection_is_named_by_its_images(tmp_path):
    """A plate, a well, and what bioformats2raw makes of a file."""
    data = noise((2, 30, 40), "uint8")
    for root in ("plate.zarr", "two.zarr", "one.zarr"):
        zarr.open_group(tmp_path / root, mode="w", zarr_format=2)
    write_image(tmp_path / "plate.zarr/A/1/0", [data])
    (tmp_path / "plate.zarr/.zattrs").write_text('{"plate": {"wells": [{"path": "A/1"}]}}')
    (tmp_path / "plate.zarr/A/1/.zattrs").write_text('{"well": {"images": [{"path": "0"}]}}')
    for root, count in (("one.zarr", 1), ("two.zarr", 2)):
        (tmp_path / root / ".zattrs").write_text('{"bioformats2raw.layout": 3}')
        for number in range(count):
            write_image(tmp_path / root / str(number), [data + number])
    for name in ("plate.zarr", "plate.zarr/A/1", "two.zarr"):
        with pytest.raises(UnsupportedScene, match="another collection of images") as caught:
            open_reader(LocalStore(str((tmp_path / name).parent)), Path(name).name)
        assert "name its images one by one" in caught.value.hint
    for name, expected in (
        ("plate.zarr/A/1/0", data),
        ("one.zarr", data),
        ("two.zarr/1", data + 1),
        ("one.zarr/0", data),
    ):
        contract.check_pixels(opening(tmp_path / name), expected)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not here")
def test_a_real_image():
    for um, level in ((None, 0), (1, 1), (2, 2)):
        data = zarr.open_array(SHARED / str(level), mode="r")[...]
        contract.check_pixels(opening(SHARED, um_per_px=um), data)
    contract.check_costs(opening(SHARED))
    contract.check_thumbnail(opening(SHARED))
