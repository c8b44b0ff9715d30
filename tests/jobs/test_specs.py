from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from documented import documented, models_below, said

from encdec_batch.models.package import load_package
from encdec_batch.plan.recipe import Order
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.load import load_spec

JOBS = Path(__file__).parents[2] / "jobs"
ARCHIVE = (JOBS / "archive.yaml").read_text()
# Trainings are looked at in test_train_yaml.py, the night in test_nightly_yaml.py.
SPECS = [path for path in sorted(JOBS.glob("*.yaml")) if not re.search(r"^ *learn:", path.read_text(), re.MULTILINE)]
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
    options, kinds = documented(ARCHIVE, section)
    for part in models_below(model):
        for name, field in part.model_fields.items():
            if name == "kind":
                assert set(get_args(field.annotation)) <= kinds, f"{part.__name__} is not in archive.yaml"
            else:
                assert (name, said(field.default)) in options, f"{part.__name__}.{name} is not in archive.yaml"


@pytest.mark.parametrize(("section", "model"), SECTIONS, ids=[name for name, _ in SECTIONS])
def test_archive_yaml_documents_nothing_else(section, model):
    fields = {name for part in models_below(model) for name in part.model_fields}
    assert {name for name, _ in documented(ARCHIVE, section)[0]} <= fields


def test_every_section_is_looked_at():
    assert {name for name, _ in SECTIONS} == set(JobSpec.model_fields) - {"schema_version"}
