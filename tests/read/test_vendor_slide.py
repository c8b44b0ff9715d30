"""Through openslide: no file of a vendor is small enough to ship, so slides that both read stand for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from contracts import reader as contract
from fakes import FakeStore
from slides import SECRET, SIDE, pyramid_of, smooth, write_aperio

from encdec_batch.errors import ExtraMissing, SceneChanged, SceneUnreadable, UnsupportedScene
from encdec_batch.read.limits import DEFAULT_LIMITS
from encdec_batch.read.open import open_reader
from encdec_batch.read.options import DEFAULT_OPTIONS, ReadOptions
from encdec_batch.read.plane import WHOLE
from encdec_batch.read.ranges import PinnedObject
from encdec_batch.read.slide.vendor import open_vendor_slide
from encdec_batch.store.local import LocalStore

LEVELS = pyramid_of(smooth(SIDE + 200, SIDE + 300), 3)


@pytest.fixture
def path(tmp_path) -> Path:
    write_aperio(tmp_path / "slide.svs", LEVELS)
    return tmp_path / "slide.svs"


def opened(path: Path, options: ReadOptions = DEFAULT_OPTIONS):
    store = LocalStore(str(path.parent))
    source = PinnedObject(store, path.name, store.info(path.name), DEFAULT_LIMITS)
    return open_vendor_slide(source, WHOLE, options)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_any_window_is_that_of_our_own_reader(path, level):
    options = ReadOptions(um_per_px=0.5 * 2**level)
    ours = open_reader(LocalStore(str(path.parent)), path.name, options=options)
    header = ours.header
    whole = ours.read(contract.Window(0, 0, header.width, header.height), (1, 2, 3), rule="any").pixels
    contract.check_crops(lambda: opened(path, options), whole, count=2)
    found = opened(path, options).header
    assert (found.pixel_size_um, found.level0_downsample) == (header.pixel_size_um, header.level0_downsample)
    assert found.decoder.startswith("openslide ")
    assert SECRET not in repr(found)
    contract.check_thumbnail(lambda: opened(path, options), path)


def test_an_object_that_is_replaced_is_not_read(path):
    reader = opened(path)
    write_aperio(path, pyramid_of(smooth(SIDE, SIDE), 2))
    with pytest.raises(SceneChanged):
        reader.read(contract.Window(0, 0, 10, 10), (1,), rule="any")


def ndpi(path: Path) -> bytes:
    tifffile.imwrite(path, smooth(64, 64), photometric="rgb", extratags=[(65420, 4, 1, 1, True)])
    return path.read_bytes()


def test_vendors_formats_are_told_by_what_they_say(tmp_path):
    """What openslide would read is given to it, and its refusal of these fakes is one line."""
    (tmp_path / "slide.vms").write_bytes(b"[Virtual Microscope Specimen]\nNoLayers=1\n")
    (tmp_path / "slide.mrxs").write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    ndpi(tmp_path / "slide.tif")
    for name in ("slide.vms", "slide.mrxs", "slide.tif"):
        with pytest.raises(SceneUnreadable, match=f"{name}: openslide cannot read it") as caught:
            open_reader(LocalStore(str(tmp_path)), name)
        assert caught.value.hint


def test_from_an_object_store_they_are_set_aside(tmp_path):
    store = FakeStore()
    store.put("slide.tif", ndpi(tmp_path / "slide.tif"))
    with pytest.raises(UnsupportedScene, match="local disk only") as caught:
        open_reader(store, "slide.tif")
    assert "OME-TIFF" in caught.value.hint


def test_files_elsewhere_are_not_followed(tmp_path):
    (tmp_path / "slide.vms").write_bytes(b"[Virtual Microscope Specimen]\nImageFile=../../secret.jpg\n")
    (tmp_path / "other.mrxs").write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "Slidedat.ini").write_bytes(b"[DATAFILE]\nFILE_0 = Data0000.dat\n")
    (tmp_path / "other" / "Data0000.dat").symlink_to("/etc/hostname")
    for name in ("slide.vms", "other.mrxs"):
        with pytest.raises(SceneUnreadable, match="lie elsewhere"):
            open_reader(LocalStore(str(tmp_path)), name)


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openslide", None)
    ndpi(tmp_path / "slide.tif")
    with pytest.raises(ExtraMissing) as caught:
        open_reader(LocalStore(str(tmp_path)), "slide.tif")
    assert caught.value.hint == 'pip install "encdec-batch[openslide]"'


def test_words_of_openslide_are_not_passed_on(tmp_path):
    path = tmp_path / "slide.svs"
    path.write_bytes(f"II*\0{SECRET}".encode() + bytes(100))
    with pytest.raises(SceneUnreadable) as caught:
        opened(path)
    assert isinstance(caught.value.__cause__, openslide.OpenSlideError)
    assert str(caught.value.__cause__) not in str(caught.value)
    assert np.array_equal(caught.value.context["uri"], f"file://{path}")
