"""From a file to a TrainSpec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from encdec_batch.errors import SpecError
from encdec_batch.spec.faults import faults_of
from encdec_batch.spec.load import absolute, read_values
from encdec_batch.spec.train import TrainSpec

_PATHS = ("uri", "uris", "prefixes", "images", "targets", "parent", "package", "registry")
"""Keys that hold paths or URIs, wherever they stand."""


def load_train_spec(path: str | Path, overrides: Sequence[str] = ()) -> TrainSpec:
    """The training that a YAML, JSON or TOML file describes.

    Args:
        path: the file; its suffix names the format. Paths in it are relative to its folder.
        overrides: `key.subkey=value` each, the value read as YAML; paths in them are relative to the current folder.

    Raises:
        SpecError: the file cannot be read, or what it says is no training; one line per fault.
    """
    path = Path(path)
    values = read_values(path, overrides, paths=[f"*.{key}" for key in _PATHS])
    return parse_train_spec(_anchored(values, path.resolve().parent), name=str(path))


def parse_train_spec(data: Any, *, name: str = "spec") -> TrainSpec:
    """The training that a plain dict describes.

    Raises:
        SpecError: it is none; one line per fault.
    """
    try:
        return TrainSpec.model_validate(data)
    except ValidationError as error:
        faults = "\n  ".join(faults_of(error, data))
        raise SpecError(f"{name} is not a training:\n  {faults}") from None


def _anchored(value: Any, folder: Path, key: str = "") -> Any:
    """The same values with local paths made absolute, so that they mean the same from every folder."""
    if isinstance(value, dict):
        # What a network's constructor or a store is given is not ours to read.
        kept = ("arguments", "storage")
        return {name: one if name in kept else _anchored(one, folder, str(name)) for name, one in value.items()}
    if isinstance(value, list):
        return [_anchored(one, folder, key) for one in value]
    return absolute(value, folder) if key in _PATHS and isinstance(value, str) else value
