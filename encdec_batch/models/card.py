"""The card of a model package: what a network takes, gives and needs, and what was measured of it.

`Declared` is what its author says, `Card` adds what was measured when the package was made. No torch here: plan and
commit read cards too.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from encdec_batch.errors import CardError
from encdec_batch.grid import NetworkGeometry
from encdec_batch.spec.text import unique_pairs

FORMAT_VERSION = 1
WEIGHTS_NAME = "weights.safetensors"
GOLDEN_NAME = "golden.safetensors"
ONNX, ONNX_NAME = "onnx", "model.onnx"
"""The architecture of a network that is itself a file of the package, and that file."""
MAX_CLASS_ID = 65534
"""65535 is the nodata value of a uint16 mask."""

Number = Annotated[float, Field(allow_inf_nan=False)]
Colour = tuple[
    Annotated[int, Field(ge=0, le=255)], Annotated[int, Field(ge=0, le=255)], Annotated[int, Field(ge=0, le=255)]
]
Dtype = Literal["uint8", "int16", "uint16", "float32", "float64"]
Exactness = Literal["exact", "large-reach", "global"]
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PICKLED = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".pt2", ".joblib")


class CardModel(BaseModel):
    """Immutable; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class BandCard(CardModel):
    """One band of the input."""

    name: Annotated[str, Field(min_length=1)]
    unit: Literal["raw", "scaled"] = "raw"
    """`raw`: the number stored in the file. `scaled`: stored * scale + offset, as the file says."""


class ConstantNormalization(CardModel):
    """(value - mean) / std, per band, with constants of the training data."""

    kind: Literal["constants"]
    mean: tuple[Number, ...]
    std: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]


class PercentileNormalization(CardModel):
    """(value - p_lower) / (p_upper - p_lower), per band, by percentiles of the valid pixels of the whole scene.

    Not clipped. Never of a tile, whose neighbours would be scaled otherwise. As stored or scaled makes no difference.
    """

    kind: Literal["percentiles"]
    lower: Annotated[float, Field(ge=0, lt=100)] = 1.0
    upper: Annotated[float, Field(gt=0, le=100)] = 99.8

    @model_validator(mode="after")
    def _ordered(self) -> PercentileNormalization:
        if self.lower >= self.upper:
            raise ValueError(f"the percentiles {self.lower} and {self.upper} enclose nothing")
        return self


Normalization = Annotated[ConstantNormalization | PercentileNormalization, Field(discriminator="kind")]


class NodataRule(CardModel):
    """What becomes of invalid input pixels."""

    rule: Literal["any", "all"] = "any"
    """A pixel is nodata where any band is invalid, or where all are."""
    fill: Number = 0.0
    """What the network sees in place of an invalid pixel, after normalisation."""
    nan: Literal["nodata", "refuse"] = "refuse"
    """NaN in the pixels counts as nodata, or sets the scene aside."""


class Code(CardModel):
    """A term of a coding scheme, as DICOM names what a segment is (PS3.3, 8.8)."""

    scheme: Annotated[str, Field(min_length=1, max_length=16)]
    """Designator, e.g. SCT for SNOMED CT."""
    value: Annotated[str, Field(min_length=1, max_length=16)]
    meaning: Annotated[str, Field(min_length=1, max_length=64)]


class ClassCard(CardModel):
    """One class of a mask."""

    id: Annotated[int, Field(ge=0, le=MAX_CLASS_ID)]
    name: Annotated[str, Field(min_length=1)]
    color: Colour
    code: Code | None = None
    """What a DICOM segmentation says that it is; None: a private code with the class's name."""
    category: Code | None = None
    """The category of that; None: anatomical structure."""


