"""Derived images, read back by pydicom and highdicom."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from fakes import FakeStore
from plan.recipes import card, order
from pydicom.pixels import apply_modality_lut
from volume.made import committed, ct_slice, enhanced

from encdec_batch.errors import UnsupportedScene
from encdec_batch.models.card import BandCard, Card, ConstantNormalization, ImageOutput
from encdec_batch.plan.product import Product
from encdec_batch.plan.scene import SourceImage
from encdec_batch.read.plane import Plane
from encdec_batch.spec.output import DicomImageFile
from encdec_batch.spec.source import PrefixSource
from encdec_batch.volume.build import build_volume
from encdec_batch.volume.wanted import VolumeOrder

MEAN, STD = 40.0, 300.0
SHAPE = (24, 32)


def network(
    dtype: str = "float32", *, bands: int = 1, scale: int = 1, unit: str = "scaled", in_units: bool = True
) -> Card:
    """A card of values that are (HU - MEAN) / STD, and turned back."""
    made = card(scale=scale)
    changes = {
        "task": "denoising",
        "bands": tuple(BandCard(name=f"b{n}", unit=unit) for n in range(bands)),
        "normalization": ConstantNormalization(kind="constants", mean=(MEAN,) * bands, std=(STD,) * bands),
        "output": ImageOutput(
            kind="image",
            band_names=tuple(f"o{n}" for n in range(bands)),
            dtype=dtype,
            range=(-4.0, 12.0),
            **({"scale": STD, "offset": MEAN} if in_units else {}),
        ),
    }
    return made.model_copy(update=changes)


def rasters_of(wanted: np.ndarray, dtype: str) -> np.ndarray:
    """What a network of `network` leaves for these Hounsfield units (NaN: nodata), as `ImageHead` stores it."""
    if dtype == "float32":
        return wanted.astype(np.float32)
    values = (wanted - MEAN) / STD
    levels = {"uint8": 254, "uint16": 65534}[dtype]
    stored = 1 + np.floor((values.clip(-4, 12) + 4) * levels / 16 + 0.5)
    return np.where(np.isnan(wanted), 0, stored).astype(dtype)


def write(folder: Path, datasets: list[pydicom.Dataset]) -> list[SourceImage]:
    images = []
    for number, dataset in enumerate(datasets):
        path = folder / f"{number}.dcm"
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
        images.append(SourceImage(uri=str(path), etag=""))
    return images


def derived(
    made: Card, images: list[SourceImage], slices: np.ndarray, store: FakeStore | None = None, reach: int = 0, **file
) -> list[pydicom.Dataset]:
    """The objects that are made of rasters (slices, bands, height, width) of these images."""
    store = store or FakeStore()
    dtype = slices.dtype.name
    product = Product(
        name="image",
        kind="image",
        dtype=dtype,
        band_names=made.output.band_names,
        nodata=np.nan if dtype == "float32" else 0,
    )
    wanted = VolumeOrder(
        volume_id="series",
        slices=committed(store, slices, images, "image"),
        product=product,
        geometry=None,
        files=(DicomImageFile(kind="dicom_image", **file),),
        reach=reach,
    )
    source = PrefixSource(kind="prefix", uri=str(Path(images[0].uri).parent))
    record = build_volume(store, wanted, order().spec.model_copy(update={"source": source}), made)
    assert all(one.path.startswith("dicom/series/") for one in record.outputs.values())
    return [pydicom.dcmread(BytesIO(store.get(one.path))) for one in record.outputs.values()]


def physical(dataset: pydicom.Dataset) -> np.ndarray:
    return apply_modality_lut(dataset.pixel_array, dataset)


def hounsfield(count: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(0).integers(-900, 2000, (count, 1, *shape)).astype(float)


@pytest.mark.parametrize(("dtype", "off"), [("float32", 0.01), ("uint16", 0.6), ("uint8", 20)])
def test_a_denoised_ct_is_a_ct_in_hounsfield_units(dtype, off, tmp_path):
    sources = [ct_slice(number) for number in range(3)]
    for source in sources:
        source.ImageType, source.WindowCenter, source.WindowWidth = ["ORIGINAL", "PRIMARY", "AXIAL"], 40, 400
    wanted = hounsfield(3)
    made = derived(network(dtype), write(tmp_path, sources), rasters_of(wanted, dtype))
    for source, one, values in zip(sources, made, wanted, strict=True):
        assert np.abs(physical(one) - values[0]).max() <= off
        assert (one.RescaleSlope, one.RescaleIntercept, one.PixelRepresentation) == (1, -1024, 1)
        assert (one.PatientID, one.StudyInstanceUID, one.SOPClassUID) == ("MRN-77", "1.2.3.1", source.SOPClassUID)
        assert one.ImagePositionPatient == source.ImagePositionPatient
        assert list(one.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
        assert "denoising by" in one.DerivationDescription
        (reference,) = one.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert (one.WindowCenter, one.WindowWidth) == (40, 400)
        assert "1.2.3.2" not in one.SeriesInstanceUID
    assert len({one.SeriesInstanceUID for one in made}) == 1
    assert len({one.SOPInstanceUID for one in made} | {one.SOPInstanceUID for one in sources}) == 6
    volume = highdicom.get_volume_from_series([highdicom.Image.from_dataset(one) for one in made])
    np.testing.assert_allclose(volume.spacing, (3.0, 0.5, 0.75))


def test_super_resolution_has_smaller_pixels_in_the_same_place(tmp_path):
    wanted = hounsfield(2, (72, 96))
    made = derived(network(scale=3), write(tmp_path, [ct_slice(0), ct_slice(1)]), rasters_of(wanted, "float32"))
    for number, one in enumerate(made):
        np.testing.assert_array_equal(physical(one), wanted[number, 0])
        np.testing.assert_allclose(one.PixelSpacing, [0.5 / 3, 0.25], atol=1e-9)
    source = highdicom.get_volume_from_series([highdicom.Image.from_dataset(ct_slice(n)) for n in range(2)])
    volume = highdicom.get_volume_from_series([highdicom.Image.from_dataset(one) for one in made])
    # The outer corner of the first pixel, by the reader's own geometry: slice, row, column.
    corner = [[0.0, -0.5, -0.5]]
    np.testing.assert_allclose(
        volume.map_indices_to_reference(np.array(corner)), source.map_indices_to_reference(np.array(corner)), atol=1e-4
    )


def test_values_of_its_own_come_back_by_the_rescale(tmp_path):
    values = np.random.default_rng(1).uniform(-4, 12, (1, 1, *SHAPE)).astype(np.float32)
    values[0, 0, 0, :5] = np.nan
    images = write(tmp_path, [ct_slice(0)])
    (one,) = derived(network(in_units=False), images, values)
    known = ~np.isnan(values[0, 0])
    assert np.abs(physical(one) - values[0, 0])[known].max() <= 16 / 65534
    assert (one.RescaleType, one.PixelPaddingValue) == ("US", 0)
    np.testing.assert_array_equal(one.pixel_array == 0, ~known)
    (asked,) = derived(network(in_units=False), images, values, values="source")
    np.testing.assert_allclose(physical(asked)[known], values[0, 0][known], atol=0.51)


def test_padding_stays_padding_and_nothing_else_becomes_it(tmp_path):
    source = ct_slice(0)
    source.PixelPaddingValue = -24
    wanted = hounsfield(1)
    wanted[0, 0, 0, :4], wanted[0, 0, 1, :4] = np.nan, -1048
    (one,) = derived(network(), write(tmp_path, [source]), rasters_of(wanted, "float32"))
    np.testing.assert_array_equal(one.pixel_array == -24, np.isnan(wanted[0, 0]))
    assert (physical(one)[1, :4] == -1047).all()


def test_small_bright_values_of_monochrome1_are_turned_for_good(tmp_path):
    """As a reader gives them: larger is brighter (encdec_batch/read/dicom/values.py)."""
    source = ct_slice(0)
    del source.RescaleSlope, source.RescaleIntercept
    source.PhotometricInterpretation, source.PresentationLUTShape = "MONOCHROME1", "INVERSE"
    source.BitsStored, source.HighBit, source.PixelRepresentation = 12, 11, 0
    source.WindowCenter, source.WindowWidth = 1000, 100
    wanted = np.random.default_rng(2).integers(0, 4096, (1, 1, *SHAPE)).astype(float)
    (one,) = derived(network(unit="raw"), write(tmp_path, [source]), rasters_of(wanted, "float32"))
    np.testing.assert_array_equal(one.pixel_array, wanted[0, 0])
    assert (one.PhotometricInterpretation, one.PresentationLUTShape, one.BitsStored) == ("MONOCHROME2", "IDENTITY", 12)
    assert (one.WindowCenter, one.WindowWidth) == (4096 - 1000, 100)


def test_colours_stay_colours(tmp_path):
    source = ct_slice(0)
    source.SamplesPerPixel, source.PhotometricInterpretation, source.PlanarConfiguration = 3, "RGB", 1
    source.BitsAllocated, source.BitsStored, source.HighBit, source.PixelRepresentation = 8, 8, 7, 0
    source.PixelData = bytes(3 * 24 * 32)
    wanted = np.random.default_rng(3).integers(0, 256, (1, 3, *SHAPE)).astype(float)
    made = network(bands=3, unit="raw")
    (one,) = derived(made, write(tmp_path, [source]), rasters_of(wanted, "float32"))
    np.testing.assert_array_equal(one.pixel_array, np.moveaxis(wanted[0], 0, -1))


@pytest.mark.parametrize("scale", [1, 2])
def test_many_frames_in_one_object_stay_one_object(scale, tmp_path):
    source = enhanced()
    (image,) = write(tmp_path, [source])
    places = [g.PlanePositionSequence[0].ImagePositionPatient[2] for g in source.PerFrameFunctionalGroupsSequence]
    in_space = sorted(range(3), key=lambda frame: places[frame])
    images = [replace(image, plane=Plane.of(frame=frame)) for frame in in_space]
    wanted = hounsfield(3, (24 * scale, 32 * scale))
    (one,) = derived(network(scale=scale), images, rasters_of(wanted, "float32"))
    found = highdicom.Image.from_dataset(one)
    stack = found.get_volume(apply_modality_transform=True)
    np.testing.assert_allclose(stack.array, wanted[:, 0] if stack.position[2] == 0 else wanted[::-1, 0])
    np.testing.assert_allclose(stack.spacing, (3.0, 0.5 / scale, 0.75 / scale))
    (item,) = one.SharedFunctionalGroupsSequence[0].DerivationImageSequence
    assert item.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    x, y = stack.position[:2]
    np.testing.assert_allclose((x, y), (-10 - 0.375 * (1 - 1 / scale), -20 - 0.25 * (1 - 1 / scale)))
    with pytest.raises(UnsupportedScene, match="2 of 3 frames"):
        derived(network(scale=scale), images[:2], rasters_of(wanted[:2], "float32"))


def test_the_same_work_has_the_same_bytes_and_neighbours_are_named(tmp_path):
    images, slices = write(tmp_path, [ct_slice(n) for n in range(3)]), rasters_of(hounsfield(3), "float32")
    store, again = FakeStore(), FakeStore()
    made, other = (derived(network(), images, slices, one, reach=1) for one in (store, again))
    assert made == other
    named = [[item.ReferencedSOPInstanceUID[-1] for item in one.SourceImageSequence] for one in made]
    assert named == [["0", "1"], ["1", "0", "2"], ["2", "1"]]
    changed = derived(network().model_copy(update={"task": "x"}), images, slices, values="source")
    assert {one.SeriesInstanceUID for one in changed} != {one.SeriesInstanceUID for one in made}


PLANTED = ("Doernbecher", "Janetta", "MRN-77", "20200102", "1.2.3", "Springfield", "Burnt")


def planted(source: pydicom.Dataset) -> pydicom.Dataset:
    """With names in each kind of text, at the top and in a sequence, and in private elements."""
    source.ImageType = ["ORIGINAL", "PRIMARY", "DOE", "AXIAL"]
    source.PatientOrientation, source.RescaleType, source.BodyPartExamined = ["L", "JANE"], "Doernbecher", "DOE"
    source.private_block(0x0011, "Janetta Doernbecher", create=True).add_new(0x01, "LO", "Janetta Doernbecher")
    inner = pydicom.Dataset()
    inner.ReferencedSOPInstanceUID = "1.2.3.9.77"
    source.ReferencedImageSequence = [inner]
    texts = {
        "LO": "Doernbecher Janetta",
        "SH": "Doernbecher",
        "LT": "Burnt Doernbecher",
        "ST": "Doernbecher",
        "UT": "Doernbecher",
        "PN": "Doernbecher^Janetta",
        "UC": "Doernbecher",
    }
    texts |= {"DA": "20200102", "DT": "20200102030405", "AE": "Doernbecher", "UR": "http://Doernbecher"}
    keywords = ["InstitutionName", "StationName", "AdditionalPatientHistory", "InstitutionAddress", "TextValue"]
    keywords += ["OperatorsName", "LongCodeValue", "AcquisitionDate", "AcquisitionDateTime", "StationAETitle"]
    for holder in (source, inner):
        for keyword in keywords:
            tag = pydicom.datadict.tag_for_keyword(keyword)
            holder.add_new(tag, kind := pydicom.datadict.dictionary_VR(tag), texts[kind])
    return source


def test_with_patients_replaced_nobody_is_named_and_what_belongs_together_stays_so(tmp_path, monkeypatch):
    monkeypatch.setenv("ENCDEC_PRIVACY_KEY", "a key for tests, long enough")
    wanted = hounsfield(2)
    images = write(tmp_path, [planted(ct_slice(n)) for n in range(2)])
    made = derived(network(), images, rasters_of(wanted, "float32"), patient_module="replace")
    for one, values in zip(made, wanted, strict=True):
        buffer = BytesIO()
        one.save_as(buffer)
        head = buffer.getvalue()[: -values.size * 2].decode("latin1").lower()
        assert [word for word in PLANTED if word.lower() in head] == []
        np.testing.assert_array_equal(physical(one), values[0])
        assert list(one.ImageType) == ["DERIVED", "SECONDARY"]
        assert (one.PatientIdentityRemoved, one.StudyDate, one.PatientName) == ("YES", "", one.PatientID)
    first, second = made
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert first[keyword].value == second[keyword].value
    (kept,) = derived(network(), images[:1], rasters_of(wanted[:1], "float32"))
    assert (kept.PatientName, kept.InstitutionName) == ("Doernbecher^Janetta", "Doernbecher Janetta")
    assert not any(element.tag.is_private for element in kept)


def test_a_source_that_it_cannot_be_stored_as_is_said(tmp_path):
    source = ct_slice(0)
    source.BitsAllocated, source.BitsStored, source.HighBit = 32, 32, 31
    source.PixelData = bytes(4 * 24 * 32)
    with pytest.raises(UnsupportedScene, match="cannot be stored as the source is, in 1 of float64"):
        derived(network(), write(tmp_path, [source]), rasters_of(hounsfield(1), "float32"))
