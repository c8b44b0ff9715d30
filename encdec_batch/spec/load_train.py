"""From a file to a TrainSpec."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from encdec_batch.spec.faults import checked
from encdec_batch.spec.load import absolute, read_values
from encdec_batch.spec.train import TrainSpec

PATHS = ("uri", "uris", "prefixes", "images", "targets", "parent", "package", "registry")
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
    values = read_values(path, overrides, paths=[f"*.{key}" for key in PATHS])
    return parse_train_spec(anchored(values, path.resolve().parent), name=str(path))


def parse_train_spec(data: Any, *, name: str = "spec") -> TrainSpec:
    """The training that a plain dict describes.

    Raises:
        SpecError: it is none; one line per fault.
    """
    return checked(TrainSpec, data, name=name, what="a training")


def anchored(value: Any, folder: Path, key: str = "", *, paths: Collection[str] = PATHS) -> Any:
    """The same values with local paths made absolute, so that they mean the same from every folder.

    Args:
        value: of a spec, or a part of it.
        folder: that relative paths count from.
        key: that the value stands under.
        paths: keys that hold paths, wherever they stand.
    """
    if isinstance(value, dict):
        # What a network's constructor or a store is given is not ours to read.
        kept = ("arguments", "storage")
        return {
            name: one if name in kept else anchored(one, folder, str(name), paths=paths) for name, one in value.items()
        }
    if isinstance(value, list):
        return [anchored(one, folder, key, paths=paths) for one in value]
    return absolute(value, folder) if key in paths and isinstance(value, str) else value
