"""What DICOM files of a volume say beside their pixels: results refer to them, and are filed with their patient."""

from __future__ import annotations

from typing import Any

from encdec_batch.errors import SceneUnreadable
from encdec_batch.plan.open import as_image_errors, pinned
from encdec_batch.plan.scene import SourceImage
from encdec_batch.read.ranges import View
from encdec_batch.spec.job import JobSpec

_MAY_BE_MISSING = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
"""Elements of type 2: they must be there, may be empty, and are missing in many files."""


def read_source(spec: JobSpec, image: SourceImage) -> Any:
    """The whole header of a DICOM file, a pydicom `Dataset` without pixels.

    Raises:
        SceneError, TransientStoreError: it cannot be read.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    with as_image_errors(image):
        source = pinned(spec, image)
        try:
            dataset = dcmread(View(source), stop_before_pixels=True)
        except (InvalidDicomError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
            raise _unreadable(image) from error
        if source.failure is not None:
            raise source.failure
        source.forget()
    for keyword in _MAY_BE_MISSING:
        if keyword not in dataset:
            setattr(dataset, keyword, "")
    return dataset


def _unreadable(image: SourceImage) -> SceneUnreadable:
    return SceneUnreadable(
        f"{image.uri}: it is no DICOM file any more", hint="restore it; the next run takes it up", uri=image.uri
    )
