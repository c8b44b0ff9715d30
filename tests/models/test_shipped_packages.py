from __future__ import annotations

from pathlib import Path

import pytest

from encdec_batch.models.forward import prepare
from encdec_batch.models.golden import replay
from encdec_batch.models.network import build_network
from encdec_batch.models.package import load_package
from encdec_batch.models.reach import measure_geometry

PACKAGES = Path(__file__).parents[2] / "jobs" / "packages"
NAMES = ("nuclei", "vegetation-rgb")


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_package_loads_and_computes_what_it_did(name):
    package = load_package(str(PACKAGES / name))
    assert package.card.name == name
    replay(package, prepare(build_network(package), precision="bfloat16"))


@pytest.mark.parametrize("name", NAMES)
def test_its_card_says_what_is_measured(name):
    package = load_package(str(PACKAGES / name))
    assert package.card.geometry == measure_geometry(build_network(package), package.card.num_bands)


@pytest.mark.parametrize("name", NAMES)
def test_its_card_says_where_it_comes_from_and_how_good_it_is(name):
    card = load_package(str(PACKAGES / name)).card
    assert card.training.data
    assert any(word in card.training.licence for word in ("public domain", "CC0"))
    assert 0 < card.metrics["val"]["iou"] < 1


def test_together_they_are_small():
    assert sum(path.stat().st_size for path in PACKAGES.rglob("*") if path.is_file()) < 3_000_000
