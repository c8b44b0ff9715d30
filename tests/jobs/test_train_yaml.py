"""jobs/train.yaml says every option of a training, with its default, and is itself a training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from documented import documented, models_below, said

from encdec_batch.spec.load_train import load_train_spec
from encdec_batch.spec.train import TrainSpec

JOBS = Path(__file__).parents[2] / "jobs"
TEXT = (JOBS / "train.yaml").read_text()
TRAININGS = [path for path in sorted(JOBS.glob("*.yaml")) if re.search(r"^learn:", path.read_text(), re.MULTILINE)]
SECTIONS = [(name, field.annotation) for name, field in TrainSpec.model_fields.items() if name != "schema_version"]


@pytest.mark.parametrize("path", TRAININGS, ids=lambda path: path.stem)
def test_a_shipped_training_is_one(path):
    load_train_spec(path)


@pytest.mark.parametrize(("section", "model"), SECTIONS, ids=[name for name, _ in SECTIONS])
def test_every_option_is_documented_with_its_default(section, model):
    options, kinds = documented(TEXT, section)
    for part in models_below(model):
        for name, field in part.model_fields.items():
            if name == "kind":
                assert set(get_args(field.annotation)) <= kinds, f"{part.__name__} is not in train.yaml"
            else:
                assert (name, said(field.default)) in options, f"{part.__name__}.{name} is not in train.yaml"


@pytest.mark.parametrize(("section", "model"), SECTIONS, ids=[name for name, _ in SECTIONS])
def test_nothing_else_is_documented(section, model):
    fields = {name for part in models_below(model) for name in part.model_fields}
    assert {name for name, _ in documented(TEXT, section)[0]} <= fields


def test_every_section_is_looked_at():
    assert {name for name, _ in SECTIONS} == set(TrainSpec.model_fields) - {"schema_version"}
