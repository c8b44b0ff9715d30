"""`encdec-batch models`: flags, exit codes, text and JSON; and a job whose package is an alias."""

from __future__ import annotations

import json

import click
import pytest
import yaml
from e2e.made import classes_package, command, paragraphs, write_spec, write_tiff
from models.registries import package_folder
from rasters import coordinate_image

from encdec_batch.cli_models import models
from encdec_batch.models.package import load_package
from encdec_batch.store.open import open_store

FLAGS = {
    "add": {"package", "registry", "--spec", "--storage", "--json"},
    "list": {"registry", "--storage", "--json"},
    "promote": {"reference", "--alias", "--storage", "--json"},
    "rollback": {"model", "--alias", "--storage", "--json"},
    "show": {"model", "--storage", "--json"},
}
"""Frozen: settings go into the card."""


@pytest.fixture
def registry(tmp_path):
    """Versions 1 and 2 of a model, and 2 in production after 1."""
    spec = tmp_path / "train.yaml"
    spec.write_text("kind: train\n")
    for version in "12":
        folder = package_folder(tmp_path / "made", version)
        assert command("models", "add", folder, tmp_path / "models", "--spec", spec).code == 0
        assert command("models", "promote", f"{tmp_path}/models/nuclei@{version}").code == 0
    return tmp_path / "models"


def test_the_flags_are_these():
    found = {
        name: {"/".join(option.opts) if isinstance(option, click.Option) else option.name for option in command_.params}
        for name, command_ in models.commands.items()
    }
    assert found == FLAGS


def test_every_command_and_flag_says_what_it_is_for():
    assert all(name in command("models", "--help").stdout for name in FLAGS)
    for name, found in models.commands.items():
        assert command("models", name, "--help").code == 0
        assert found.help
        assert all(option.help for option in found.params if isinstance(option, click.Option))


def test_what_is_there_is_listed(registry):
    text = command("models", "list", registry).stdout
    (one, two) = (line for line in text.splitlines() if "UTC" in line)
    assert "production" in two
    assert "production" not in one
    (model,) = command("models", "list", registry, "--json").result["models"]
    assert [version["version"] for version in model["versions"]] == ["1", "2"]
    assert model["aliases"]["production"]["version"] == "2"
    assert "no models" in command("models", "list", registry / "elsewhere").stdout


def test_one_model_and_one_version_are_shown(registry):
    text = command("models", "show", registry / "nuclei").stdout
    assert [line.split()[-1] for line in text.splitlines() if line.startswith("production")] == ["1", "2"]
    shown = command("models", "show", registry / "nuclei@production").stdout
    assert "nuclei 2" in shown
    assert "1 lines, in --json" in shown
    found = command("models", "show", registry / "nuclei@production", "--json").result
    assert (found["version"], found["spec"]) == ("2", "kind: train\n")
    assert found["card"]["training"]["licence"]


def test_moving_there_and_back(registry):
    back = command("models", "rollback", registry / "nuclei")
    assert (back.code, back.stdout) == (0, "production of nuclei is now 1\n")
    none = command("models", "rollback", registry / "nuclei")
    assert none.code == 1
    assert "was none before; say which one: models promote" in none.stderr
    found = command("models", "promote", registry / "nuclei@production", "--alias", "candidate", "--json").result
    assert (found["version"], found["alias"], found["moved"], found["before"]) == ("1", "candidate", True, None)
    again = command("models", "promote", registry / "nuclei@1", "--alias", "candidate")
    assert again.stdout == "candidate of nuclei was already 1\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["promote", "nuclei"], 2, "REGISTRY/NAME@VERSION"),
        (["promote", "{registry}/nuclei@3"], 1, "there are 1, 2"),
        (["promote", "{registry}/nuclei@1", "--alias", "best"], 2, "candidate, production"),
        (["show", "{registry}/nuclei@"], 2, "REGISTRY/NAME@VERSION"),
        (["show", "{registry}/other"], 1, "no model other"),
        (["rollback", "{registry}/other"], 1, "was never set"),
        (["add", "{registry}", "{registry}"], 1, "card.json is missing"),
        (["add", "{registry}", "{registry}", "--spec", "/none.yaml"], 2, "cannot read the spec"),
        (["list", "{registry}", "--storage", "x"], 2, "--storage endpoint_url"),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, list) else str(value)[:12],
)
def test_a_mistake_is_one_line(registry, words, code, said):
    ended = command("models", *(word.format(registry=registry) for word in words))
    assert (ended.code, ended.stdout) == (code, "")
    assert said in ended.stderr
    assert len(paragraphs(ended.stderr)) == 1
    assert "Traceback" not in ended.stderr


def test_a_job_resolves_an_alias_once_and_says_which_version_it_took(tmp_path):
    registry = tmp_path / "models"
    for seed in (0, 1):
        assert command("models", "add", classes_package(seed=seed), registry).code == 0
    assert command("models", "promote", f"{registry}/classes@0").code == 0
    write_tiff(tmp_path / "in/a.tif", coordinate_image(1, 100, 100))
    spec = write_spec(tmp_path, tmp_path / "in", f"{registry}/classes@production")
    assert command("run", spec, "--json").result["scenes_done"] == 1
    store = open_store(str(tmp_path / "out"))
    (run_spec,) = (info.path for info in store.list(".encdec/runs/") if info.path.endswith("spec.yaml"))
    assert yaml.safe_load(store.get(run_spec))["model"]["package"] == f"{registry}/classes@0"
    # The same version in its folder is the same package: nothing to do.
    again = command("plan", spec, "--set", f"model.package={classes_package(seed=0)}", "--json").result
    assert again["scenes"] == {"todo": 0, "done": 1, "set_aside": 0}
    # What a moved alias names is another one. What was made is still known to be of version 0.
    assert command("models", "promote", f"{registry}/classes@1").code == 0
    assert command("plan", spec, "--json").result["scenes"]["todo"] == 1
    deep = command("verify", tmp_path / "out", "--deep", "--json").result
    assert deep["deep"]["scenes"] == 1
    assert load_package(f"{registry}/classes@production").card.version == "1"


def test_every_result_is_one_json_object_where_that_is_asked_for(registry):
    for words in (["list", registry], ["show", registry / "nuclei"], ["rollback", registry / "nuclei"]):
        ended = command("models", *words, "--json")
        assert isinstance(json.loads(ended.stdout), dict)
        assert ended.stdout.count("\n") == 1
