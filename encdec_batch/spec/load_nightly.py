"""From a file to a NightlySpec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from encdec_batch.spec.faults import checked
from encdec_batch.spec.load import read_values
from encdec_batch.spec.load_train import PATHS, anchored
from encdec_batch.spec.nightly import NightlySpec

_PATHS = (*PATHS, "spec")


def load_nightly_spec(path: str | Path, overrides: Sequence[str] = ()) -> NightlySpec:
    """The nightly job that a YAML, JSON or TOML file describes.

    Args:
        path: the file; its suffix names the format. Paths in it are relative to its folder.
        overrides: `key.subkey=value` each, the value read as YAML; paths in them are relative to the current folder.

    Raises:
        SpecError: the file cannot be read, or what it says is no nightly job; one line per fault.
    """
    path = Path(path)
    values = read_values(path, overrides, paths=[f"*.{key}" for key in _PATHS])
    return parse_nightly_spec(anchored(values, path.resolve().parent, paths=_PATHS), name=str(path))


def parse_nightly_spec(data: Any, *, name: str = "spec") -> NightlySpec:
    """The nightly job that a plain dict describes.

    Raises:
        SpecError: it is none; one line per fault.
    """
    return checked(NightlySpec, data, name=name, what="a nightly job")
