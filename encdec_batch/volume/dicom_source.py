"""What DICOM objects of a volume say beside their pixels: results refer to them, and are filed with their patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from encdec_batch.plan.open import as_image_errors, pinned
from encdec_batch.plan.scene import SourceImage
from encdec_batch.privacy import Pseudonyms
from encdec_batch.read.dicom.file import DicomFile, read_dicom_file
from encdec_batch.read.dicom.library import guarded
from encdec_batch.read.dicom.stream import HeaderStream, Inflater
from encdec_batch.read.ranges import PinnedObject, View
from encdec_batch.spec.job import JobSpec
from encdec_batch.volume.patient import replaced

_MAY_BE_MISSING = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
"""Elements of type 2: they must be there, may be empty, and are missing in many files."""
_PIXELS = 0x7FE00001
"""From here on it is pixels and what leads to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomSource:
    """One object."""

    header: Any
    """A pydicom `Dataset` without pixels."""
    dicom: DicomFile
    """What its pixels are."""


def read_source(spec: JobSpec, image: SourceImage, names: Pseudonyms | None = None) -> DicomSource:
    """The whole header of a DICOM object.

    Args:
        spec: of the job.
        image: of the object; its plane does not matter.
        names: by which its patient gets another name; None: it keeps its own.

    Raises:
        SceneError, TransientStoreError: it cannot be read.
    """
    with as_image_errors(image):
        source = pinned(spec, image)
        dicom = read_dicom_file(source)
        header = guarded(source, "its DICOM header cannot be read", lambda: _prepared(source, dicom, names))
        source.forget()
    return DicomSource(header=header, dicom=dicom)


def _prepared(source: PinnedObject, dicom: DicomFile, names: Pseudonyms | None) -> Any:
    header = _header(source, dicom)
    if names is not None:
        header = replaced(header, names)
    for keyword in _MAY_BE_MISSING:
        if keyword not in header:
            setattr(header, keyword, "")
    return header


def _header(source: PinnedObject, dicom: DicomFile) -> Any:
    """All of its elements, each in its own type: none is left for later, when nobody would catch what it raises."""
    from pydicom import dcmread
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset

    if dicom.syntax.deflated:
        # dcmread would inflate all that follows, whatever that comes to.
        stream = HeaderStream(source, Inflater(source, dicom.deflated_from).bytes_at, 0)
        header: Any = read_dataset(cast("BinaryIO", stream), False, True, stop_when=lambda tag, *_: tag >= _PIXELS)
        header.file_meta = FileMetaDataset()
    else:
        header = dcmread(View(source), stop_before_pixels=True)
    for _ in header.iterall():
        pass
    return header
