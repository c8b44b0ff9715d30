"""Names of persons, and of whatever leads to them, kept out of all that a job writes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from encdec_batch.spec.base import Spec


class PrivacySpec(Spec):
    """Scenes and their URIs are named by keyed hashes; what a later run needs in clear is kept encrypted."""

    hide: Literal["auto", "on", "off"] = "auto"
    """`auto`: on where the source holds DICOM, NIfTI or whole slides."""
    key: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "ENCDEC_PRIVACY_KEY"
    """The variable of the environment that holds the key, of 16 characters at least; on a cluster on every node."""
    pictures: bool = False
    """Pictures of scenes are on the report's page all the same."""

    @field_validator("hide", mode="before")
    @classmethod
    def _no_booleans(cls, value: object) -> object:
        # YAML 1.1 reads on and off as true and false.
        return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
