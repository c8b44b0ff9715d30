"""Networks of extras where their packages are not there, or do not import; and the bound they are made under."""

from __future__ import annotations

import shutil
import sys

import pytest
import torch
from e2e.made import classes_package, command, paragraphs, write_spec, write_tiff
from models.onnx_made import write_card
from rasters import coordinate_image
from torch import nn
from train.test_cli_train import write_pairs
from train.test_cli_train import write_spec as write_training

from encdec_batch.models.architectures import EXTRA_PACKAGES, EXTRAS
from encdec_batch.models.bounded import at_most

MODULES = {"smp": "segmentation_models_pytorch", "spandrel": "spandrel"}


@pytest.fixture(params=["missing", "broken"])
def wrong(request, monkeypatch, tmp_path):
    """What is said of it, in an environment without these packages, or with a torchvision of another torch."""
    for module in [*MODULES.values(), "encdec_batch.networks.smp", "encdec_batch.networks.spandrel"]:
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.delitem(sys.modules, "encdec_batch.models.published", raising=False)
    for module in MODULES.values():
        if request.param == "missing":
            monkeypatch.setitem(sys.modules, module, None)
        else:
            (tmp_path / "lib").mkdir(exist_ok=True)
            (tmp_path / f"lib/{module}.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    return {name: "docs/extras.md" if request.param == "broken" else f"'encdec-batch[{name}]'" for name in EXTRAS}


def test_weights_are_not_imported_and_it_is_said_how(wrong, tmp_path):
    torch.save({}, tmp_path / "net.pth")
    ended = command(
        "models", "import", tmp_path / "net.pth", tmp_path / "out", "--card", write_card(tmp_path / "c.yaml")
    )
    assert (ended.code, len(paragraphs(ended.stderr))) == (1, 1), ended.stderr
    assert wrong["spandrel"] in ended.stderr


def test_nor_is_a_network_trained(wrong, tmp_path):
    write_pairs(tmp_path)
    spec = write_training(tmp_path)
    arguments = "{architecture: Unet, encoder: resnet18}"
    ended = command(
        "train", spec, "--set", "network.architecture=smp", "--set", f"network.arguments={arguments}", "--json"
    )
    assert ended.code == 1, ended.stderr
    assert wrong["smp"] in paragraphs(ended.stderr)[-1]
    assert "Traceback" not in ended.stderr


def test_nor_is_a_job_begun(tmp_path, monkeypatch):
    """Said from the metadata, before a network is made."""
    shutil.copytree(classes_package(2), tmp_path / "package")
    card, made = tmp_path / "package/card.json", (tmp_path / "package/card.json").read_text()
    write_tiff(tmp_path / "in/a.tif", coordinate_image(2, 60, 60))
    spec = write_spec(tmp_path, tmp_path / "in", str(tmp_path / "package"))
    for name, verb in (("smp", "plan"), ("spandrel", "run")):
        monkeypatch.setitem(EXTRA_PACKAGES, name, ("a-package-that-is-nowhere",))
        card.write_text(made.replace('"architecture": "unet"', f'"architecture": "{name}"'))
        ended = command(verb, spec)
        assert (ended.code, len(paragraphs(ended.stderr))) == (1, 1), ended.stderr
        assert f"'encdec-batch[{name}]'" in ended.stderr


def test_a_network_that_grows_beyond_the_bound_is_stopped_where_it_does():
    begun: list[int] = []

    def grow():
        for number in range(100):
            begun.append(number)
            nn.Linear(10, 10)

    with pytest.raises(ValueError, match="more than 250 values"), at_most(250):
        grow()
    assert len(begun) == 3
    nn.Linear(100, 100)
    with at_most(250), torch.device("meta"):
        nn.Linear(100, 100)
