"""Networks of segmentation-models-pytorch: as packages, in jobs, in trainings; never a file that a card names."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

pytest.importorskip("segmentation_models_pytorch", reason="the extra smp is not installed: make test-extras")

import segmentation_models_pytorch
from e2e.made import command, image_of, markers, paragraphs, write_spec, write_tiff
from models.made import declared
from predict.whole import card_of, plain_pass, tiled
from rasters import coordinate_image
from safetensors.torch import save_file
from train.test_cli_train import write_pairs
from train.test_cli_train import write_spec as write_training
from train.trainings import material, train_spec

from encdec_batch.errors import CardError, SpecError
from encdec_batch.grid import Tiling
from encdec_batch.models.architectures import construct
from encdec_batch.models.card import ImageOutput
from encdec_batch.models.network import build_network
from encdec_batch.models.package import load_package
from encdec_batch.models.publish import publish_package
from encdec_batch.models.reach import measure_geometry
from encdec_batch.spec.load_train import load_train_spec
from encdec_batch.train.learning.build import build_network as build_learning
from encdec_batch.train.learning.build import margin_of

SMALL = {"architecture": "Unet", "encoder": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}
GLOBAL = {"architecture": "Unet", "encoder": "efficientnet-b0", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}
TINY = {"architecture": "Unet", "encoder": "tu-test_resnet", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}
BANDS = 2


def network(arguments=SMALL, seed=0):
    """Random weights, and batch norms that have seen something: fresh ones would fold to nothing."""
    torch.manual_seed(seed)
    made = construct("smp", {"in_channels": BANDS, "out_channels": 2} | arguments).train()
    with torch.no_grad():
        for _ in range(3):
            made(torch.randn(2, BANDS, 64, 64) * 2 + 0.5)
    return made.eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Folders of an exact one and of a global one."""
    folder = tmp_path_factory.mktemp("smp")
    output = ImageOutput(kind="image", band_names=("a", "b"), dtype="float32", range=(-1, 1))
    for name, arguments in (("exact", SMALL), ("global", GLOBAL)):
        said = {"in_channels": BANDS, "out_channels": 2} | arguments
        card = declared(architecture="smp", arguments=said, output=output, name=name)
        image = np.random.default_rng(1).integers(0, 255, (BANDS, 128, 128), dtype=np.uint8)
        publish_package(str(folder / name), network(arguments), card, image)
    return folder


def test_it_is_what_smp_makes_without_weights_of_its_own():
    made = network()
    other = segmentation_models_pytorch.Unet(
        "resnet18", encoder_depth=3, encoder_weights=None, decoder_channels=[16, 8, 8], in_channels=BANDS, classes=2
    ).eval()
    other.load_state_dict(made.network.state_dict())
    image = torch.randn(1, BANDS, 40, 64)
    assert torch.equal(made(image), other(image))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"encoder": "no-such-net"}, "Wrong encoder name"),
        ({"architecture": "Uned"}, "is none of Unet, UnetPlusPlus"),
        ({"encoder_depth": 9}, "depth"),
        ({"width": 3}, "width cannot be said of Unet; decoder_attention_type"),
        # What would download, open or run something.
        ({"encoder_weights": "imagenet"}, "encoder_weights cannot be said"),
        ({"encoder": "tu-hf-hub:somebody/something"}, "is not the name of one"),
        ({"encoder": "tu-local-dir:/tmp"}, "is not the name of one"),
        ({"encoder": "tu-resnet10t", "checkpoint_path": "/tmp/x.pth"}, "checkpoint_path cannot be said"),
        ({"encoder": "tu-resnet10t", "pretrained_cfg": {"file": "/tmp/x.pth"}}, "pretrained_cfg cannot be said"),
        ({"activation": "sigmoid"}, "activation cannot be said"),
        ({"aux_params": {"classes": 2}}, "aux_params cannot be said"),
    ],
)
def test_arguments_that_cannot_be_are_said(arguments, said):
    with pytest.raises(CardError, match=r".+") as caught:
        construct("smp", {"in_channels": BANDS, "out_channels": 2} | SMALL | arguments)
    assert said in str(caught.value)


def test_a_card_cannot_make_a_network_larger_than_its_weights(packages):
    package = load_package(str(packages / "exact"))
    for arguments in ({"decoder_channels": [10**5, 10**5, 10**5]}, {"in_channels": 10**9}, {"out_channels": 10**6}):
        hostile = package.card.model_copy(update={"arguments": {**package.card.arguments, **arguments}})
        with pytest.raises(CardError):
            build_network(replace(package, card=hostile))


