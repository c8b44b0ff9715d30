"""The recipes of jobs/: what they train can be built, and what is shipped is what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from encdec_batch.models.architectures import construct
from encdec_batch.models.package import load_package
from encdec_batch.spec.load_train import load_train_spec
from encdec_batch.spec.train_target import HighResolutionTarget, MaskTarget

JOBS = Path(__file__).parents[2] / "jobs"
RECIPES = sorted(JOBS.glob("train-*.yaml"))
NAMES = [path.stem.removeprefix("train-") for path in RECIPES]
SHIPPED = [name for name in NAMES if f"jobs/packages/{name}:" in (JOBS / f"train-{name}.yaml").read_text()]


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_named_once_and_its_network_can_be_built(name):
    path = JOBS / f"train-{name}.yaml"
    spec, head = load_train_spec(path), path.read_text().partition("\ndata:")[0]
    assert f"encdec-batch train jobs/{path.name}" in head
    assert spec.card.name == name
    assert (Path(spec.output.uri).name, Path(spec.output.package).parent.name) == (name, name)
    arguments = {"in_channels": 3, "out_channels": 3} | spec.network.arguments
    if isinstance(spec.data.target, HighResolutionTarget):
        arguments["scale"] = spec.data.target.scale
    construct(spec.network.architecture, arguments)
    assert (spec.card.task == "semantic-segmentation") == isinstance(spec.data.target, MaskTarget)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_package_is_of_its_recipe(name):
    spec, folder = load_train_spec(JOBS / f"train-{name}.yaml"), JOBS / "packages" / name
    card = load_package(str(folder)).card
    assert card.architecture == spec.network.architecture
    assert spec.network.arguments.items() <= card.arguments.items()
    assert re.search("CC0|public domain", spec.card.licence)


def test_weights_from_restricted_data_are_not_shipped():
    shipped = {path.name for path in (JOBS / "packages").iterdir()}
    restricted = [name for name in NAMES if "not redistributed" in licence(name) or "may not be" in licence(name)]
    assert len(restricted) > 5
    assert shipped.isdisjoint(restricted)


def licence(name: str) -> str:
    return load_train_spec(JOBS / f"train-{name}.yaml").card.licence
