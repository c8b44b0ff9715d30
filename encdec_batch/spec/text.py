"""YAML and JSON to plain values: what is written twice is an error, and a small file stays small in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import yaml

MOST_BYTES = 4 << 20
"""Of a spec."""
_MOST_MERGED = 10_000
"""Keys that `<<` may copy in one file: nested, they double with every line."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which takes the last of equal keys and copies merged ones without end."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._merged = 0
        self._seen: set[int] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        # Once for each: merged keys stand before the mapping's own, which may be the same.
        fresh = id(node) not in self._seen
        self._seen.add(id(node))
        seen: set[str] = set()
        scalars = (key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<")
        for key in scalars:
            if fresh and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value} stands twice", key.start_mark)
            seen.add(key.value)
        before = len(node.value)
        super().flatten_mapping(node)
        self._merged += max(0, len(node.value) - before)
        if self._merged > _MOST_MERGED:
            raise yaml.constructor.ConstructorError(
                None, None, f"more than {_MOST_MERGED} keys are merged", node.start_mark
            )


def parse_yaml(text: str) -> Any:
    """The values of a YAML text.

    Raises:
        ValueError: it is none, or a key is written twice.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  (a safe loader, and stricter)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def parse_json(text: str | bytes) -> Any:
    """The values of a JSON text.

    Raises:
        ValueError: it is none, or a key is written twice.
    """
    try:
        return json.loads(text, object_pairs_hook=unique_pairs)
    except RecursionError as error:
        raise ValueError(str(error)) from error


def unique_pairs(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """For `json.loads`.

    Raises:
        ValueError: two of the keys are equal.
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key} stands twice")
        found[key] = value
    return found
