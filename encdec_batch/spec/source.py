"""Where the scenes are."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from encdec_batch.spec.base import Spec, StorageOptions

IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".webp")
"""Of formats that hold one image each, but for OME-TIFF."""
SCENE_SUFFIXES = (*IMAGE_SUFFIXES, ".dcm", ".dicom", ".nii", ".nii.gz", ".svs", ".zarr")
"""What is looked for in a listing, where nothing else is said: an object may hold several images."""

LOCAL_SCHEMES = ("", "file", "local")
_WRAPPERS = frozenset({"dir", "reference", "zip", "tar", "libarchive", "git", "generic", "data", "asynclocal"})
"""fsspec protocols that lead to other files or URIs: what they name cannot be checked."""
_NO_HOSTS = (*LOCAL_SCHEMES, "s3", "s3a", "gs", "gcs", "memory")
"""Schemes whose URIs name no host."""


class _Source(Spec):
    storage: StorageOptions = {}
    """fsspec options of the store; credentials otherwise come from the environment's own chain."""
    bands: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    """Bands to read, counted from 1, in the card's order; None: all, and their number must be the card's."""


class Reading(Spec):
    """How objects are read that hold volumes, slices or several sizes."""

    context_slices: Annotated[int, Field(ge=0, le=16)] = 0
    """Of a volume or series: so many neighbours on each side are read with each slice, and their bands come before and
    after its own; at its ends the last slice stands for what is missing."""
    axis: Literal["axial", "coronal", "sagittal"] = "axial"
    """Of a volume without slices of its own (NIfTI): those across which axis of the patient."""
    um_per_px: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Of slides and other pyramids: the size of the pixels to read; None: those of the finest level."""
    tissue_only: bool = False
    """Of slides: glass beside the tissue is nodata, and not computed."""
    series: Literal["whole", "images"] = "whole"
    """Of DICOM: images of one series belong together, and one with a gap or a slice too many is set aside; `images`:
    each is a scene by itself, whatever the others are."""

    @property
    def pixel_options(self) -> dict[str, object]:
        """Of those above, what decides pixels and is not as usual."""
        said = {"axis": self.axis, "um_per_px": self.um_per_px, "tissue_only": self.tissue_only}
        usual: dict[str, object] = {"axis": "axial", "um_per_px": None, "tissue_only": False}
        return {key: value for key, value in said.items() if value != usual[key]}

    @model_validator(mode="after")
    def _neighbours_of_series(self) -> Self:
        if self.context_slices and self.series == "images":
            raise ValueError("context_slices has no effect: with series: images no slice has neighbours")
        return self


class PrefixSource(_Source, Reading):
    """Every image below a prefix."""

    kind: Literal["prefix"]
    uri: str
    suffixes: tuple[str, ...] = SCENE_SUFFIXES
    """Objects with other endings are not scenes; compared without case."""
    follow_links: bool = False
    """Links of a disk that lead out of `uri` are followed."""


class GlobSource(_Source, Reading):
    """Objects whose path below `uri` fits a pattern (`*` within a folder, `**` across folders)."""

    kind: Literal["glob"]
    uri: str
    pattern: str
    follow_links: bool = False
    """Links of a disk that lead out of `uri` are followed."""


class ListSource(_Source, Reading):
    """Scenes named one by one."""

    kind: Literal["list"]
    uris: Annotated[tuple[str, ...], Field(min_length=1)]


class Table(_Source):
    """A Parquet or CSV table of objects, and which of them it may name."""

    kind: Literal["table"]
    uri: str
    schemes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Of the URIs that rows may name; None: that of the table itself."""
    prefixes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Folders below one of which every row's URI lies; None: anywhere of these schemes."""
    hosts: tuple[str, ...] = ()
    """Hosts of this machine or a private network that rows may name; all others must be public."""
    follow_links: bool = False
    """Links of a disk that lead out of the prefix are followed."""

    @field_validator("schemes")
    @classmethod
    def _plain_schemes(cls, schemes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for scheme in schemes or ():
            if re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) is None:
                raise ValueError(f"{scheme!r} is no scheme: write s3, https, ...")
            if scheme in _WRAPPERS or scheme.endswith("cache") or scheme == "cached":
                raise ValueError(f"{scheme}:// names other files, which cannot be checked")
        return schemes

    @model_validator(mode="after")
    def _of_use(self) -> Self:
        own, prefixes = _scheme(self.uri), self.prefixes or ()
        admitted = self.schemes or (own,)
        if own not in LOCAL_SCHEMES and any(scheme in LOCAL_SCHEMES for scheme in admitted):
            raise ValueError("a table of a store may not name files of this machine: put it on the disk where they are")
        for prefix in prefixes:
            # A path of the spec's folder, or of the one this process is in: that of a table in a store it cannot be.
            if _scheme(prefix) not in (*admitted, *(LOCAL_SCHEMES if set(LOCAL_SCHEMES) & set(admitted) else ())):
                raise ValueError(f"prefix {prefix} is of none of the schemes {', '.join(admitted) or 'file'}")
        if self.hosts and all(scheme in _NO_HOSTS for scheme in admitted):
            raise ValueError("hosts has no effect: URIs of these schemes name buckets or files")
        if self.follow_links and not any(_scheme(prefix) in LOCAL_SCHEMES for prefix in prefixes):
            raise ValueError("follow_links has no effect without a prefix on a disk")
        return self


class TableSource(Table, Reading):
    """A table with a column `uri` and, where wanted, `scene_id` and `bands` (as `1;2;3`)."""


def _scheme(uri: str) -> str:
    scheme, separator, _ = uri.partition("://")
    return scheme.lower() if separator else ""


Source = Annotated[PrefixSource | GlobSource | ListSource | TableSource, Field(discriminator="kind")]
