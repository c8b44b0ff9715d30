"""The base of every model of the spec."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

StorageOptions = dict[str, str | int | float | bool]
"""Options for the fsspec filesystem; a secret is named by its environment variable: `key: env:ARCHIVE_KEY`."""


class Spec(BaseModel):
    """Immutable; an unknown key is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
