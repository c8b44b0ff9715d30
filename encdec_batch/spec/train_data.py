"""What a network learns from: pairs, targets, how they are split, drawn and varied."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from encdec_batch.spec.base import Spec
from encdec_batch.spec.job import LimitsSpec
from encdec_batch.spec.train_pairs import (
    ColumnSplit,
    FolderPairs,
    HashSplit,
    Pairs,
    PairsSplit,
    Split,
    TablePairs,
    has_targets,
)
from encdec_batch.spec.train_target import (
    CleanTarget,
    HighResolutionTarget,
    ImageTarget,
    Input,
    MaskTarget,
    PixelsInput,
    Target,
)

Side = Annotated[int, Field(ge=1, le=1 << 14)]
Part = Annotated[float, Field(ge=0, le=1)]


class EstimateNormalization(Spec):
    """Mean and standard deviation of the valid pixels of the training scenes, kept in the card."""

    kind: Literal["estimate"] = "estimate"
    per_band: bool = True
    """False: one mean and one deviation for all bands, as targets in the image's own units need."""


class GivenNormalization(Spec):
    """(value - mean) / std, per band."""

    kind: Literal["constants"]
    mean: Annotated[tuple[float, ...], Field(min_length=1)]
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _alike(self) -> GivenNormalization:
        if len(self.mean) != len(self.std):
            raise ValueError(f"{len(self.mean)} means, but {len(self.std)} standard deviations")
        return self


class PercentilesNormalization(Spec):
    """By two percentiles of each scene, which become 0 and 1."""

    kind: Literal["percentiles"]
    lower: Annotated[float, Field(ge=0, lt=100)] = 1.0
    upper: Annotated[float, Field(gt=0, le=100)] = 99.8

    @model_validator(mode="after")
    def _ordered(self) -> PercentilesNormalization:
        if self.lower >= self.upper:
            raise ValueError(f"the percentiles {self.lower} and {self.upper} enclose nothing")
        return self


Normalizing = Annotated[
    EstimateNormalization | GivenNormalization | PercentilesNormalization, Field(discriminator="kind")
]


class NodataSpec(Spec):
    """What becomes of invalid pixels, in training as later in the card."""

    rule: Literal["any", "all"] = "any"
    """A pixel is nodata where any band is invalid, or where all are."""
    fill: float = 0.0
    """What the network sees in its place, after normalisation."""
    nan: Literal["nodata", "refuse"] = "refuse"
    """NaN counts as nodata, or sets the scene aside."""


class SamplingSpec(Spec):
    """Which windows are drawn, all from one seed."""

    crop: Side | tuple[Side, Side] = 256
    """Side, or height and width, of what the network sees, in its input pixels."""
    samples: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Of an epoch; `auto`: as many as windows of this size have the area of all training scenes, one a scene at
    least."""
    weight: Literal["area", "scene"] = "area"
    """Every place is as likely as any other, or every scene."""
    class_balance: Part = 0.0
    """0: as they come; 1: a class is drawn first, each as likely as any other, then a window where it is; between: by
    this power of its frequency."""
    min_valid: Part = 0.25
    """A window with a smaller share of pixels that are learned from is drawn anew, up to 8 times, and the best taken;
    places where no window has as many are left out."""
    small: Literal["refuse", "pad"] = "refuse"
    """An image smaller than the window is set aside, or mirrored to its size; what is mirrored is not learned from."""

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width."""
        return (self.crop, self.crop) if isinstance(self.crop, int) else self.crop


class AugmentSpec(Spec):
    """How samples are varied, image and target alike, each draw from the sample's own seed. The default: not at all."""

    flips: tuple[Literal["horizontal", "vertical"], ...] = ()
    """Mirrored so, each with a chance of one half."""
    turns: bool = False
    """By none, one, two or three quarters of a turn; an odd number only where the window is square."""
    zoom: tuple[Annotated[float, Field(gt=0.1)], Annotated[float, Field(lt=10)]] = (1.0, 1.0)
    """Things become larger by a factor between these; drawn evenly in its logarithm."""
    brightness: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Up to so many standard deviations are added to or taken from all bands."""
    contrast: Annotated[float, Field(ge=1, le=10)] = 1.0
    """Deviations from the mean are multiplied or divided by up to this."""
    colour: Annotated[float, Field(ge=0, le=10)] = 0.0
    """As brightness, apart for each band."""
    noise: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Gaussian noise of up to so many standard deviations; of the input alone."""
    blur: Annotated[float, Field(ge=0, le=32)] = 0.0
    """By a Gaussian of up to so many pixels; of the input alone."""

    @model_validator(mode="after")
    def _ordered(self) -> AugmentSpec:
        if self.zoom[0] > self.zoom[1]:
            raise ValueError(f"zoom {self.zoom}: the first is to be the smaller")
        if len(set(self.flips)) < len(self.flips):
            raise ValueError(f"flips {list(self.flips)} names one twice")
        return self


class LoadingSpec(Spec):
    """How samples are made while the network learns. No option here changes a sample."""

    workers: Annotated[int, Field(ge=1, le=4096)] = 1
    """Processes that read and vary, for each worker that learns (on Ray)."""
    cpus_per_worker: Annotated[float, Field(ge=0, le=1024)] = 0.5
    """Logical CPUs that each of them is given."""
    ahead: Annotated[int, Field(ge=1, le=1024)] = 4
    """Batches that are made, or being made, before they are wanted."""
    cache_mib: Annotated[int, Field(ge=0)] = 512
    """Decoded images that each of them keeps."""


