"""DICOM Segmentation of a series: a segment for each class, which refers to the images that it was made from.

Source: DICOM PS3.3, A.51 (Segmentation IOD) and C.8.20. Written by highdicom; what it draws at random or takes from the
clock is set from the key of the volume and the dates of the study, so that the same work has the same bytes.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Sequence
from importlib import metadata
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import UnsupportedScene
from encdec_batch.models.card import Card, ClassCard, ClassesOutput, Code
from encdec_batch.privacy import uid_from
from encdec_batch.read.dicom.library import unquoted
from encdec_batch.spec.output import DicomSegFile
from encdec_batch.volume.slices import SliceRasters
from encdec_batch.volume.wanted import VolumeOrder
from encdec_batch.write.sink import CountingSink, Sink, Written

# It logs UIDs.
logging.getLogger("highdicom").setLevel(logging.CRITICAL)

MOST_VOXELS = 1 << 29
"""highdicom holds the volume and works on it as a whole: 4.7 bytes for each of these were measured, 2.5 GB in all."""
_MOST_SEGMENTS = 255
"""Numbers that a byte has for them beside 0."""
_SERIES_NUMBER = 300
_NAME = "encdec-batch"
_STRUCTURE = Code(scheme="SCT", value="91723000", meaning="Anatomical structure")
"""The category of a class whose card names none."""
_PRIVATE_SCHEME = "99ENCDEC"
"""Of a class whose card has no code: schemes that begin with 99 are private (PS3.16, 8)."""


def write_dicom_seg(
    sink: Sink, rasters: SliceRasters, file: DicomSegFile, card: Card, sources: Sequence[Any]
) -> Written:
    """The whole file; memory holds the volume.

    Args:
        sink: takes the file.
        rasters: of the slices.
        file: what is asked for.
        card: of the network: names and codes of its classes.
        sources: pydicom datasets of the slices in their order; where all are frames of one object, that one alone.

    Raises:
        UnsupportedScene: highdicom cannot make a segmentation of it.
    """
    order = rasters.order
    classes = wanted_classes(file, card)
    labels = _labels(rasters, classes, _order_of_planes(order, sources))
    buffer = BytesIO()
    with (
        unquoted(
            f"highdicom cannot make a segmentation of {order.volume_id}",
            hint="its source lacks what a segmentation must refer to: leave dicom_seg out of output.files for it",
        ),
        warnings.catch_warnings(),
    ):
        # It tells, in words with the name in them, that a patient's name has one part.
        warnings.simplefilter("ignore")
        made = _segmentation(labels, classes, card, order, sources)
        _settle(made, order, sources[0])
        made.save_as(buffer)
    counting = CountingSink(sink)
    counting.write(buffer.getvalue())
    return counting.written


def wanted_classes(file: DicomSegFile, card: Card) -> tuple[ClassCard, ...]:
    """The classes that become segments.

    Raises:
        UnsupportedScene: the network makes no classes, or none of these.
    """
    output = card.output
    all_of_them = output.classes if isinstance(output, ClassesOutput) else ()
    classes = tuple(one for one in all_of_them if (one.id != 0 if file.classes is None else one.name in file.classes))
    missing = set(file.classes or ()) - {one.name for one in all_of_them}
    if not classes or missing:
        raise UnsupportedScene(
            f"{card.name} has no class {', '.join(sorted(missing)) or 'but the one of id 0'}: nothing can be a segment",
            hint="correct classes of dicom_seg in output.files",
        )
    if len(classes) > _MOST_SEGMENTS:
        raise UnsupportedScene(
            f"{card.name} has {len(classes)} classes, and a segmentation of ours at most {_MOST_SEGMENTS} segments",
            hint="name those that are wanted: classes of dicom_seg in output.files",
        )
    return classes


def _order_of_planes(order: VolumeOrder, sources: Sequence[Any]) -> Sequence[int]:
    """Numbers of slices as highdicom wants planes: one for each source, or one for each frame of the only one, as
    that has them. It tells where a plane lies from its source or frame alone.
    """
    numbers = range(len(order.slices))
    if len({one.image.uri for one in order.slices}) > 1:
        return numbers
    num_frames = int(sources[0].get("NumberOfFrames") or 1)
    if len(order.slices) != num_frames:
        raise UnsupportedScene(
            f"{order.volume_id} has {len(order.slices)} of {num_frames} frames of one object",
            hint="leave dicom_seg out of output.files for it",
        )
    return sorted(numbers, key=lambda number: order.slices[number].image.plane.indices)


def _labels(rasters: SliceRasters, classes: Sequence[ClassCard], planes: Sequence[int]) -> NDArray[np.uint8]:
    """(planes, rows, columns): 0, or the number of a segment; each plane is the slice of this number."""
    height, width = rasters.shape
    voxels = rasters.num_slices * height * width
    if voxels > MOST_VOXELS:
        raise UnsupportedScene(
            f"{rasters.order.volume_id} has {voxels:,} voxels, more than {MOST_VOXELS:,} for a DICOM segmentation",
            hint="write it as NIfTI or OME-Zarr (output.files)",
        )
    labels = np.zeros((rasters.num_slices, height, width), dtype=np.uint8)
    numbers = np.zeros(1 << 16, dtype=np.uint8)
    for segment, one in enumerate(classes, 1):
        numbers[one.id] = segment
    for at, number in enumerate(planes):
        labels[at] = numbers[rasters.slice(number)[0]]
    return labels


def _segmentation(
    labels: NDArray[np.uint8], classes: Sequence[ClassCard], card: Card, order: VolumeOrder, sources: Sequence[Any]
) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom.sr.codedict import codes

    algorithm = AlgorithmIdentificationSequence(
        name=card.name, family=codes.DCM.ArtificialIntelligence, version=card.version, source=_NAME
    )
    described = [
        SegmentDescription(
            number,
            one.name[:64],
            _coded(one.category or _STRUCTURE),
            _coded(one.code or Code(scheme=_PRIVATE_SCHEME, value=f"{one.id}", meaning=one.name[:64])),
            "AUTOMATIC",
            algorithm_identification=algorithm,
        )
        for number, one in enumerate(classes, 1)
    ]
    return Segmentation(
        list(sources),
        labels,
        "BINARY",
        described,
        series_instance_uid=uid_of("series", order.key),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=uid_of("instance", order.key),
        instance_number=1,
        manufacturer=_NAME,
        manufacturer_model_name=card.name[:64],
        software_versions=metadata.version(_NAME),
        device_serial_number=order.key[:16],
    )


def uid_of(what: str, key: str) -> str:
    """A UID that is a function of these: from 128 bits of their sha256."""
    return uid_from(hashlib.sha256(f"{what} {key}".encode()).digest()[:16])


def _coded(code: Code) -> Any:
    from pydicom.sr.coding import Code as PydicomCode

    return PydicomCode(code.value, code.scheme, code.meaning)


def _settle(made: Any, order: VolumeOrder, source: Any) -> None:
    """The clock and the dice of highdicom, replaced."""
    day = str(source.get("ContentDate") or source.get("StudyDate") or "") or "19000101"
    time = str(source.get("ContentTime") or source.get("StudyTime") or "") or "000000"
    made.InstanceCreationDate = made.ContentDate = day
    made.InstanceCreationTime = made.ContentTime = time
    for one in made.get("ContributingEquipmentSequence", ()):
        one.ContributionDateTime = f"{day}{time}"
    dimensions = uid_of("dimensions", order.key)
    for one in (*made.get("DimensionOrganizationSequence", ()), *made.get("DimensionIndexSequence", ())):
        one.DimensionOrganizationUID = dimensions
