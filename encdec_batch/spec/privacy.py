"""Names of persons, and of whatever leads to them, kept out of all that a job writes."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from encdec_batch.spec.base import Spec, StorageOptions


class PrivacySpec(Spec):
    """Scenes and their URIs are named by keyed hashes; what a later run needs in clear is kept encrypted."""

    hide: Literal["auto", "on", "off"] = "auto"
    """`auto`: on where the source holds DICOM, NIfTI, or slides by their names (.svs, .ndpi and the like). Slides named
    .tif or .zarr are not told from other images: say on."""
    key: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "ENCDEC_PRIVACY_KEY"
    """The variable of the environment that holds the key, of 16 characters at least; on a cluster on every node."""
    pictures: bool = False
    """Pictures of scenes are on the report's page all the same."""

    @field_validator("hide", mode="before")
    @classmethod
    def _no_booleans(cls, value: object) -> object:
        # YAML 1.1 reads on and off as true and false.
        return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value

    @model_validator(mode="before")
    @classmethod
    def _in_a_word(cls, value: object) -> object:
        # `privacy: on`, which YAML 1.1 reads as true.
        return {"hide": value} if isinstance(value, bool | str) else value

    def resolved(self, *, private: bool) -> Self:
        """With `auto` decided."""
        return self.model_copy(update={"hide": "on" if private else "off"})


class JobPrivacySpec(PrivacySpec):
    """Of a job, which keeps what it needs in clear for later runs."""

    map: str | None = None
    """Folder of what is kept encrypted; None: `.encdec/private/` of the output."""
    map_storage: StorageOptions = {}

    @model_validator(mode="after")
    def _of_use(self) -> Self:
        if self.hide == "off" and self.map is not None:
            raise ValueError("map has no effect: with hide: off nothing is kept encrypted")
        if self.map_storage and self.map is None:
            raise ValueError("map_storage has no effect: say map")
        return self