def test_tiles_give_the_plain_pass():
    made = network()
    geometry = measure_geometry(made, BANDS)
    assert (geometry.exactness, geometry.stride) == ("exact", 8)
    card = card_of(geometry, bands=BANDS, channels=2)
    image = np.random.default_rng(0).random((BANDS, 403, 371), np.float32) * 4
    reference = plain_pass(made, card, image)
    parts = tiled(made, card, image, Tiling(core=72, block=200))["image"]
    assert np.abs(parts - reference).max() <= 1e-5 * np.ptp(reference)


def test_a_job_runs_it_and_its_parts_are_of_these_versions(packages, tmp_path):
    write_tiff(tmp_path / "in/a.tif", coordinate_image(BANDS, 300, 260))
    spec = write_spec(tmp_path, tmp_path / "in", str(packages / "exact"), tiling={"core": 64})
    ended = command("run", spec, "--json")
    assert ended.code == 0, ended.stderr
    assert markers(tmp_path / "out")["a"].summary["exact"] is True
    assert np.ptp(image_of(tmp_path / "out", "a")) > 0
    version = segmentation_models_pytorch.__version__
    assert f"eager-folded-segmentation-models-pytorch-{version}-timm-" in command("plan", spec, "--json").stdout


def test_one_of_global_reach_is_refused_or_blended(packages, tmp_path):
    write_tiff(tmp_path / "in/a.tif", coordinate_image(BANDS, 200, 180))
    tiling = {"core": 64}
    refused = command("run", write_spec(tmp_path, tmp_path / "in", str(packages / "global"), tiling=tiling))
    assert (refused.code, "is of global reach" in refused.stderr) == (2, True), refused.stderr
    assert len(paragraphs(refused.stderr)) == 1
    tiling["stitch"] = {"kind": "blend"}
    blended = command("run", write_spec(tmp_path, tmp_path / "in", str(packages / "global"), tiling=tiling), "--json")
    assert blended.code == 0, blended.stderr
    assert markers(tmp_path / "out")["a"].summary["exact"] is False


def test_it_is_trained_from_a_spec(tmp_path):
    write_pairs(tmp_path)
    path = write_training(tmp_path, steps=40)
    spec = yaml.safe_load(path.read_text())
    spec["network"] = {"architecture": "smp", "arguments": TINY}
    spec["output"]["checkpoint_every"] = 20
    path.write_text(yaml.safe_dump(spec))
    ended = command("train", path, "--json")
    assert ended.code == 0, ended.stderr
    assert ended.result["scores"]["mean_iou"] > 0.5
    card = load_package(str(tmp_path / "package")).card
    assert card.arguments == TINY | {"in_channels": 2, "out_channels": 2}


def test_the_page_shows_whole_examples(tmp_path, monkeypatch):
    """The training of docs/extras.md is one, and it begins with the encoder of a file by the way that is shown."""
    shown = (Path(__file__).parents[2] / "docs/extras.md").read_text()
    begin, arguments = re.search(r"```python\n(.*?)```", shown, re.DOTALL), "[128, 64, 32, 16]"
    training = re.search(r"```yaml\n(data:.*?)```", shown, re.DOTALL)
    assert begin
    assert training
    monkeypatch.chdir(tmp_path)
    encoder = construct("smp", {"in_channels": 3, "out_channels": 2} | SMALL).network.encoder
    save_file({name: tensor.contiguous() for name, tensor in encoder.state_dict().items()}, "resnet18.safetensors")
    smaller = {
        '"encoder_depth": 4': '"encoder_depth": 3',
        "encoder_depth: 4": "encoder_depth: 3",
        arguments: "[16, 8, 8]",
    }
    texts = [begin[1], training[1]]
    for old, new in smaller.items():
        texts = [text.replace(old, new) for text in texts]
    exec(texts[0], {})
    Path("train.yaml").write_text(texts[1].replace("network:\n", "network:\n  parent: packages/begin\n"))
    spec = load_train_spec(Path("train.yaml"))
    learning = build_learning(spec, replace(material().facts, num_bands=3))
    wanted = {f"network.encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    found = learning.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def test_a_window_that_does_not_fit_is_said(tmp_path):
    spec = train_spec(tmp_path, {"network.architecture": "smp", "network.arguments": SMALL, "data.sampling.crop": 36})
    said = "a side of 36 px does not pass Unet of smp; the next larger one that does is 40"
    with pytest.raises(SpecError, match=said):
        margin_of(network(), spec, material().facts)
