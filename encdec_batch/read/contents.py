"""The images that an object holds, found before any of them is opened as a scene."""

from __future__ import annotations

from dataclasses import dataclass, field

from encdec_batch.read.geometry import VolumeGeometry
from encdec_batch.read.plane import WHOLE, Plane


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePlace:
    """Where a DICOM image of one frame belongs. What names a person or an examination is shown to nobody: it is
    compared, and kept encrypted at most.
    """

    series: str = field(repr=False)
    """SeriesInstanceUID."""
    study: str = field(repr=False)
    """StudyInstanceUID."""
    patient: str = field(repr=False)
    """PatientID and its issuer; empty where there is none."""
    instance: str = field(repr=False)
    """SOPInstanceUID."""
    frame_of_reference: str = field(repr=False)
    """UID, empty where there is none."""
    shape: tuple[int, int]
    """Rows and columns."""
    spacing_mm: tuple[float, float] | None
    """Between rows, between columns."""
    orientation: tuple[float, float, float, float, float, float] | None
    """ImageOrientationPatient; None: the image has no place in space."""
    position_mm: tuple[float, float, float] | None
    """ImagePositionPatient: the centre of the first pixel."""
    number: int | None
    """InstanceNumber: orders images that have no place in space."""
    acquired: tuple[float | None, ...] = ()
    """Temporal position, echo, acquisition and the like: what may tell images at one position apart; None: not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideLevel:
    """Which part of a slide an object is, where a slide is several objects."""

    series: str = field(repr=False)
    """SeriesInstanceUID, shown to nobody."""
    shape: tuple[int, int]
    """Rows and columns."""
    pixel_size_um: tuple[float, float] | None
    """Height and width of a pixel."""
    is_level: bool
    """A picture of the label or of the whole glass is none, and never a scene."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What an object holds."""

    planes: tuple[Plane, ...] = (WHOLE,)
    """Its images, in the order of space, then of time where there is one."""
    stacked_along: str | None = None
    """The axis along which neighbouring planes are neighbours in space; None: there is none."""
    geometry: VolumeGeometry | None = None
    """Of such a stack, where the object says where it lies."""
    place: SlicePlace | None = None
    """Of an image that may be one slice of a series of objects."""
    level: SlideLevel | None = None
    """Of an object that is one level of a slide, or a picture beside."""
    medical: bool = False
    """It is of a format that medicine alone has, whatever its name: somebody may be named in it."""


ONE_IMAGE = Contents()
