"""docs/onnx.md and docs/registry.md against what they describe."""

from __future__ import annotations

import json
import re
from pathlib import Path

from models.registries import package_folder

from encdec_batch.models.alias import Alias, Move
from encdec_batch.models.given import read_declared
from encdec_batch.models.onnx_operators import LEAST_OPSET, MOST_OPSET
from encdec_batch.models.registry import add_package, promote
from encdec_batch.models.version import Version
from encdec_batch.store.open import open_store

DOCS = Path(__file__).parents[2] / "docs"
ONNX, REGISTRY = (DOCS / "onnx.md").read_text(), (DOCS / "registry.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_card_that_is_shown_is_one_with_every_key(tmp_path):
    (text,) = blocks(ONNX, "yaml")
    (tmp_path / "card.yaml").write_text(text)
    declared = read_declared(tmp_path / "card.yaml", "onnx")
    shown = {line.partition(":")[0] for line in text.splitlines() if line[0].isalpha()}
    assert shown == set(type(declared).model_fields) - {"architecture", "arguments", "parent", "pad_multiple"}


def test_the_opsets_are_those():
    assert f"opset {LEAST_OPSET} to {MOST_OPSET}" in ONNX


def test_the_records_that_are_shown_have_every_key():
    version, alias = map(json.loads, blocks(REGISTRY, "json"))
    assert version.keys() == set(Version.model_fields)
    assert alias.keys() == set(Alias.model_fields)
    assert all(move.keys() == set(Move.model_fields) for move in alias["moves"])
    assert (
        Alias.model_validate(alias | {"moves": [move | {"digest": "0" * 64} for move in alias["moves"]]}).version
        == "1.2.0"
    )


def test_the_layout_is_that(tmp_path):
    """Every object of a registry is one that the page names."""
    registry = str(tmp_path / "registry")
    added = add_package(str(package_folder(tmp_path / "made", "1.2.0")), registry)
    promote(str(added.reference), "production")
    tree = blocks(REGISTRY, "")[0]
    name, digest = added.reference.name, added.version.digest
    for info in open_store(registry).list():
        path = info.path.replace(name, "<name>", 1).replace(digest, "<digest>").replace("1.2.0", "<version>")
        assert all(part in tree for part in (f"{path.split('/')[1]}/", path.rpartition("/")[2])), path