class ClassesOutput(CardModel):
    """A class per pixel."""

    kind: Literal["classes"]
    activation: Literal["softmax", "sigmoid"]
    """`softmax`: one channel per class, in the order of `classes`. `sigmoid`: one channel for two classes, the logit
    of the second."""
    classes: Annotated[tuple[ClassCard, ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _consistent(self) -> ClassesOutput:
        ids = [item.id for item in self.classes]
        if len(set(ids)) < len(ids):
            raise ValueError(f"class ids {ids} are not all different")
        if self.activation == "sigmoid" and len(ids) != 2:
            raise ValueError(f"sigmoid decides between 2 classes, not {len(ids)}; for more use softmax")
        return self

    @property
    def num_channels(self) -> int:
        return 1 if self.activation == "sigmoid" else len(self.classes)


class ImageOutput(CardModel):
    """Values per pixel."""

    kind: Literal["image"]
    band_names: Annotated[tuple[str, ...], Field(min_length=1)]
    dtype: Literal["float32", "uint8", "uint16"]
    range: tuple[Number, Number]
    """The network's values of the least and the greatest output; integers are quantised linearly between them."""
    scale: Annotated[Number, Field(gt=0)] = 1.0
    """A value of the network means value * scale + offset: what float32 results hold, and what the header of integer
    ones gives back. A network that gives its normalised input back has the standard deviation and mean of that."""
    offset: Number = 0.0

    @field_validator("range")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] >= value[1]:
            raise ValueError(f"the range {value} is empty")
        return value

    @property
    def num_channels(self) -> int:
        return len(self.band_names)

    @property
    def units_range(self) -> tuple[float, float]:
        """`range` in units of results."""
        low, high = self.range
        return low * self.scale + self.offset, high * self.scale + self.offset


Output = Annotated[ClassesOutput | ImageOutput, Field(discriminator="kind")]


class GeometryCard(CardModel):
    """What was measured of the network's reach (models/reach.py); all in input pixels but `scale`."""

    scale: Annotated[int, Field(ge=1)]
    """Output pixels per input pixel."""
    stride: Annotated[int, Field(ge=1)]
    """The shift of the input under which the network is equivariant."""
    reach: Annotated[int, Field(ge=0)]
    """How far beyond a window with borders at multiples of the stride an input pixel can change its output.
    0 for networks without padding, whose margin is all their context, and for global ones, which have no reach."""
    margin: Annotated[int, Field(ge=0)] = 0
    """Pixels that a network without padding takes off on each side."""
    size_offset: Annotated[int, Field(ge=0)] = 0
    """Valid input sizes are `size_offset` modulo `stride`."""
    exactness: Exactness
    """`exact`: tiles give the result of one plain pass. `large-reach`: they would, at a halo that is dear.
    `global`: every pixel depends on all others, no tiling gives the plain pass."""


class ToleranceCard(CardModel):
    """How far results of one device and precision differ between tile shapes, in units of the network's output."""

    value: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """A difference above this is not rounding."""
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """A label may flip where the two highest channels are closer than this (sigmoid: the logit is below it)."""


class MemoryCard(CardModel):
    """How much a network holds, counted while it ran (models/memory.py)."""

    parameters: Annotated[int, Field(ge=0)]
    """Values of its weights."""
    activations: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """The most values alive at a time in a forward pass, for each pixel of the tile, the tile among them."""


class TrainingCard(CardModel):
    """What the network learned from."""

    data: Annotated[str, Field(min_length=1)]
    licence: Annotated[str, Field(min_length=1)]
    """Of the data, and what it allows for the weights."""
    split: str = ""
    procedure: str = ""
    notes: str = ""


class Declared(CardModel):
    """The part of a card that its author writes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,31}$")]
    description: str = ""
    task: Annotated[str, Field(min_length=1)]
    architecture: str
    """A key of models/architectures.py; `onnx` for a network that is a file of the package."""
    arguments: dict[str, Any]
    """Of the architecture's constructor."""
    bands: Annotated[tuple[BandCard, ...], Field(min_length=1)]
    dtypes: Annotated[tuple[Dtype, ...], Field(min_length=1)]
    """Pixel types that a scene may have."""
    normalization: Normalization
    nodata: NodataRule = NodataRule()
    padding: Literal["reflect", "edge"] = "reflect"
    """How a scene is continued to a size that the network takes."""
    pad_multiple: Annotated[int, Field(ge=1)] | None = None
    """Sides are padded to multiples of this; None: of the stride."""
    output: Output
    training: TrainingCard
    metrics: dict[str, Any] = {}
    """Scores, by the name of the data they were measured on, which the network was not trained on."""
    parent: str | None = None
    """Digest of the package that this one was trained from."""

    @model_validator(mode="after")
    def _bands_agree(self) -> Declared:
        constants = self.normalization
        if not isinstance(constants, ConstantNormalization):
            return self
        if not len(self.bands) == len(constants.mean) == len(constants.std):
            raise ValueError(
                f"{len(self.bands)} bands, but {len(constants.mean)} means and {len(constants.std)} standard deviations"
            )
        return self

    @property
    def num_bands(self) -> int:
        return len(self.bands)

    @property
    def weights_name(self) -> str:
        """The file that holds the weights."""
        return ONNX_NAME if self.architecture == ONNX else WEIGHTS_NAME

    @property
    def by_statistics(self) -> bool:
        """Whether a scene is normalised by what all of it holds."""
        return isinstance(self.normalization, PercentileNormalization)


class Card(Declared):
    """A whole card, as it lies in `card.json`."""

    format_version: Literal[1]
    geometry: GeometryCard
    tolerance: dict[str, ToleranceCard] = {}
    """By `<device kind>/<precision>`, e.g. `cpu/float32`."""
    memory: MemoryCard
    files: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]
    """Name to sha256 of every other file of the package."""

    @field_validator("files")
    @classmethod
    def _plain_names(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            if not _FILE_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a plain file name; a package's files lie beside its card")
            if name.lower().endswith(_PICKLED):
                raise ValueError(f"{name!r} is a format that runs code when it is loaded; weights must be safetensors")
        return files

    @model_validator(mode="after")
    def _complete(self) -> Card:
        missing = {self.weights_name, GOLDEN_NAME} - set(self.files)
        if missing:
            raise ValueError(f"files: {', '.join(sorted(missing))} must be among them")
        return self

    @model_validator(mode="after")
    def _geometry_agrees(self) -> Card:
        if self.pad_multiple is not None and self.pad_multiple % self.geometry.stride:
            raise ValueError(f"pad_multiple {self.pad_multiple} is not a multiple of the stride {self.geometry.stride}")
        return self

    @property
    def network_geometry(self) -> NetworkGeometry:
        """What the grid needs of this card."""
        return NetworkGeometry(
            reach=self.geometry.reach,
            stride=self.geometry.stride,
            scale=self.geometry.scale,
            margin=self.geometry.margin,
            size_offset=self.geometry.size_offset,
            pad_multiple=self.pad_multiple or 0,
        )


def parse_card(data: bytes, *, where: str) -> Card:
    """The card in these bytes; `where` names them in errors.

    Raises:
        CardError: not JSON, or a key is missing, unknown or wrong.
    """
    try:
        values = json.loads(data, object_pairs_hook=unique_pairs)
        version = values.get("format_version") if isinstance(values, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise CardError(
                f"{where}: card format {version} is newer than {FORMAT_VERSION}, the newest this version reads",
                hint="update encdec-batch",
            )
        return Card.model_validate_json(data)
    except ValidationError as error:
        raise CardError(
            f"{where}: {_first_faults(error)}", hint="correct the card and make the package anew"
        ) from error
    except (ValueError, RecursionError) as error:
        raise CardError(f"{where}: not a JSON file ({error})", hint="a package's card is card.json") from error


def card_bytes(card: Card) -> bytes:
    """The canonical JSON of a card: the package's digest is that of these bytes."""
    return (json.dumps(card.model_dump(mode="json"), indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _first_faults(error: ValidationError, limit: int = 3) -> str:
    faults = error.errors(include_url=False)
    said = [f"{'.'.join(map(str, fault['loc'])) or 'card'}: {fault['msg']}" for fault in faults[:limit]]
    more = f" (and {len(faults) - limit} more)" if len(faults) > limit else ""
    return "; ".join(said) + more
