"""Which images a DICOM object holds, and where one of them belongs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from encdec_batch.read.contents import Contents, SlicePlace
from encdec_batch.read.dicom.dataset import ACQUIRED, DicomDataset
from encdec_batch.read.dicom.groups import FrameFacts, along, normal_of
from encdec_batch.read.dicom.image import DicomImage
from encdec_batch.read.plane import Plane
from encdec_batch.read.slices import astray, geometry_of_slices, same_spacing

FRAME = "frame"
"""The axis of the frames of one object, which are counted as the file has them."""
_SAME_DIRECTION = 1e-3
_SAME_STEP = 0.02
"""By which part steps between neighbours may differ from the middle one: positions are written in decimal."""


def contents_of_frames(image: DicomImage, facts: Sequence[FrameFacts]) -> Contents:
    """Frames by their position along the normal, then by time; as the file has them, where they share no normal.

    They are a stack when each has a place of its own, all on one line, and steps between neighbours are equal.
    """
    order = list(range(image.num_frames))
    distances = _distances(facts)
    if distances is not None:
        order.sort(key=lambda frame: (distances[frame], facts[frame].time, frame))
    is_stack = distances is not None and _evenly([distances[frame] for frame in order])
    in_order = [facts[frame] for frame in order]
    is_stack = is_stack and all(same_spacing(one.spacing_mm, in_order[0].spacing_mm) for one in in_order)
    positions = [one.position_mm for one in in_order if one.position_mm is not None]
    first, geometry = in_order[0], None
    if is_stack and first.orientation is not None:
        is_stack = not astray(first.orientation, first.spacing_mm, positions)
        if is_stack and first.spacing_mm is not None:
            shape = image.rows, image.columns
            geometry = geometry_of_slices(first.orientation, first.spacing_mm, positions, shape)
    planes = tuple(Plane.of(frame=frame) for frame in order)
    return Contents(planes=planes, stacked_along=FRAME if is_stack else None, geometry=geometry, medical=True)


def place_of(dataset: DicomDataset, image: DicomImage, facts: FrameFacts) -> SlicePlace | None:
    """Of an object of one frame; None: it does not say which series it is of."""
    elements = dataset.elements
    series = elements.text("SeriesInstanceUID")
    if not series:
        return None
    number = elements.vector("InstanceNumber", 1)
    patient, issuer = elements.text("PatientID"), elements.text("IssuerOfPatientID")
    return SlicePlace(
        series=series,
        study=elements.text("StudyInstanceUID"),
        patient=f"{patient}\n{issuer}" if patient else "",
        instance=dataset.instance,
        frame_of_reference=elements.text("FrameOfReferenceUID"),
        shape=(image.rows, image.columns),
        spacing_mm=facts.spacing_mm,
        orientation=facts.orientation,
        position_mm=facts.position_mm,
        number=int(number[0]) if number else None,
        acquired=tuple(found[0] if found else None for found in (elements.vector(name, 1) for name in ACQUIRED)),
    )


def _distances(facts: Sequence[FrameFacts]) -> list[float] | None:
    """How far each frame lies along the normal that all share; None: they share none, or one has no place."""
    orientation = facts[0].orientation
    if orientation is None:
        return None
    found: list[float] = []
    for one in facts:
        if one.position_mm is None or one.orientation is None:
            return None
        if math.dist(one.orientation, orientation) > _SAME_DIRECTION:
            return None
        found.append(along(normal_of(orientation), one.position_mm))
    return found


def _evenly(distances: Sequence[float]) -> bool:
    steps = sorted(other - one for one, other in pairwise(distances))
    middle = steps[len(steps) // 2] if steps else 0.0
    return middle > 0 and all(abs(step - middle) <= _SAME_STEP * middle for step in (steps[0], steps[-1]))
