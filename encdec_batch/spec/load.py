"""From a file to a JobSpec."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from encdec_batch.errors import SpecError
from encdec_batch.spec.faults import checked
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.sealed import SUFFIX as SEALED
from encdec_batch.spec.sealed import unsealed
from encdec_batch.spec.text import MOST_BYTES, parse_json, parse_yaml

_PATHS = ("source.uri", "model.package", "output.uri", "privacy.map")


def load_spec(path: str | Path, overrides: Sequence[str] = ()) -> JobSpec:
    """The job that a YAML, JSON or TOML file describes.

    Args:
        path: the file; its suffix names the format. Paths in it are relative to its folder.
        overrides: `key.subkey=value` each, the value read as YAML; paths in them are relative to the current folder.

    Raises:
        SpecError: the file cannot be read, or what it says is not a job; one line per fault.
    """
    path = Path(path)
    data = read_values(path, overrides, paths=_PATHS)
    return _anchored(parse_spec(data, name=str(path)), path.resolve().parent)


def read_values(path: Path, overrides: Sequence[str], *, paths: Collection[str]) -> dict[str, Any]:
    """What stands in a spec file, with some keys changed.

    Args:
        path: YAML, JSON or TOML.
        overrides: as of `load_spec`.
        paths: keys whose values are paths: with all that is above them, or `*.key` wherever they stand.

    Raises:
        SpecError: the file cannot be read, or an override is none.
    """
    data = _parse(path)
    for override in overrides:
        _apply(data, override, paths)
    return data


def parse_spec(data: Any, *, name: str = "spec") -> JobSpec:
    """The job that a plain dict describes.

    Raises:
        SpecError: it is not a job; one line per fault.
    """
    return checked(JobSpec, data, name=name, what="a job")


def parse_text(text: str, *, name: str) -> JobSpec:
    """The job that a YAML text describes.

    Raises:
        SpecError: it is not a job; one line per fault.
    """
    try:
        return parse_spec(parse_yaml(text), name=name)
    except ValueError as error:
        raise SpecError(f"{name}: {' '.join(str(error).split())}") from None


def _parse(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            # Encrypted it is longer: by a third, and a head.
            data = file.read(2 * MOST_BYTES if path.suffix == SEALED else MOST_BYTES + 1)
        if path.suffix == SEALED:
            data, path = unsealed(data, path), path.with_suffix("")
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise SpecError(f"cannot read the spec {path}: {reason}") from None
    if len(data) > MOST_BYTES:
        raise SpecError(
            f"{path} is larger than {MOST_BYTES:,} bytes", hint="name many scenes in a table, not in a list"
        )
    try:
        if path.suffix == ".json":
            values = parse_json(text)
        elif path.suffix == ".toml":
            values = tomllib.loads(text)
        else:
            values = parse_yaml(text)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise SpecError(f"{path} holds no keys", hint="see jobs/archive.yaml for every key with a comment")
    return values


def _apply(data: dict[str, Any], override: str, paths: Collection[str]) -> None:
    key, found, value = override.partition("=")
    if not found or not key:
        raise SpecError(f"--set {override}", hint="write --set tiling.core=1024")
    *parents, last = key.split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise SpecError(f"--set {override}: {parent} has no keys of its own")
    try:
        given = parse_yaml(value)
        # Typed in a shell, a path is meant from there, not from the folder of a file that may be anywhere.
        is_path = isinstance(given, str) and (key in paths or f"*.{last}" in paths)
        data[last] = absolute(given, Path.cwd()) if is_path else given
    except ValueError:
        raise SpecError(
            f"--set {override}: the value is not YAML", hint="quote text that YAML reads otherwise: --set 'key=\"*\"'"
        ) from None


def _anchored(spec: JobSpec, folder: Path) -> JobSpec:
    """The same job with its local paths made absolute, so that it means the same from every folder."""
    source = spec.source
    if source.kind == "list":
        source = source.model_copy(update={"uris": tuple(absolute(uri, folder) for uri in source.uris)})
    else:
        source = source.model_copy(update={"uri": absolute(source.uri, folder)})
    if source.kind == "table" and source.prefixes is not None:
        source = source.model_copy(update={"prefixes": tuple(absolute(uri, folder) for uri in source.prefixes)})
    model = spec.model.model_copy(update={"package": absolute(spec.model.package, folder)})
    output = spec.output.model_copy(update={"uri": absolute(spec.output.uri, folder)})
    changes: dict[str, object] = {"source": source, "model": model, "output": output}
    if spec.privacy.map is not None:
        changes["privacy"] = spec.privacy.model_copy(update={"map": absolute(spec.privacy.map, folder)})
    return spec.model_copy(update=changes)


def absolute(uri: str, folder: Path) -> str:
    """A path of this machine, counted from a folder; other URIs as they are."""
    if "://" in uri:
        return uri
    trailing = "/" if uri.endswith("/") else ""
    try:
        # resolve() would follow links: rows of a table, whose own are not followed, would lie below no prefix.
        path = os.path.abspath(folder / Path(uri).expanduser())  # noqa: PTH100
    except (ValueError, RuntimeError) as error:  # a user who has no home
        raise SpecError(f"{uri!r} is not a path: {error}") from None
    if "\0" in path:
        raise SpecError(f"{uri!r} is not a path: it holds a NUL")
    return path + trailing
