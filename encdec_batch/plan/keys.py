"""The two keys of a scene, and the canonical JSON they are the sha256 of.

The scene key answers "is this committed output still what is wanted?", the part key "may this part
be used?". What `plan` chooses by itself (block side, core, batch, device) is in the part key only: a
committed scene is not redone because today's choice would be another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneKeyFields:
    """Everything that decides what the output of a scene is."""

    scene_uri: str
    etag: str
    """The store's etag of the scene; on a file system it is made of size and modification time."""
    package_digest: str
    pixel_options: Mapping[str, Any]
    """Every option that can change a pixel, as asked for (`core: auto` stays `auto`), the bands among them."""
    format_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartKeyFields:
    """Everything beside the scene key that decides the bytes of a part."""

    block_side: int
    """B, in input pixels."""
    levels: int
    """L: overview levels kept as encoded tiles."""
    core: int
    """c as resolved, in input pixels."""
    tile: tuple[int, int]
    """T as (height, width), in input pixels."""
    halo: int
    scale: int
    products: tuple[str, ...]
    """Names of the rasters a part holds."""
    cells: bool
    """Whether a part holds the rows of the table."""
    precision: str
    batch: int
    engine: str
    engine_version: str
    device_kind: str
    """Name of the GPU, or vendor and instruction sets of the CPU."""
    codec: str
    codec_level: int
    part_format: int
    decoder: str = ""
    """Of the input, where another would make other pixels; empty where it does not matter."""


def canonical_json(value: object) -> bytes:
    """The one way to write `value` as JSON: sorted keys, no blanks, ASCII.

    Equal values have equal bytes in every process and on every machine; tuples are lists.

    Raises:
        TypeError: something is in it that JSON has no word for, or a key that is not a string
            (`json` would make 1 and "1" the same key).
        ValueError: NaN or an infinity.
    """
    return plain_json(_plain(value))


def plain_json(value: object) -> bytes:
    """The same of what is dicts with string keys, lists and plain values already: nothing is checked."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def scene_key(fields_of_scene: SceneKeyFields) -> str:
    """The scene key, 64 hex digits."""
    return _digest("scene", _as_mapping(fields_of_scene))


def part_key(key_of_scene: str, fields_of_part: PartKeyFields) -> str:
    """The part key of a scene on one grid, one engine and one kind of device, 64 hex digits."""
    return _digest("part", {"scene_key": key_of_scene, **_as_mapping(fields_of_part)})


def _digest(kind: str, values: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json({"key": kind, **values})).hexdigest()


def _as_mapping(record: SceneKeyFields | PartKeyFields) -> dict[str, Any]:
    # Not dataclasses.asdict: it deep-copies, and turns no Mapping but dict into plain values. What is left empty is no
    # part of a key: those of scenes that it does not concern stay what they were.
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return values if values.get("decoder", True) else {name: one for name, one in values.items() if name != "decoder"}


def _plain(value: object) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"canonical JSON has string keys only, not {key!r}")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise TypeError(f"canonical JSON cannot hold a {type(value).__name__}: {value!r}")
