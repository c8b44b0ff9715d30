from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from encdec_batch.models.package import load_package
from encdec_batch.plan.recipe import Order
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.load import load_spec

JOBS = Path(__file__).parents[2] / "jobs"
ARCHIVE = (JOBS / "archive.yaml").read_text()
# Trainings are looked at in test_train_yaml.py.
SPECS = [path for path in sorted(JOBS.glob("*.yaml")) if not re.search(r"^learn:", path.read_text(), re.MULTILINE)]
SECTIONS = [(name, field.annotation) for name, field in JobSpec.model_fields.items() if name != "schema_version"]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_shipped_spec_is_a_job_for_its_package(path):
    spec = load_spec(path)
    package = load_package(spec.model.package)
    Order(spec=spec, card=package.card, package_digest=package.digest).check()


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_shipped_spec_fixes_the_core(path):
    assert load_spec(path).tiling.core != "auto", "equal digests are promised for a fixed core"


@pytest.mark.parametrize(("section", "model"), SECTIONS, ids=[name for name, _ in SECTIONS])
def test_archive_yaml_documents_every_option_with_its_default(section, model):
    options, kinds = documented(section)
    for part in models_below(model):
        for name, field in part.model_fields.items():
            if name == "kind":
                assert set(get_args(field.annotation)) <= kinds, f"{part.__name__} is not in archive.yaml"
            else:
                assert (name, said(field.default)) in options, f"{part.__name__}.{name} is not in archive.yaml"


@pytest.mark.parametrize(("section", "model"), SECTIONS, ids=[name for name, _ in SECTIONS])
def test_archive_yaml_documents_nothing_else(section, model):
    fields = {name for part in models_below(model) for name in part.model_fields}
    assert {name for name, _ in documented(section)[0]} <= fields


def test_every_section_is_looked_at():
    assert {name for name, _ in SECTIONS} == set(JobSpec.model_fields) - {"schema_version"}


def documented(section: str) -> tuple[set[tuple[str, str]], set[str]]:
    """Keys of a section with the default that ends the comment above them, in brackets; and the kinds named."""
    text = re.search(rf"^{section}:\n(.*?)(?=^\w|\Z)", ARCHIVE, re.MULTILINE | re.DOTALL)
    assert text, section
    options, kinds, comment = set(), set(), ""
    for line in map(str.strip, text[1].splitlines()):
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


def models_below(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every spec model that a field can hold, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_below(field.annotation)
    for inner in get_args(annotation):
        yield from models_below(inner)


def said(default: Any) -> str:
    """A default as archive.yaml says it."""
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, BaseModel):
        return str(default.kind)
    if isinstance(default, tuple):
        return ", ".join(said(item) for item in default)
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    return str(default)
