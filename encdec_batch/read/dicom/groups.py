"""What is said of each frame: where it lies, how large its pixels are, how its values become physical ones.

An enhanced object says it in functional groups, of each frame or shared by all (DICOM PS3.3, C.7.6.16); any other in
its top level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from encdec_batch.read.dicom.elements import Elements
from encdec_batch.read.dicom.library import damaged

Vector = tuple[float, float, float]
Orientation = tuple[float, float, float, float, float, float]

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""The first that is there: in the patient, else at the front of the detector, else on the film that was scanned. What
lies between detector and tube is smaller than the second says, by a magnification that few files know.
"""


_STRAIGHT = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFacts:
    """Of one frame."""

    position_mm: Vector | None = None
    """Centre of the first pixel."""
    orientation: Orientation | None = None
    """Directions of a row and of a column, each of length 1."""
    spacing_mm: tuple[float, float] | None = None
    """Between rows, between columns."""
    slope: float | None = None
    intercept: float | None = None
    """physical = stored * slope + intercept; None: the file does not say."""
    rescale_type: str = ""
    """Of what comes out: HU, OD, US (unspecified), ..."""
    time: int = 0
    """Temporal position index."""
    tile: tuple[int, int] | None = None
    """Of a slide: row and column of its first pixel, from 0."""


def shared_facts(elements: Elements, *, uri: str) -> FrameFacts:
    """What holds for all frames, as far as they say nothing else.

    Raises:
        SceneUnreadable: a rescale that is none.
    """
    dose = elements.numbers("DoseGridScaling")
    facts = FrameFacts(
        position_mm=_position(elements),
        orientation=_orientation(elements),
        spacing_mm=next(filter(None, (_spacing(elements, name) for name in _SPACINGS)), None),
    )
    if dose:
        return replace(facts, slope=_slope(dose, uri), intercept=0.0, rescale_type="Gy")
    facts = _rescaled(facts, elements, uri)
    for item in _first(elements, "SharedFunctionalGroupsSequence"):
        facts = grouped(facts, item, uri=uri)
    return facts


def grouped(facts: FrameFacts, group: Elements, *, uri: str) -> FrameFacts:
    """These facts, with what a group of its own says in their place.

    Raises:
        SceneUnreadable: a rescale that is none.
    """
    for item in _first(group, "PixelMeasuresSequence"):
        facts = replace(facts, spacing_mm=_spacing(item, "PixelSpacing") or facts.spacing_mm)
    for item in _first(group, "PlanePositionSequence"):
        facts = replace(facts, position_mm=_position(item))
    for item in _first(group, "PlaneOrientationSequence"):
        facts = replace(facts, orientation=_orientation(item))
    for item in _first(group, "PixelValueTransformationSequence"):
        facts = _rescaled(facts, item, uri)
    for item in _first(group, "PlanePositionSlideSequence"):
        first = [item.vector(f"{axis}PositionInTotalImagePixelMatrix", 1) for axis in ("Row", "Column")]
        if first[0] and first[1]:
            facts = replace(facts, tile=(int(first[0][0]) - 1, int(first[1][0]) - 1))
    for item in _first(group, "FrameContentSequence"):
        time = item.vector("TemporalPositionIndex", 1)
        facts = replace(facts, time=int(time[0])) if time else facts
    return facts


def facts_without_groups(elements: Elements, facts: FrameFacts, num_frames: int) -> tuple[FrameFacts, ...]:
    """Of each frame, where only shared ones are known: those of a dose lie in steps along the normal (PS3.3,
    C.8.8.3.2), others have no place of their own.
    """
    if num_frames == 1:
        return (facts,)
    steps = elements.vector("GridFrameOffsetVector", num_frames)
    if steps is None or facts.position_mm is None or facts.orientation is None:
        return (replace(facts, position_mm=None),) * num_frames
    normal, (x, y, z) = normal_of(facts.orientation), facts.position_mm
    return tuple(
        replace(facts, position_mm=(x + normal[0] * far, y + normal[1] * far, z + normal[2] * far))
        for far in (step - steps[0] for step in steps)
    )


def normal_of(orientation: Orientation) -> Vector:
    """The direction in which slices of this orientation are counted: row times column."""
    a, b, c, d, e, f = orientation
    return b * f - c * e, c * d - a * f, a * e - b * d


def along(direction: Sequence[float], position: Sequence[float]) -> float:
    """How far a position lies in a direction."""
    return sum(one * other for one, other in zip(direction, position, strict=True))


def _first(group: Elements, keyword: str) -> list[Elements]:
    return list(group.items(keyword))[:1] if keyword in group else []


def _rescaled(facts: FrameFacts, elements: Elements, uri: str) -> FrameFacts:
    slope, intercept = elements.numbers("RescaleSlope"), elements.numbers("RescaleIntercept")
    if not slope and not intercept:
        return facts
    return replace(
        facts,
        slope=_slope(slope or (1.0,), uri),
        intercept=intercept[0] if intercept else 0.0,
        rescale_type=elements.text("RescaleType"),
    )


def _slope(values: tuple[float, ...], uri: str) -> float:
    if values[0] == 0:
        raise damaged(uri, "its header says that every value means the same: a rescale slope of 0")
    return values[0]


def _spacing(elements: Elements, keyword: str) -> tuple[float, float] | None:
    found = elements.vector(keyword, 2)
    return (found[0], found[1]) if found and min(found) > 0 else None


def _position(elements: Elements) -> Vector | None:
    found = elements.vector("ImagePositionPatient", 3)
    return (found[0], found[1], found[2]) if found else None


def _orientation(elements: Elements) -> Orientation | None:
    found = elements.vector("ImageOrientationPatient", 6)
    if found is None:
        return None
    row, column = found[:3], found[3:]
    # Directions that are neither of length 1 nor at right angles are no place in space.
    if max(abs(math.hypot(*row) - 1), abs(math.hypot(*column) - 1), abs(along(row, column))) > _STRAIGHT:
        return None
    return found[0], found[1], found[2], found[3], found[4], found[5]
