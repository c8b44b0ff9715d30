"""jobs/training/data.yaml is a section `data`, and says every option with its default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from encdec_batch.spec.train_data import DataSpec

TEXT = (Path(__file__).parents[2] / "jobs/training/data.yaml").read_text()


def models_below(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_below(field.annotation)
    for inner in get_args(annotation):
        yield from models_below(inner)


MODELS = sorted(set(models_below(DataSpec)), key=lambda model: model.__name__)


def said(default: Any) -> str:
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, BaseModel):
        return str(default.kind)
    if isinstance(default, tuple):
        return ", ".join(said(item) for item in default)
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    return str(default)


def documented() -> tuple[set[tuple[str, str]], set[str]]:
    """Keys with the default that ends the comment above them, in brackets; and the kinds named."""
    options, kinds, comment = set(), set(), ""
    for line in map(str.strip, TEXT.splitlines()):
        if line.startswith("# "):
            comment += line[1:]
        elif found := re.match(r"#?(?:- )?(\w+):\s*(.*)", line):
            default = re.search(r"\[([^\[]*)\]$", comment)
            if found[1] == "kind":
                kinds.add(found[2])
            elif default:
                options.add((found[1], default[1]))
            comment = ""
    return options, kinds


def test_it_is_a_section():
    spec = DataSpec.model_validate(yaml.safe_load(TEXT)["data"])
    assert spec.sampling.class_balance == 0.5
    assert [one.ranges for one in spec.target.classes] == [((0, 0),), ((1, 254),)]


def sections(model: type[BaseModel]) -> set[str]:
    """Fields whose own options are documented in their place."""
    return {name for name, field in model.model_fields.items() if any(True for _ in models_below(field.annotation))}


@pytest.mark.parametrize("model", MODELS, ids=[model.__name__ for model in MODELS])
def test_every_option_is_there_with_its_default(model):
    options, kinds = documented()
    for name, field in model.model_fields.items():
        if name == "kind":
            assert set(get_args(field.annotation)) <= kinds
        elif name not in sections(model) or field.default is None:
            assert (name, said(field.default)) in options, f"{model.__name__}.{name} [{said(field.default)}]"


def test_nothing_else_is_there():
    fields = {name for model in MODELS for name in model.model_fields}
    assert {name for name, _ in documented()[0]} <= fields
