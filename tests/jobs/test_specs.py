from __future__ import annotations

import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from encdec_batch.models.package import load_package
from encdec_batch.plan.recipe import Order
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.load import load_spec

JOBS = Path(__file__).parents[2] / "jobs"
ARCHIVE = (JOBS / "archive.yaml").read_text()
SPECS = sorted(JOBS.glob("*.yaml"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_shipped_spec_is_a_job_for_its_package(path):
    spec = load_spec(path)
    package = load_package(spec.model.package)
    Order(spec=spec, card=package.card, package_digest=package.digest).check()


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_shipped_spec_fixes_the_core(path):
    assert load_spec(path).tiling.core != "auto", "equal digests are promised for a fixed core"


def documented(section: str) -> tuple[set[tuple[str, str]], set[str]]:
    """Keys of a section of archive.yaml with the default that the comment above them ends with; kinds."""
    options, kinds, comment = set(), set(), ""
    for line in ARCHIVE.splitlines():
        if re.match(rf"{section}:", line):
            inside = True
        elif re.match(r"\w+:", line):
            inside = False
        elif line.strip() in ("", "#"):
            inside = locals().get("inside", False)
        if line.lstrip().startswith("# "):
            comment += " " + line.strip(" #")
            continue
        found = re.match(r"\s*#?(?:- )?(\w+):\s*(\S*)", line)
        default = re.search(r"\[([^\[]*)\]$", comment)
        comment = ""
        if not found or not locals().get("inside"):
            continue
        if found[1] == "kind":
            kinds.add(found[2])
        elif default:
            options.add((found[1], default[1]))
    return options, kinds


def models_below(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every spec model that a field can hold, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_below(field.annotation)
    for inner in get_args(annotation):
        if get_origin(annotation) is not Literal:
            yield from models_below(inner)


def said(default: Any) -> str:
    """A default as archive.yaml says it."""
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, BaseModel):
        return str(getattr(default, "kind", default))
    if isinstance(default, tuple):
        return ", ".join(said(item) for item in default)
    return {None: "null", True: "true", False: "false"}.get(default, str(default)) if default != {} else "{}"
