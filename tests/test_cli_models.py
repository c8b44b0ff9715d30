"""`encdec-batch models`: flags, exit codes, text and JSON; and a job whose package is an alias."""

from __future__ import annotations

import json

import click
import numpy as np
import pytest
import yaml
from e2e.made import (
    LOCAL,
    classes_package,
    command,
    image_of,
    markers,
    paragraphs,
    plain_logits,
    random_network,
    write_spec,
    write_tiff,
)
from models.onnx_made import exported, write_card
from models.registries import package_folder
from rasters import coordinate_image

import encdec_batch as eb
from encdec_batch.cli_models import models
from encdec_batch.models.package import load_package
from encdec_batch.store.open import open_store

FLAGS = {
    "add": {"package", "registry", "--spec", "--storage", "--json"},
    "import": {"file", "out", "--card", "--trusted", "--json"},
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


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    path.write_bytes(exported(random_network(1), bands=1))
    return path


def import_words(folder, onnx_file, **changes):
    bands = {"bands": [{"name": "a"}], "normalization": {"kind": "constants", "mean": [125.0], "std": [70.0]}}
    card = write_card(folder / "card.yaml", **(bands | changes))
    return ["models", "import", onnx_file, folder / "package", "--card", card]


def test_an_onnx_file_is_imported(tmp_path, onnx_file):
    ended = command(*import_words(tmp_path, onnx_file))
    assert ended.code == 0
    geometry = load_package(classes_package()).card.geometry
    said = f"exact: reach {geometry.reach}, stride {geometry.stride}, scale 1"
    assert ended.stdout == f"{tmp_path}/package: made-for-tests 1, {said}\n"
    assert (
        command(*import_words(tmp_path, onnx_file), "--json").result["digest"]
        == load_package(str(tmp_path / "package")).digest
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bands": []}, "bands: should have at least 1"),
        ({"nam": "x"}, "nam: unknown key"),
        ({"architecture": "unet"}, "leave `architecture` and `arguments` out"),
        ({"version": 1.0}, "version: should be a valid string"),
    ],
)
def test_a_wrong_card_is_said_by_its_keys(tmp_path, onnx_file, changes, said):
    ended = command(*import_words(tmp_path, onnx_file, **changes))
    assert (ended.code, said in ended.stderr) == (2, True), ended.stderr
    assert not (tmp_path / "package").exists()


def test_what_cannot_be_read_is_said(tmp_path, onnx_file):
    words = import_words(tmp_path, onnx_file)
    for number, name in ((2, "none.onnx"), (5, "none.yaml")):
        ended = command(*words[:number], tmp_path / name, *words[number + 1 :])
        assert ended.code == 2
        assert f"cannot read {tmp_path / name}: No such file" in ended.stderr
    other = import_words(
        tmp_path, onnx_file, bands=[{"name": "a"}, {"name": "b"}], normalization={"kind": "percentiles"}
    )
    assert "takes 1 channels, the card has 2 bands" in command(*other).stderr


def test_a_job_with_an_onnx_network_is_exact_and_what_the_torch_network_makes(tmp_path, onnx_file):
    assert command(*import_words(tmp_path, onnx_file)).code == 0
    pixels = np.random.default_rng(0).integers(0, 255, (1, 700, 600), np.uint8)
    write_tiff(tmp_path / "in/a.tif", pixels)
    spec = write_spec(tmp_path, tmp_path / "in", str(tmp_path / "package"), compute=LOCAL | {"precision": "auto"})
    assert command("run", spec, "--json").result["scenes_done"] == 1
    (marker,) = markers(tmp_path / "out").values()
    assert marker.certificate["result"] == "passed"
    (found,) = image_of(tmp_path / "out", "a", "mask.tif")
    np.testing.assert_array_equal(found, eb.predict_array(str(tmp_path / "package"), pixels, core=10_000))
    # Where torch's own two classes are as close as rounding, either is right.
    no, yes = plain_logits(classes_package(), pixels)
    otherwise = found != (yes > no)
    margin = load_package(str(tmp_path / "package")).card.tolerance["cpu/float32"].margin
    assert otherwise.mean() < 1e-4
    assert np.abs(yes - no)[otherwise].max(initial=0) <= margin
    assert command("verify", tmp_path / "out", "--deep").code == 0
    for setting in ("compute.precision=bfloat16", "compute.device=cuda"):
        ended = command("plan", spec, "--set", setting, "--set", "output.uri=other")
        assert ended.code == 2
        assert "is an ONNX network, which runs on the CPU in float32" in ended.stderr
