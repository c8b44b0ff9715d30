"""Names planted where no name belongs: what stays of a header under another patient, and what is said of it."""

from __future__ import annotations

import traceback
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from fakes import FakeStore
from pydicom.datadict import tag_for_keyword
from pydicom.tag import Tag
from volume.made import committed, ct_slice
from volume.test_dicom_seg import CARD, MASK, spec

from encdec_batch.errors import EncdecError
from encdec_batch.plan.scene import SourceImage
from encdec_batch.privacy import Pseudonyms
from encdec_batch.spec.output import DicomImageFile, DicomSegFile, VolumeFile
from encdec_batch.volume.build import build_volume
from encdec_batch.volume.dicom_source import read_source
from encdec_batch.volume.wanted import VolumeOrder

NAMES = Pseudonyms("a key of some length")
NAME = "DOE^JOHN"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("ENCDEC_PRIVACY_KEY", "a key of some length")


def planted(path: Path, keyword: str, vr: str, text: str = NAME) -> SourceImage:
    """A file of one slice, where an element of this claimed VR holds a text."""
    dataset, tag = ct_slice(0), Tag(tag_for_keyword(keyword))
    dataset.add_new(tag, "LO", text)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    at = tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little")
    assert buffer.getvalue().count(at + b"LO") == 1
    path.write_bytes(buffer.getvalue().replace(at + b"LO", at + vr.encode()))
    return SourceImage(uri=str(path), etag="")


@pytest.mark.parametrize(
    ("keyword", "vr"),
    [
        ("KVP", "DS"), ("Exposure", "SH"), ("Modality", "DS"), ("ImageType", "IS"), ("RescaleType", "DS"),
        ("SliceLocation", "UI"), ("FrameType", "PN"), ("SharedFunctionalGroupsSequence", "LO"),
    ],
)  # fmt: skip
def test_a_name_in_an_element_of_numbers_or_terms_goes(keyword, vr, tmp_path):
    image = planted(tmp_path / "a.dcm", keyword, vr)
    header = read_source(spec(tmp_path), image, NAMES).header
    assert keyword not in header
    assert "DOE" not in str(header)
    assert (header.SliceThickness, header.Rows) == (3, 24)


def test_only_uids_of_the_standard_stay(tmp_path):
    tail = planted(tmp_path / "a.dcm", "SOPClassUID", "UI", "1.2.840.10008.5.1.4.1.1.2.DOE")
    header = read_source(spec(tmp_path), tail, NAMES).header
    assert header.SOPClassUID == NAMES.uid("1.2.840.10008.5.1.4.1.1.2.DOE")
    text = planted(tmp_path / "b.dcm", "FrameOfReferenceUID", "LO")
    assert read_source(spec(tmp_path), text, NAMES).header.FrameOfReferenceUID == NAMES.uid(NAME)
    whole = planted(tmp_path / "c.dcm", "SOPClassUID", "UI", "1.2.840.10008.5.1.4.1.1.2")
    assert read_source(spec(tmp_path), whole, NAMES).header.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"


@pytest.mark.parametrize("patient", ["keep", "replace"])
@pytest.mark.parametrize("kind", [DicomSegFile, DicomImageFile])
@pytest.mark.parametrize(
    ("keyword", "vr"),
    [("Exposure", "IS"), ("ImagePositionPatient", "IS"), ("SOPInstanceUID", "DS"), ("PatientName", "FD")],
)
def test_what_is_said_of_a_volume_quotes_no_header(kind, patient, keyword, vr, tmp_path):
    image = planted(tmp_path / "a.dcm", keyword, vr)
    store = FakeStore()
    file: VolumeFile = kind(kind="dicom_seg" if kind is DicomSegFile else "dicom_image", patient_module=patient)
    order = VolumeOrder(
        volume_id="series",
        slices=committed(store, np.full((1, 1, 24, 32), 7, np.uint8), [image]),
        product=MASK,
        geometry=None,
        files=(file,),
    )
    try:
        record = build_volume(store, order, spec(tmp_path), CARD)
    except EncdecError as error:
        assert "DOE" not in "".join(traceback.format_exception(error))  # noqa: PT017  (either is right, names are not)
    else:
        made = b"".join(store.get(one.path) for one in record.outputs.values())
        assert patient == "keep" or b"DOE" not in made
