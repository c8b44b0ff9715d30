"""jobs/nightly.yaml says every option of a nightly job, with its default, and is itself one."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import get_args

import click
import pytest
from cluster.commands import parse
from documented import documented, models_below, said

from encdec_batch.cli import main
from encdec_batch.errors import SpecError
from encdec_batch.nightly.check import check_archive
from encdec_batch.spec.kind import kind_of
from encdec_batch.spec.load_nightly import load_nightly_spec
from encdec_batch.spec.nightly import NightlySpec

JOBS = Path(__file__).parents[2] / "jobs"
TEXT = (JOBS / "nightly.yaml").read_text()
# What a training is stands in jobs/train.yaml.
SECTIONS = [
    (name, NightlySpec.model_fields[name].annotation) for name in ("output", "split", "judge", "archive")
]  # fmt: skip


def test_it_is_one_and_its_archive_is_of_its_model():
    spec = load_nightly_spec(JOBS / "nightly.yaml")
    assert check_archive(spec).output.uri == "s3://archive/vegetation"


@pytest.mark.parametrize(("section", "model"), SECTIONS, ids=[name for name, _ in SECTIONS])
def test_every_option_is_documented_with_its_default_and_nothing_else(section, model):
    options, kinds = documented(TEXT, section)
    fields = set()
    for part in models_below(model):
        for name, field in part.model_fields.items():
            fields.add(name)
            if name == "kind":
                assert set(get_args(field.annotation)) <= kinds, f"{part.__name__} is not in nightly.yaml"
            elif name == "groups":
                assert ("groups", "none") in options
            else:
                default = "{}" if field.default == {} else said(field.default)
                assert (name, default) in options, f"{part.__name__}.{name} is not in nightly.yaml"
    assert {name for name, _ in options} <= fields


def test_options_outside_of_sections_are_documented():
    for name, field in NightlySpec.model_fields.items():
        assert f"\n{name}:" in TEXT
        if not isinstance(field.default, bool | str | int):
            continue
        above = TEXT.partition(f"\n{name}:")[0].splitlines()[-1]
        assert above.endswith(f"[{said(field.default)}]"), name


def test_submit_says_that_a_scheduler_starts_it():
    with pytest.raises(SpecError, match="is a nightly job's, which is not submitted"):
        kind_of(JOBS / "nightly.yaml")


@pytest.mark.parametrize(
    "words",
    [[], ["--shadow"], ["--night", "2026-11-28", "--set", "new_scenes=3", "--set", "judge.margin=0.01"]],
    ids=["plain", "shadow", "options"],
)
def test_the_script_says_what_the_command_takes(words):
    arguments = runpy.run_path(str(JOBS / "nightly_retrain.py"))["arguments"]
    made = arguments(["--spec", "a.yaml", *words])
    parse(main, made)
    assert made[:2] == ["nightly", "a.yaml"]
    assert ("shadow=true" in made) == ("--shadow" in words)
    with pytest.raises(click.UsageError):
        parse(main, [*made, "--shadow"])
