"""Scenes that are folders: one version of all their objects, listed, found and pinned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fakes import FakeStore
from zarrs import upload, write_image

from encdec_batch.errors import SceneChanged
from encdec_batch.plan.discover import find_scenes
from encdec_batch.read.folder import folder_of, is_folder
from encdec_batch.read.open import contents_of, open_reader, version_of
from encdec_batch.spec.source import GlobSource, PrefixSource
from encdec_batch.store.local import LocalStore
from encdec_batch.window import Window

DATA = np.arange(2 * 40 * 50, dtype=np.uint16).reshape(2, 40, 50)


@pytest.mark.parametrize(
    ("uri", "is_one"),
    [
        ("s3://bucket/x.zarr", True),
        ("s3://bucket/x.OME.ZARR/", True),
        ("/data/plate.zarr/A/1/0", True),
        ("/data/x.zarr/labels/nuclei", True),
        ("/data/x.zarr/thumbnail.png", False),
        ("/data/x.zarr.zip", False),
        ("/data/zarr", False),
        ("s3://zarr/x.tif", False),
    ],
)
def test_a_folder_is_told_by_its_name(uri, is_one):
    assert is_folder(uri) == is_one


def test_an_object_belongs_to_the_outermost_folder():
    assert folder_of("a/b.zarr/labels/c.zarr/0") == "a/b.zarr"
    assert folder_of("b.zarr/.zattrs") == "b.zarr"
    assert folder_of("a/b.zarr") is None


CHANGES: dict[str, Callable[[FakeStore], object]] = {
    "a chunk replaced": lambda store: store.put("x.zarr/0/0/1/1", b"another"),
    "a chunk taken away": lambda store: store.delete(["x.zarr/0/0/1/1"]),
    "a chunk more": lambda store: store.put("x.zarr/0/0/9/9", b"another"),
    "other attributes": lambda store: store.put("x.zarr/.zattrs", b"{}"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_folder_that_changes_is_another_version(tmp_path, name):
    store = FakeStore()
    upload(store, write_image(tmp_path / "x.zarr", [DATA]), "x.zarr")
    version = version_of(store, "x.zarr")
    # A listing that is still known under this etag is of no use to another folder of another name.
    reader = open_reader(store, "x.zarr", etag=version.etag)
    assert (reader.etag, reader.size_bytes) == (version.etag, version.size)
    CHANGES[name](store)
    assert version_of(store, "x.zarr").etag != version.etag
    with pytest.raises(SceneChanged):
        open_reader(store, "x.zarr", etag=version.etag)
    if "chunk" in name and "more" not in name:
        with pytest.raises(SceneChanged):
            reader.read(Window(0, 0, 50, 40), (1, 2), rule="any")
    else:
        np.testing.assert_array_equal(reader.read(Window(0, 0, 50, 40), (1, 2), rule="any").pixels, DATA)
    reader.close()


def test_a_folder_is_listed_once_for_all_its_planes(tmp_path):
    store = FakeStore()
    upload(store, write_image(tmp_path / "x.zarr", [DATA], "zyx"), "x.zarr")
    etag = version_of(store, "x.zarr").etag
    store.requests.clear()
    readers = [
        open_reader(store, "x.zarr", etag=etag, plane=plane) for plane in contents_of(store, "x.zarr", etag=etag).planes
    ]
    assert ("list", "x.zarr/") not in store.requests
    for number, reader in enumerate(readers):
        np.testing.assert_array_equal(
            reader.read(Window(0, 0, 50, 40), (1,), rule="any").pixels, DATA[number : number + 1]
        )


def test_a_folder_is_one_candidate_with_the_etag_that_is_read(tmp_path):
    path = write_image(tmp_path / "sub/x.zarr", [DATA])
    for name in ("sub/x.zarr.tif", "sub/x.zarr-old.png", "sub/x.zarr0.tif", "a.nii", "b.nii.gz", "c.DCM"):
        (tmp_path / name).write_bytes(b"x")
    (path / "thumbnail.png").write_bytes(b"x")
    found = find_scenes(PrefixSource(kind="prefix", uri=str(tmp_path))).candidates
    names = {candidate.uri.removeprefix(f"file://{tmp_path}/"): candidate for candidate in found}
    assert sorted(names) == [
        "a.nii",
        "b.nii.gz",
        "c.DCM",
        "sub/x.zarr",
        "sub/x.zarr-old.png",
        "sub/x.zarr.tif",
        "sub/x.zarr0.tif",
    ]
    one = names["sub/x.zarr"]
    reader = open_reader(LocalStore(str(tmp_path / "sub")), "x.zarr/", etag=one.etag)
    assert (reader.etag, reader.size_bytes) == (one.etag, one.size_bytes)
    assert one.size_bytes == sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    assert len(find_scenes(GlobSource(kind="glob", uri=str(tmp_path), pattern="**/*.zarr")).candidates) == 1
    passed_over = find_scenes(PrefixSource(kind="prefix", uri=str(tmp_path), suffixes=(".png",))).passed_over
    assert passed_over == {".zarr": 1, ".tif": 2, ".nii": 2, ".dcm": 1}
