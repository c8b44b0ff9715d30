"""Images of DICOM that belong together: a series is its slices in the order of space, or it is set aside.

By attributes of DICOM PS3.3, C.7.6.2 (Image Plane Module): slices of a stack have one orientation, one size and one
spacing, and lie at equal steps on a line: the normal of their plane, unless the gantry was tilted. Nothing that names
a person or an examination is in what is said here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from encdec_batch.plan.twins import told_apart
from encdec_batch.read.contents import SlicePlace
from encdec_batch.read.geometry import VolumeGeometry
from encdec_batch.read.slices import astray, geometry_of_slices, same_spacing

STEP_TOLERANCE = 0.05
"""Part of a step by which positions may be off: they are written with few decimals, and a gantry wobbles."""
ANGLE_TOLERANCE = 1e-3
"""Of components of unit vectors."""
_RESTORE = "restore the slices, or say series: images in the source to take each image by itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Slices at equal steps."""

    members: tuple[int, ...]
    """Numbers of the images, in the order of space."""
    step_mm: float
    """Between two slices along their normal; 0.0 where there is one, or where they have no place in space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faulty:
    """Why images that say to be one series are none."""

    reason: str
    hint: str


def group_by_series(places: Iterable[SlicePlace]) -> list[list[int]]:
    """Numbers of the images of each series, in the order in which they come."""
    series: dict[str, list[int]] = defaultdict(list)
    for number, place in enumerate(places):
        series[place.series].append(number)
    return list(series.values())


def stacks_of(places: Sequence[SlicePlace]) -> tuple[Stack, ...] | Faulty:
    """The stacks of one series: one, or several over the same positions (points in time, echoes, directions).

    Args:
        places: of all images of one series.
    """
    fault = _of_two(places)
    if fault is not None:
        return fault
    if len(places) == 1:
        return (Stack(members=(0,), step_mm=0.0),)
    first = places[0]
    if first.orientation is None or any(place.position_mm is None for place in places):
        return _by_number(places)
    along = _along_normal(places)
    if isinstance(along, Faulty):
        return along
    return _at_equal_steps(places, along)


def geometry_of(places: Sequence[SlicePlace], step_mm: float) -> VolumeGeometry | None:
    """Where a stack lies; None where its slices have no place in space or no spacing.

    Args:
        places: of the slices, in the order of space.
        step_mm: between two of them along their normal.
    """
    first = places[0]
    positions = [place.position_mm for place in places if place.position_mm is not None]
    if first.orientation is None or first.spacing_mm is None or step_mm == 0.0 or len(positions) < len(places):
        return None
    return geometry_of_slices(first.orientation, first.spacing_mm, positions, first.shape)


def _of_two(places: Sequence[SlicePlace]) -> Faulty | None:
    """What must be one in a series."""
    wrong = [
        (len({place.patient for place in places}), "patients"),
        (len({place.study for place in places}), "studies"),
        (len({place.frame_of_reference for place in places}), "frames of reference"),
        (len({place.shape for place in places}), "image sizes"),
        (_num_spacings(places), "pixel spacings"),
        (len({place.orientation is None for place in places}), "sorts, with and without a place in space"),
    ]
    for number, what in wrong:
        if number > 1:
            return Faulty(
                reason=f"its series has {len(places)} images, but of {number} {what}",
                hint="put what does not belong together into series of their own, or say series: images in the source",
            )
    instances = Counter(place.instance for place in places)
    if twice := sum(number > 1 for number in instances.values()):
        return Faulty(
            reason=f"its series has {twice} of {len(instances)} images more than once: same SOP Instance UID",
            hint="remove the copies; the files differ in name alone, or one UID was given twice",
        )
    return None


def _num_spacings(places: Sequence[SlicePlace]) -> int:
    found: list[tuple[float, float] | None] = []
    for spacing in {place.spacing_mm for place in places}:
        if not any(same_spacing(spacing, other) for other in found):
            found.append(spacing)
    return len(found)


def _by_number(places: Sequence[SlicePlace]) -> tuple[Stack, ...] | Faulty:
    """Images without a place in space are no stack: each stands by itself, in the order of their numbers."""
    order = sorted(range(len(places)), key=lambda n: (places[n].number is None, places[n].number or 0, n))
    return tuple(Stack(members=(number,), step_mm=0.0) for number in order)


def _along_normal(places: Sequence[SlicePlace]) -> list[float] | Faulty:
    """Position of each slice along the normal of all."""
    axes = np.array([place.orientation for place in places])
    if np.abs(axes - axes[0]).max() > ANGLE_TOLERANCE:
        return Faulty(
            reason=f"its series has {len(places)} images of several orientations",
            hint="a localizer among the slices? put it into a series of its own, or say series: images in the source",
        )
    normal = np.cross(axes[0, :3], axes[0, 3:])
    positions = np.array([place.position_mm for place in places])
    return [float(value) for value in positions @ normal]


def _at_equal_steps(places: Sequence[SlicePlace], along: Sequence[float]) -> tuple[Stack, ...] | Faulty:
    order = sorted(range(len(along)), key=lambda n: (along[n], n))
    levels = list(_levels(order, along))
    sizes = Counter(len(level) for level in levels)
    if len(sizes) > 1:
        usual, _ = sizes.most_common(1)[0]
        odd = sum(number for size, number in sizes.items() if size != usual)
        what = "more than one image" if usual == 1 else f"another number of images than {usual}"
        return Faulty(reason=f"its series has {odd} of {len(levels)} positions with {what}", hint=_RESTORE)
    steps = [along[b[0]] - along[a[0]] for a, b in pairwise(levels)]
    # Where slices are missing steps are longer: of an even number the shorter one in the middle.
    step = sorted(steps)[(len(steps) - 1) // 2] if steps else 0.0
    gaps = [number for number, found in enumerate(steps) if abs(found - step) > STEP_TOLERANCE * step]
    if gaps:
        missing = sum(max(1, round(steps[number] / step) - 1) for number in gaps)
        return Faulty(
            reason=f"its series of {len(levels)} slices at steps of {step:.4g} mm has {len(gaps)} gaps: about "
            f"{missing} slices are missing, the first after slice {gaps[0] + 1}",
            hint=_RESTORE,
        )
    apart = told_apart(places, levels)
    if apart is None:
        return Faulty(
            reason=f"its series has {len(levels[0])} images at each of {len(levels)} positions, and nothing tells "
            "which belong together: two series with one UID, or copies",
            hint="put them into series of their own, or remove the copies",
        )
    for stack in apart:
        off = _astray([places[member] for member in stack])
        if off:
            return Faulty(
                reason=f"its series has {off} of {len(stack)} slices that are shifted: more than half a voxel off "
                "equal steps on a line from the first to the last",
                hint="put what does not belong together into series of their own, or say series: images in the source",
            )
    return tuple(Stack(members=tuple(stack), step_mm=step) for stack in apart)


def _astray(places: Sequence[SlicePlace]) -> int:
    orientation = places[0].orientation
    if orientation is None:
        return 0
    return astray(orientation, places[0].spacing_mm, [place.position_mm for place in places if place.position_mm])


def _levels(order: Sequence[int], along: Sequence[float]) -> Iterator[list[int]]:
    """Runs of images at the same position: apart by less than a hundredth of the usual step, or of a millimetre."""
    steps = [along[b] - along[a] for a, b in pairwise(order)]
    apart = [step for step in steps if step > 1e-3]
    same = min(1e-2, (float(np.median(apart)) if apart else 1.0) / 100)
    level = [order[0]]
    for number, step in zip(order[1:], steps, strict=True):
        if step > same:
            yield level
            level = []
        level.append(number)
    yield level
