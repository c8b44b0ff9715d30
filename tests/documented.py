"""What a spec file that documents every option says, and what the models have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined


def documented(text: str, section: str) -> tuple[set[tuple[str, str]], set[str]]:
    """Keys of a section with the default that ends the comment above them, in brackets; and the kinds named."""
    found_section = re.search(rf"^{section}:\n(.*?)(?=^\w|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found_section, section
    options, kinds, comment = set(), set(), ""
    for line in map(str.strip, found_section[1].splitlines()):
        if line.startswith("# "):
            comment += line[1:]
        elif found := re.match(r"#?(?:- )?(?:\{)?(\w+):\s*([^,}]*)", line):
            default = re.search(r"\[([^\[]*)\]$", comment)
            if found[1] == "kind":
                kinds.add(found[2])
            elif default:
                options.add((found[1], default[1]))
            comment = ""
    return options, kinds


def models_below(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every spec model that a field can hold, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_below(field.annotation)
    for inner in get_args(annotation):
        yield from models_below(inner)


def said(default: Any) -> str:
    """A default as such a file says it."""
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, BaseModel):
        return str(getattr(default, "kind", "as here"))
    if isinstance(default, tuple):
        return ", ".join(said(item) for item in default)
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    return str(default)
