"""Where the scenes are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from encdec_batch.spec.base import Spec, StorageOptions

IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")


class _Source(Spec):
    storage: StorageOptions = {}
    """fsspec options of the store; credentials otherwise come from the environment's own chain."""
    bands: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    """Bands to read, counted from 1, in the card's order; None: all, and their number must be the card's."""


class PrefixSource(_Source):
    """Every image below a prefix."""

    kind: Literal["prefix"]
    uri: str
    suffixes: tuple[str, ...] = IMAGE_SUFFIXES
    """Objects with other endings are not scenes; compared without case."""


class GlobSource(_Source):
    """Objects whose path below `uri` fits a pattern (`*` within a folder, `**` across folders)."""

    kind: Literal["glob"]
    uri: str
    pattern: str


class ListSource(_Source):
    """Scenes named one by one."""

    kind: Literal["list"]
    uris: Annotated[tuple[str, ...], Field(min_length=1)]


class TableSource(_Source):
    """A Parquet or CSV table with a column `uri` and, where wanted, `scene_id` and `bands` (as `1;2;3`)."""

    kind: Literal["table"]
    uri: str


Source = Annotated[PrefixSource | GlobSource | ListSource | TableSource, Field(discriminator="kind")]
