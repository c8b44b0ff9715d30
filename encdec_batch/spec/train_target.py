"""What a network is to give for an image, and where that comes from."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from encdec_batch.spec.base import Spec

MAX_CHANNELS = 255
"""Of classes: label 255 is the one that is ignored."""

Value = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Colour = tuple[
    Annotated[int, Field(ge=0, le=255)], Annotated[int, Field(ge=0, le=255)], Annotated[int, Field(ge=0, le=255)]
]
Values = Annotated[tuple[Value | tuple[Value, Value], ...], Field(min_length=1)]
"""Numbers, and ranges `[first, last]`, both ends included."""
Amount = Annotated[float, Field(ge=0)] | tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]
"""A number, or `[low, high]`: drawn evenly between them for each sample."""


class CodedTerm(Spec):
    """A term of a coding scheme, e.g. of SNOMED CT (SCT)."""

    scheme: Annotated[str, Field(min_length=1, max_length=16)]
    value: Annotated[str, Field(min_length=1, max_length=16)]
    meaning: Annotated[str, Field(min_length=1, max_length=64)]


class MaskClass(Spec):
    """A class, in the order of the network's channels."""

    id: Annotated[int, Field(ge=0, le=65534)]
    """In the masks that the network is to make."""
    name: Annotated[str, Field(min_length=1)]
    color: Colour
    values: Values | None = None
    """Labels in the files that mean this class; None: its id."""
    code: CodedTerm | None = None
    """What a DICOM segmentation says that it is."""
    category: CodedTerm | None = None
    """The category of that."""

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """First and last of each run of labels."""
        return ranges_of(self.values if self.values is not None else (self.id,))


class MaskTarget(Spec):
    """A label for each pixel of the image."""

    kind: Literal["mask"]
    classes: Annotated[tuple[MaskClass, ...], Field(min_length=2, max_length=MAX_CHANNELS)]
    ignore: tuple[Value | tuple[Value, Value], ...] = ()
    """Labels that are not learned from, beside nodata of the file. Any label that is named nowhere is a fault."""
    band: Annotated[int, Field(ge=1)] = 1
    """Of the target, where the labels are."""

    @model_validator(mode="after")
    def _told_apart(self) -> MaskTarget:
        ids = [one.id for one in self.classes]
        if len(set(ids)) < len(ids):
            raise ValueError(f"class ids {ids} are not all different")
        named = [(one.name, one.ranges) for one in self.classes] + [("ignore", ranges_of(self.ignore))]
        for (name, ranges), (other, others) in combinations(named, 2):
            for first, last in ranges:
                if any(first <= end and begin <= last for begin, end in others):
                    raise ValueError(f"{name} and {other} have labels in common")
        return self


class Gaussian(Spec):
    """x + sigma n."""

    kind: Literal["gaussian"]
    sigma: Amount
    """Standard deviation, in the images' stored units."""


class PoissonGaussian(Spec):
    """gain Poisson(x / gain) + sigma n: photons and read-out; the variance is gain x + sigma² (Foi et al. 2008)."""

    kind: Literal["poisson_gaussian"]
    gain: Amount
    """Stored units for each photon."""
    sigma: Amount


class Speckle(Spec):
    """x times a gamma variable of mean 1 and variance 1 / looks: SAR intensity (Goodman 1976)."""

    kind: Literal["speckle"]
    looks: Annotated[float, Field(gt=0)] | tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]


class Ultrasound(Spec):
    """x + sqrt(x) sigma n: speckle of log-compressed ultrasound (Loupas et al. 1989)."""

    kind: Literal["ultrasound"]
    sigma: Amount


Noise = Annotated[Gaussian | PoissonGaussian | Speckle | Ultrasound, Field(discriminator="kind")]


class CleanTarget(Spec):
    """The image itself; what the network sees is that with noise."""

    kind: Literal["clean"]
    noise: Noise
    quantise: bool = False
    """The noisy image is rounded and clipped to the file's type, as a file of it would be."""


class HighResolutionTarget(Spec):
    """The image itself; what the network sees is that made smaller, by bicubic interpolation with antialiasing."""

    kind: Literal["high_resolution"]
    scale: Annotated[int, Field(ge=2, le=8)]
    quantise: bool = True
    """The small image is rounded and clipped to the file's type after each axis, as MATLAB's imresize does."""


class ImageTarget(Spec):
    """Another image of the same pixels."""

    kind: Literal["image"]
    bands: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] | None = None
    """Of the target; None: all."""
    range: tuple[float, float] = (0.0, 255.0)
    """Stored values of the target that become the ends of `to`."""
    to: tuple[float, float] | Literal["input"] = (-1.0, 1.0)
    """In the network's units. `input`: the target is normalised as the image is, so that a network that gives back its
    input with a change, as denoisers do, has little to learn; `range` is then what results may hold."""

    @field_validator("range", "to")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | str) -> tuple[float, float] | str:
        if isinstance(value, tuple) and value[0] >= value[1]:
            raise ValueError(f"the range {value} is empty")
        return value

    @property
    def in_units_of_input(self) -> bool:
        return self.to == "input"


Target = Annotated[MaskTarget | CleanTarget | HighResolutionTarget | ImageTarget, Field(discriminator="kind")]


class PixelsInput(Spec):
    """The network sees the image's bands."""

    kind: Literal["pixels"] = "pixels"


class LabelsInput(Spec):
    """The image's first band is a mask, and the network sees its classes."""

    kind: Literal["labels"]
    classes: Annotated[tuple[MaskClass, ...], Field(min_length=2, max_length=MAX_CHANNELS)]
    ignore: tuple[Value | tuple[Value, Value], ...] = ()
    """Labels that are seen as no class: zero in all bands."""
    code: Literal["one_hot", "colour"] = "one_hot"
    """A band for each class, 0 or 1; or three bands with the class's colour. Scenes of the main job must have such
    bands."""

    @model_validator(mode="after")
    def _told_apart(self) -> LabelsInput:
        MaskTarget(kind="mask", classes=self.classes, ignore=self.ignore)
        return self


Input = Annotated[PixelsInput | LabelsInput, Field(discriminator="kind")]


def ranges_of(values: tuple[int | tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """First and last of each run, in rising order; runs that meet are joined.

    Raises:
        ValueError: a range whose last is before its first.
    """
    runs = sorted(value if isinstance(value, tuple) else (value, value) for value in values)
    for first, last in runs:
        if last < first:
            raise ValueError(f"the range {first} to {last} is empty")
    if any(last >= following for (_, last), (following, _) in pairwise(runs)):
        raise ValueError(f"labels are named twice in {list(values)}")
    return tuple(runs)
