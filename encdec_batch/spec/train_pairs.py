"""Where the pairs of image and target are that a network learns from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from encdec_batch.spec.base import Spec, StorageOptions
from encdec_batch.spec.source import SCENE_SUFFIXES, Reading, Table


class Region(Spec):
    """A rectangle of an image, in its pixels: only this part of it is learned from."""

    col_off: Annotated[int, Field(ge=0)]
    row_off: Annotated[int, Field(ge=0)]
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]


class TablePairs(Table, Reading):
    """A row for each pair, in CSV, Parquet, or text: lines `image target`, apart by blanks, without names of columns.

    Beside the columns named below a table may have `bands` (as `1;2;3`) and `col_off`, `row_off`, `width`, `height`
    (the region of this row). URIs that are relative lie beside the table.
    """

    kind: Literal["table"]
    image: str = "image"
    """Column of the images' URIs."""
    target: str | None = "target"
    """Column of the targets' URIs; None: the target is made from the image, or is other bands of it."""
    scene: str | None = None
    """Column of what the row is an image of; None: the image's URI tells scenes apart."""
    group: str | None = None
    """Column of place, patient, flight: what must not be on both sides of a split."""
    region: Region | None = None
    """Of every image; None: all of it."""


class FolderPairs(Reading):
    """Images below one prefix, targets below another, paired by their path without ending."""

    kind: Literal["folders"]
    images: str
    targets: str
    target_ending: str = ""
    """What a target's name has after its image's, before the suffix: `_mask` for `a.tif` and `a_mask.png`."""
    suffixes: tuple[str, ...] = SCENE_SUFFIXES
    """Objects with other endings are neither; compared without case."""
    storage: StorageOptions = {}
    bands: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    """Of the images, counted from 1; None: all."""
    region: Region | None = None
    follow_links: bool = False
    """Links of a disk that lead out of the two folders are followed."""


class ImagesAlone(Reading):
    """Images below a prefix whose targets are made from them, or are other bands of them."""

    kind: Literal["images"]
    uri: str
    suffixes: tuple[str, ...] = SCENE_SUFFIXES
    storage: StorageOptions = {}
    bands: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    region: Region | None = None
    follow_links: bool = False


Pairs = Annotated[TablePairs | FolderPairs | ImagesAlone, Field(discriminator="kind")]


def has_targets(source: Pairs) -> bool:
    """Whether it names targets apart from images."""
    return not isinstance(source, ImagesAlone) and not (isinstance(source, TablePairs) and source.target is None)


class PairsSplit(Spec):
    """Pairs to validate on, named apart."""

    kind: Literal["pairs"]
    pairs: Pairs


class ColumnSplit(Spec):
    """A column of the table says to which side a pair belongs; what it names neither way is not used."""

    kind: Literal["column"]
    column: str = "split"
    train: Annotated[tuple[str, ...], Field(min_length=1)] = ("train",)
    val: Annotated[tuple[str, ...], Field(min_length=1)] = ("val",)


class HashSplit(Spec):
    """A share of scenes or groups, chosen by a hash of their name: it stays the same when others are added."""

    kind: Literal["hash"]
    by: Literal["scene", "group", "folder", "patient"] = "scene"
    """What is on one side as a whole. `scene`: an image, and of a volume or series all slices. `group`: the table's
    column. `folder`: the first `folders` folders of its name. `patient`: the one that its DICOM names."""
    folders: Annotated[int, Field(ge=1)] = 1
    share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """To validate on."""
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _of_use(self) -> HashSplit:
        if self.by != "folder" and self.folders != 1:
            raise ValueError("folders has no effect: say by: folder")
        return self


class NoSplit(Spec):
    """Nothing is validated on."""

    kind: Literal["none"]


Split = Annotated[PairsSplit | ColumnSplit | HashSplit | NoSplit, Field(discriminator="kind")]
