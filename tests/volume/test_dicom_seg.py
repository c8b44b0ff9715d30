"""Segmentations of a series, read back by highdicom."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from fakes import FakeStore
from plan.recipes import order as job_order
from volume.made import committed, enhanced, write_series

from encdec_batch.errors import SceneError, UnsupportedScene
from encdec_batch.models.card import ClassCard, ClassesOutput, Code
from encdec_batch.plan.product import Product
from encdec_batch.plan.scene import SourceImage
from encdec_batch.read.plane import Plane
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.output import DicomSegFile
from encdec_batch.spec.source import PrefixSource
from encdec_batch.volume.build import build_volume
from encdec_batch.volume.wanted import VolumeOrder

LIVER = Code(scheme="SCT", value="10200004", meaning="Liver")
CLASSES = (
    ClassCard(id=0, name="background", color=(0, 0, 0)),
    ClassCard(id=7, name="liver", color=(200, 0, 0), code=LIVER),
    ClassCard(id=9, name="lesion", color=(0, 200, 0)),
)
OUTPUT = ClassesOutput(kind="classes", activation="softmax", classes=CLASSES)
CARD = job_order().card.model_copy(update={"output": OUTPUT})
MASK = Product(name="mask", kind="classes", dtype="uint8", band_names=("class",), nodata=255, class_ids=(0, 7, 9))


def spec(folder: Path) -> JobSpec:
    """Of a job over the files of a folder."""
    return job_order().spec.model_copy(update={"source": PrefixSource(kind="prefix", uri=str(folder))})


@pytest.fixture
def masks() -> np.ndarray:
    """Slices of ids, some invalid; the liver in three slices, a lesion in one."""
    masks = np.zeros((5, 1, 24, 32), np.uint8)
    masks[1:4, :, 4:12, 6:20] = 7
    masks[2, :, 5:7, 8:10] = 9
    masks[:, :, :2] = 255
    return masks


def an_order(store: FakeStore, masks: np.ndarray, folder, **file) -> VolumeOrder:
    return VolumeOrder(
        volume_id="series",
        slices=committed(store, masks, write_series(folder, len(masks))),
        product=MASK,
        geometry=None,
        files=(DicomSegFile(kind="dicom_seg", **file),),
    )


def seg_of(store: FakeStore, order: VolumeOrder, folder: Path) -> highdicom.seg.Segmentation:
    (file,) = build_volume(store, order, spec(folder), CARD).outputs.values()
    assert file.path.startswith("dicom/series/")
    return highdicom.seg.segread(BytesIO(store.get(file.path)))


def test_each_class_is_a_segment_that_refers_to_its_images(masks, tmp_path):
    store = FakeStore()
    seg = seg_of(store, an_order(store, masks, tmp_path), tmp_path)
    assert [one.segment_label for one in map(seg.get_segment_description, seg.segment_numbers)] == ["liver", "lesion"]
    liver, lesion = map(seg.get_segment_description, seg.segment_numbers)
    assert liver.segmented_property_type == highdicom.sr.CodedConcept("10200004", "SCT", "Liver")
    assert lesion.segmented_property_type.scheme_designator == "99ENCDEC"
    assert liver.algorithm_identification.name == CARD.name
    assert (seg.PatientID, seg.StudyInstanceUID, seg.FrameOfReferenceUID) == ("MRN-77", "1.2.3.1", "1.2.3.3")
    sources = [f"1.2.3.9.{number}" for number in range(5)]
    pixels = seg.get_pixels_by_source_instance(sources, combine_segments=True, ignore_spatial_locations=False)
    np.testing.assert_array_equal(pixels, np.where(masks[:, 0] == 7, 1, np.where(masks[:, 0] == 9, 2, 0)))
    volume = seg.get_volume(combine_segments=True)
    np.testing.assert_allclose(volume.spacing, (3.0, 0.5, 0.75))
    np.testing.assert_allclose(volume.position[:2], (-10, -20))


def test_the_same_work_has_the_same_bytes(masks, tmp_path):
    store, again = FakeStore(), FakeStore()
    made, other = (build_volume(one, an_order(one, masks, tmp_path), spec(tmp_path), CARD) for one in (store, again))
    assert made == other
    before, changed = an_order(store, masks, tmp_path), masks.copy()
    changed[1, :, 20, 20] = 9
    different = an_order(again, changed, tmp_path)
    assert different.key != made.volume_key
    assert seg_of(again, different, tmp_path).SOPInstanceUID != seg_of(store, before, tmp_path).SOPInstanceUID


def of_frames(store: FakeStore, masks: np.ndarray, path: Path, frames: list[int]) -> VolumeOrder:
    """Slices that are these frames of one object."""
    images = [SourceImage(uri=str(path), etag="", plane=Plane.of(frame=frame)) for frame in frames]
    return VolumeOrder(
        volume_id="series",
        slices=committed(store, masks, images),
        product=MASK,
        geometry=None,
        files=(DicomSegFile(kind="dicom_seg"),),
    )


@pytest.mark.parametrize("stored", [(2, 1, 0), (1, 2, 0)])
def test_frames_of_one_object_lie_where_they_lay_in_whichever_order_it_has_them(stored, masks, tmp_path):
    """The first one is the head's or the feet's: slices are in the order of space."""
    pydicom.dcmwrite(tmp_path / "ct.dcm", enhanced(stored), enforce_file_format=True)
    store, masks = FakeStore(), masks[:3]
    seg = seg_of(store, of_frames(store, masks, tmp_path / "ct.dcm", [stored.index(n) for n in range(3)]), tmp_path)
    volume = seg.get_volume(combine_segments=True)
    found = {
        round(volume.map_indices_to_reference(np.array([[k, 0, 0]]))[0, 2], 6): k for k in range(len(volume.array))
    }
    for number, mask in enumerate(masks[:, 0]):
        wanted = np.where(mask == 7, 1, np.where(mask == 9, 2, 0))
        if wanted.any():  # highdicom leaves out what is empty at the ends
            np.testing.assert_array_equal(volume.array[found[3.0 * number]], wanted)


def test_a_part_of_the_frames_of_an_object_is_no_segmentation_of_it(masks, tmp_path):
    pydicom.dcmwrite(tmp_path / "ct.dcm", enhanced(), enforce_file_format=True)
    store = FakeStore()
    with pytest.raises(UnsupportedScene, match="2 of 3 frames"):
        seg_of(store, of_frames(store, masks[:2], tmp_path / "ct.dcm", [2, 1]), tmp_path)


def test_more_classes_than_a_segmentation_of_ours_has_numbers_for(masks, tmp_path):
    many = tuple(ClassCard(id=number, name=f"c{number}", color=(0, 0, 0)) for number in range(257))
    output = OUTPUT.model_copy(update={"classes": many})
    store = FakeStore()
    with pytest.raises(UnsupportedScene, match="256 classes"):
        build_volume(
            store,
            an_order(store, masks[:1], tmp_path),
            spec(tmp_path),
            CARD.model_copy(update={"output": output}),
        )


def test_segments_may_be_chosen(masks, tmp_path):
    store = FakeStore()
    seg = seg_of(store, an_order(store, masks, tmp_path, classes=("lesion",)), tmp_path)
    assert [seg.get_segment_description(n).segment_label for n in seg.segment_numbers] == ["lesion"]
    with pytest.raises(UnsupportedScene, match="has no class spleen"):
        build_volume(store, an_order(store, masks, tmp_path, classes=("spleen",)), spec(tmp_path), CARD)


def with_image(order: VolumeOrder, image: SourceImage) -> VolumeOrder:
    """Its first slice is of this image."""
    return replace(order, slices=(replace(order.slices[0], image=image), *order.slices[1:]))


def test_a_source_that_is_gone_or_no_dicom_any_more_is_said(masks, tmp_path):
    store = FakeStore()
    order = an_order(store, masks, tmp_path)
    (tmp_path / "text.dcm").write_text("no DICOM " * 99)
    for name, said in (("gone.dcm", r"missing|no such"), ("text.dcm", "does not say how it is encoded")):
        image = replace(order.slices[2].image, uri=str(tmp_path / name))
        with pytest.raises(SceneError, match=said):
            build_volume(store, with_image(order, image), spec(tmp_path), CARD)
