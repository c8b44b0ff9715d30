"""Whole slides in DICOM, made tile by tile with pydicom; wsidicom reads the same files as the second opinion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dicoms as made
import numpy as np
import pytest
from contracts import reader as contract
from dicom_slides import TILE, group, slide
from fakes import FakeStore
from plan.recipes import order
from pydicom.uid import UID
from wsidicom import WsiDicom

from encdec_batch.errors import SceneUnreadable, UnsupportedScene
from encdec_batch.job.contents import list_scenes
from encdec_batch.read.limits import DEFAULT_LIMITS, Limits
from encdec_batch.read.open import contents_of, open_reader
from encdec_batch.read.options import ReadOptions
from encdec_batch.read.plane import Plane
from encdec_batch.read.reader import Reader

HEIGHT, WIDTH = 150, 210
LARGE = Limits(small_file_bytes=0)
"""Of files so small tiles would not be fetched by themselves."""


def pixels(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """(height, width, 3)"""
    return made.ramp(height, width, dtype="uint8", samples=3)


def reader(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Reader:
    store = FakeStore()
    store.put("s.dcm", data)
    return open_reader(store, "s.dcm", limits=limits)


def by_wsidicom(data: bytes, folder: Path) -> np.ndarray:
    """(3, height, width)"""
    path = folder / "s.dcm"
    path.write_bytes(data)
    with WsiDicom.open(path) as opened:
        size = opened.size
        return np.moveaxis(opened.read_region((0, 0), 0, (size.width, size.height), as_array=True), -1, 0)


FILES = {
    "native": lambda: slide(pixels()),
    "jpeg": lambda: slide(pixels(), made.JPEG),
    "jpeg without a table": lambda: slide(pixels(), made.JPEG, table=False),
    "jpeg 2000": lambda: slide(pixels(), made.JPEG_2000, PhotometricInterpretation="YBR_RCT"),
    "sparse": lambda: slide(pixels(), sparse=[3, 0, 11, 2, 1, 5, 4, 10, 9, 8, 7, 6]),
}


@pytest.mark.parametrize("name", FILES)
def test_windows_are_those_of_wsidicom(name, tmp_path):
    data = FILES[name]()
    whole = by_wsidicom(data, tmp_path)
    assert whole.shape == (3, HEIGHT, WIDTH)
    if "jpeg" not in name or "2000" in name:
        np.testing.assert_array_equal(whole, np.moveaxis(pixels(), -1, 0))
    contract.check_crops(lambda: reader(data, LARGE), whole)
    contract.check_costs(lambda: reader(data, LARGE))
    contract.check_thumbnail(lambda: reader(data))
    header = reader(data).header
    assert (header.layout, header.tile_height, header.tile_width) == ("tiled", TILE, TILE)
    assert header.pixel_size_um == (0.5, 0.5)
    assert header.mask == "none"
    assert bool(header.decoder) == (name not in ("native", "sparse"))


def test_where_there_is_no_tile_nothing_is_known():
    data = slide(pixels(), sparse=[0, 5])
    valid = np.zeros((HEIGHT, WIDTH), bool)
    valid[:64, :64] = valid[64:128, 64:128] = True
    whole = np.where(valid, np.moveaxis(pixels(), -1, 0), 0).astype(np.uint8)
    contract.check_crops(lambda: reader(data, LARGE), whole, valid_HW=valid)
    opened = reader(data)
    assert opened.header.mask == "internal"
    assert not opened.thumbnail(64).valid_mask.all()


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "a part of a level": (lambda: slide(pixels(), ConcatenationUID="1.2"), UnsupportedScene, "concatenation"),
    "a label": (lambda: slide(pixels(), ImageType=["ORIGINAL", "PRIMARY", "LABEL"]), UnsupportedScene, "label"),
    "off the grid": (
        lambda: slide(pixels(), sparse=[0], PerFrameFunctionalGroupsSequence=[group(3, 0)]),
        UnsupportedScene,
        "do not lie on a grid",
    ),
    "beside the slide": (
        lambda: slide(pixels(), sparse=[0], PerFrameFunctionalGroupsSequence=[group(6400, 0)]),
        SceneUnreadable,
        "lies beside the slide",
    ),
    "two in one place": (
        lambda: slide(pixels(), sparse=[0, 1], PerFrameFunctionalGroupsSequence=[group(0, 0)] * 2),
        UnsupportedScene,
        "several focal planes",
    ),
    "tiles missing": (lambda: slide(pixels(), TotalPixelMatrixRows=400), SceneUnreadable, "28 tiles, and it has 12"),
    "absurd": (
        lambda: slide(pixels(), TotalPixelMatrixRows=2**31 - 1, TotalPixelMatrixColumns=2**31 - 1),
        UnsupportedScene,
        "more than are read",
    ),
    "no size": (lambda: slide(pixels(), TotalPixelMatrixRows=0), SceneUnreadable, "210 x 0 px"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_slide_that_is_read_is_said(name):
    data, error, said = REFUSED[name]
    with pytest.raises(error, match=said):
        reader(data())


def test_a_table_that_is_wrong_inside_is_found():
    data = slide(pixels(), made.JPEG)
    start = data.index(b"\xfe\xff\x00\xe0", data.index(b"\xe0\x7f\x10\x00")) + 8
    table = bytearray(data)
    table[start + 4 * 5 : start + 4 * 6] = (int.from_bytes(data[start + 20 : start + 24], "little") + 2).to_bytes(
        4, "little"
    )
    opened = reader(bytes(table), LARGE)
    with pytest.raises(SceneUnreadable, match="no whole fragment"):
        opened.read(contract.Window(0, 0, WIDTH, HEIGHT), [1], rule="any")


def test_frames_of_a_slide_are_no_planes():
    store = FakeStore()
    store.put("s.dcm", slide(pixels()))
    assert contents_of(store, "s.dcm").planes == (Plane(),)
    with pytest.raises(UnsupportedScene, match="tiles of one image"):
        open_reader(store, "s.dcm", plane=Plane.of(frame=1))


@pytest.mark.parametrize(("um_per_px", "chosen"), [(None, "b"), (0.5, "b"), (1.0, "a"), (3.0, "c"), (0.7, "b")])
def test_the_level_that_is_wanted_is_the_scene_and_pictures_beside_are_none(um_per_px, chosen, tmp_path):
    levels = {"a": (75, 105, 1.0, "VOLUME"), "b": (150, 210, 0.5, "VOLUME"), "c": (38, 53, 2.0, "VOLUME")}
    levels |= {
        "label": (40, 40, 9.0, "LABEL"),
        "thumb": (30, 42, 2.5, "THUMBNAIL"),
        "glass": (50, 90, 20.0, "OVERVIEW"),
    }
    for number, (name, (height, width, um, kind)) in enumerate(levels.items()):
        changes = {"SOPInstanceUID": UID(f"1.2.{number}"), "ImageType": ["DERIVED", "PRIMARY", kind, "RESAMPLED"]}
        (tmp_path / f"{name}.dcm").write_bytes(slide(pixels(height, width), um=um, **changes))
    source = {"kind": "prefix", "uri": str(tmp_path), "um_per_px": um_per_px}
    listing = list_scenes(order(source=source, privacy={"hide": "off"}).spec, FakeStore())
    assert [one.scene_id for one in listing.candidates] == [chosen]
    assert listing.unnamed == ()
    store = FakeStore()
    store.put("s.dcm", (tmp_path / f"{chosen}.dcm").read_bytes())
    opened = open_reader(store, "s.dcm", options=ReadOptions(um_per_px=um_per_px))
    assert opened.header.pixel_size_um[0] == pytest.approx(um_per_px or 0.5, rel=0.02)


def test_two_levels_of_one_size_are_set_aside(tmp_path):
    for number in range(2):
        (tmp_path / f"{number}.dcm").write_bytes(slide(pixels(), SOPInstanceUID=UID(f"1.2.{number}")))
    source = {"kind": "prefix", "uri": str(tmp_path)}
    listing = list_scenes(order(source=source, privacy={"hide": "off"}).spec, FakeStore())
    assert listing.candidates == ()
    assert {one.reason for one in listing.unnamed} == {"its slide has 2 levels, and several of one size"}