class DataSpec(Spec):
    """The section `data` of a training spec."""

    train: Pairs
    """All pairs, or those to train on where `split` names the others."""
    split: Split
    target: Target
    input: Input = PixelsInput()
    expand_single_band: bool = False
    """An image of one band stands for as many equal ones as the others have."""
    values: Literal["stored", "physical"] = "stored"
    """What the network sees of images, and of images as targets: numbers as they are stored, or what they mean by scale
    and offset of their file: Hounsfield units, reflectance."""
    normalization: Normalizing = EstimateNormalization()
    nodata: NodataSpec = NodataSpec()
    sampling: SamplingSpec = SamplingSpec()
    augment: AugmentSpec = AugmentSpec()
    loading: LoadingSpec = LoadingSpec()
    limits: LimitsSpec = LimitsSpec()
    most_aside: Part = 0.1
    """Files that cannot be used are set aside; when more than this share of all are, training does not start."""
    allow_leak: Annotated[str, Field(min_length=10)] | None = None
    """Why training may go on though the same place or picture is on both sides of the split; the card says so."""

    @property
    def context_slices(self) -> int:
        """Neighbours on each side of a slice, whose bands the network sees beside its own."""
        return self.train.context_slices

    @model_validator(mode="after")
    def _of_use(self) -> DataSpec:
        self._check_split()
        self._check_context()
        self._check_made()
        if self.values == "physical" and self.input.kind == "labels":
            raise ValueError("values has no effect: labels have no unit")
        if self.values == "physical" and isinstance(self.normalization, PercentilesNormalization):
            raise ValueError("values has no effect: percentiles of a scene are the same pixels in any unit")
        if self.sampling.class_balance and not isinstance(self.target, MaskTarget):
            raise ValueError("sampling.class_balance has no effect: only a mask has classes")
        if self.input.kind == "labels":
            if not isinstance(self.target, ImageTarget):
                raise ValueError("input.kind labels is for targets of kind image")
            changes = self.augment.brightness, self.augment.colour, self.augment.noise, self.augment.blur
            if any(changes) or self.augment.contrast != 1:
                raise ValueError("labels have neither brightness, contrast, colour, noise nor blur")
            if self.normalization != EstimateNormalization():
                raise ValueError("normalization has no effect: labels are not normalised")
        return self

    def _check_split(self) -> None:
        group = self.train.group if isinstance(self.train, TablePairs) else None
        if isinstance(self.split, ColumnSplit) and not isinstance(self.train, TablePairs):
            raise ValueError("split.kind column needs train.kind table")  # noqa: TRY004 -- said to a user
        if isinstance(self.split, HashSplit) and self.split.by == "group" and group is None:
            raise ValueError("split.by group needs a table with train.group, the column that names it")
        sources = [self.train, *([self.split.pairs] if isinstance(self.split, PairsSplit) else [])]
        made = isinstance(self.target, CleanTarget | HighResolutionTarget)
        for source in sources:
            if made and isinstance(source, FolderPairs):
                raise ValueError(f"targets has no effect: one of kind {self.target.kind} is made; use kind images")
            if isinstance(self.target, MaskTarget) and not has_targets(source):
                raise ValueError("a target of kind mask needs files of its own: use kind folders, or a table")
            if isinstance(self.target, ImageTarget) and not has_targets(source) and self.target.bands is None:
                raise ValueError("target.bands is to say which of the image's own bands are the target")

    def _check_context(self) -> None:
        others = self.split.pairs if isinstance(self.split, PairsSplit) else self.train
        if others.context_slices != self.context_slices:
            raise ValueError("context_slices of train and of split.pairs differ: a network has one number of bands")
        if self.context_slices and self.input.kind == "labels":
            raise ValueError("context_slices has no effect: of a mask one band is seen")

    def _check_made(self) -> None:
        """Where the target is made from the image itself, whatever changes the input alone is noise to be removed."""
        made = isinstance(self.target, CleanTarget | HighResolutionTarget)
        if made and (self.augment.noise or self.augment.blur):
            raise ValueError(f"augment.noise and blur would be part of a target of kind {self.target.kind}")
        if made and self.values == "physical" and getattr(self.target, "quantise", False):
            raise ValueError("set target.quantise: false: physical values are not rounded as those of a file are")
        in_units_of_input = isinstance(self.target, ImageTarget) and self.target.in_units_of_input
        if in_units_of_input and self.input.kind == "labels":
            raise ValueError("target.to: input has no meaning: labels have no unit")
        changes = self.augment.brightness, self.augment.colour
        if in_units_of_input and (any(changes) or self.augment.contrast != 1):
            raise ValueError("augment.brightness, contrast and colour would change the image and not its target")
        if not made and not in_units_of_input:
            return
        kind = self.normalization
        if isinstance(kind, EstimateNormalization) and kind.per_band:
            raise ValueError(
                f"a target of kind {self.target.kind} is in the image's own units, the same for all bands: "
                "set normalization.per_band: false"
            )
        if isinstance(kind, GivenNormalization) and len({*zip(kind.mean, kind.std, strict=True)}) > 1:
            raise ValueError(f"a target of kind {self.target.kind} needs equal mean and std for all bands")
        if isinstance(kind, PercentilesNormalization):
            raise ValueError(  # noqa: TRY004 -- said to a user
                f"a target of kind {self.target.kind} needs constants, not percentiles of each scene"
            )
