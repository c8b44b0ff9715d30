"""Published weights of restoration: spandrel's own result over whole scenes, and nothing in a file is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("spandrel", reason="the extra spandrel is not installed: make test-extras")

import rasterio
import spandrel
import yaml
from e2e.made import command, image_of, markers, paragraphs, write_spec, write_tiff
from models.made import declared
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact
from spandrel.architectures.DnCNN import DnCNN
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.NAFNet import NAFNet
from spandrel.architectures.RCAN import RCAN
from spandrel.architectures.SwinIR import SwinIR

from encdec_batch.errors import CardError
from encdec_batch.models.card import BandCard, ConstantNormalization, ImageOutput
from encdec_batch.models.network import build_network
from encdec_batch.models.package import load_package
from encdec_batch.models.published import network_of
from encdec_batch.networks.spandrel import quiet

SWINIR = {"img_size": 8, "embed_dim": 6, "depths": [2], "num_heads": [2], "window_size": 4}
COMPACT = {"num_feat": 12, "num_conv": 2, "upscale": 2}


def made(seed=0, kind=Compact, **parameters):
    torch.manual_seed(seed)
    with quiet():
        return kind(**(parameters or COMPACT)).eval()


def write_card(folder, bands=3, **changes):
    """card.yaml of 8-bit images, as these networks take them: values of 0 to 1."""
    said = declared(
        bands=tuple(BandCard(name=f"b{n}") for n in range(bands)),
        normalization=ConstantNormalization(kind="constants", mean=(0.0,) * bands, std=(255.0,) * bands),
        output=ImageOutput(
            kind="image", band_names=tuple(f"b{n}" for n in range(bands)), dtype="float32", range=(0, 1)
        ),
        **changes,
    ).model_dump(mode="json")
    del said["architecture"], said["arguments"]
    path = folder / "card.yaml"
    path.write_text(yaml.safe_dump(said))
    return path


def imported(tmp_path, name, state, bands=3):
    path = tmp_path / name
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return command("models", "import", path, tmp_path / "package", "--card", write_card(tmp_path, bands), "--json")


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
def test_a_job_gives_what_spandrel_gives_for_the_whole_scene(tmp_path, name):
    network = made()
    state = network.state_dict()
    ended = imported(tmp_path, name, {"params_ema": state, "iter": 7} if name == "net.pth" else state)
    assert ended.code == 0, ended.stderr
    card = ended.result["card"]
    assert card["arguments"] == {
        "architecture": "Compact",
        "network": "SRVGGNetCompact",
        "parameters": COMPACT,
    }
    assert {key: card["geometry"][key] for key in ("scale", "stride", "reach", "exactness")} == {
        "scale": 2, "stride": 1, "reach": 4, "exactness": "exact",
    }  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "package").iterdir()) == [
        "card.json", "golden.safetensors", "weights.safetensors",
    ]  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 255, (3, 150, 170), dtype=np.uint8)
    write_tiff(tmp_path / "in/a.tif", pixels)
    tiling = {"core": 48}
    spec = write_spec(tmp_path, tmp_path / "in", str(tmp_path / "package"), tiling=tiling)
    run = command("run", spec, "--json")
    assert run.code == 0, run.stderr
    assert markers(tmp_path / "out")["a"].summary["exact"] is True
    with torch.inference_mode():
        (whole,) = spandrel.ModelLoader().load_from_state_dict(state)(torch.from_numpy(pixels / np.float32(255))[None])
    found = image_of(tmp_path / "out", "a")
    # Values beyond 0 and 1 are cut off there, and left here.
    np.testing.assert_allclose(found.clip(0, 1), whole.numpy(), atol=1e-5)
    assert whole.std() > 0.05
    assert f"eager-folded-spandrel-{spandrel.__version__}-torch-" in command("plan", spec, "--json").stdout


def newer_names(state):
    """As Real-ESRGAN calls what ESRGAN had by numbers: spandrel takes both."""
    parts = {"model.0": "conv_first", "model.1.sub.1": "conv_body", "model.2": "conv_hr", "model.4": "conv_last"}
    for old, new in parts.items():
        state = {
            name.replace(f"{old}.", f"{new}.") if name.startswith(f"{old}.") else name: v for name, v in state.items()
        }
    inner = re.compile(r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.")
    return {inner.sub(r"body.\1.rdb\2.conv\3.", name): value for name, value in state.items()}


@pytest.mark.parametrize(
    ("kind", "parameters", "bands", "rename"),
    [
        (ESRGAN, {"num_filters": 8, "num_blocks": 1, "scale": 1}, 3, newer_names),
        (ESRGAN, {"in_nc": 12, "num_filters": 8, "num_blocks": 1, "scale": 4, "shuffle_factor": 2}, 3, dict),
        (DnCNN, {"nc": 8, "nb": 4}, 1, dict),
        (NAFNet, {"width": 8, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1]}, 3, dict),
        (SwinIR, SWINIR, 3, dict),
        # Writes into the image that it is given.
        (RCAN, {"n_resgroups": 1, "n_resblocks": 1, "n_feats": 8, "reduction": 4, "scale": 2}, 3, dict),
    ],
    ids=["esrgan", "esrgan-unshuffled", "dncnn", "nafnet", "swinir", "rcan"],
)
def test_it_is_the_network_of_the_weights(tmp_path, kind, parameters, bands, rename):
    network = made(0, kind, **parameters)
    torch.save(
        {"state_dict": {f"module.{name}": v for name, v in rename(network.state_dict()).items()}}, tmp_path / "net.ckpt"
    )
    built, arguments = network_of(tmp_path / "net.ckpt", bands)
    assert json.loads(json.dumps(arguments)) == arguments
    image = torch.rand(1, bands, 32, 48)
    before = image.clone()
    with torch.inference_mode():
        torch.testing.assert_close(built(image), network(image.clone()), rtol=1e-5, atol=1e-5)
    assert torch.equal(image, before)


def test_windows_that_wrap_round_the_edge_are_of_global_reach_and_blended(tmp_path):
    """SwinIR masks what lies across the edge by -100: large values and NaN get through, so it is no finite reach."""
    ended = imported(tmp_path, "net.pth", made(0, SwinIR, **SWINIR).state_dict())
    assert ended.code == 0, ended.stderr
    assert ended.result["card"]["geometry"]["exactness"] == "global"
    write_tiff(tmp_path / "in/a.tif", np.random.default_rng(0).integers(0, 255, (3, 90, 80), dtype=np.uint8))
    for stitch, code in (("crop", 2), ("blend", 0)):
        tiling = {"core": 32, "stitch": {"kind": stitch}}
        run = command("run", write_spec(tmp_path, tmp_path / "in", str(tmp_path / "package"), tiling=tiling))
        assert run.code == code, run.stderr
        assert ("is of global reach" in run.stderr) == (stitch == "crop")


class Planted:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def script(path):
    with pytest.warns(FutureWarning):
        torch.jit.save(torch.jit.script(torch.nn.Conv2d(3, 3, 1)), path)


HOSTILE = {
    "pickle-in-a-state": (
        lambda path, there: torch.save({"params": {**made().state_dict(), "x": Planted(there)}}, path),
        "holds more than weights (posix.mkdir), and loading it would run that; nothing in it was run",
    ),
    "a-pickle": (lambda path, there: path.write_bytes(pickle.dumps(Planted(there))), "is no file of weights"),
    "an-old-pickle": (lambda path, there: path.write_bytes(pickle.dumps(Planted(there), 2)), "nothing in it was run"),
    "a-whole-network": (
        lambda path, there: torch.save(torch.nn.Sequential(torch.nn.ReLU()), path),
        "more than weights",
    ),
    "a-program": (lambda path, there: script(path), "is a TorchScript program, which was not opened"),
    "cut-short": (lambda path, there: path.write_bytes(saved(made().state_dict())[:-300]), "or damaged"),
    "empty": (lambda path, there: path.write_bytes(b""), "or damaged"),
    "another-zip": (lambda path, there: zipfile.ZipFile(path, "w").close(), "or damaged"),
    "a-list": (lambda path, there: torch.save([torch.zeros(3)], path), "holds no weights by name"),
    "one-value-for-a-billion": (
        lambda path, there: torch.save({"body.0.weight": torch.zeros(1).expand(10**6, 10**6)}, path),
        "holds no weights by name",
    ),
    "a-billion-layers": (
        lambda path, there: torch.save(
            {**made().state_dict(), "body.99999999.bias": torch.zeros(12), "body.99999998.weight": torch.zeros(1)}, path
        ),
        "it has more than",
    ),
    "of-another-network": (lambda path, there: torch.save({"w": torch.zeros(3)}, path), "none of the networks"),
    "a-noise-level": (
        lambda path, there: torch.save(made(0, DnCNN, in_nc=4, out_nc=3, nc=8, nb=4, mode="FDnCNN").state_dict(), path),
        "is called with more than an image",
    ),
    "other-bands": (
        lambda path, there: torch.save(made(0, DnCNN, nc=8, nb=4).state_dict(), path),
        "takes 1 bands, the card has 3",
    ),
}


def saved(state):
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_weights_is_one_line_and_runs_nothing(tmp_path, name):
    write, said = HOSTILE[name]
    there, path = tmp_path / "it-ran", tmp_path / "net.pth"
    write(path, there)
    ended = command("models", "import", path, tmp_path / "package", "--card", write_card(tmp_path))
    assert ended.code == 1
    assert said in ended.stderr
    assert len(paragraphs(ended.stderr)) == 1, ended.stderr
    assert not there.exists()
    assert not (tmp_path / "package").exists()


def test_the_planted_pickle_is_a_live_one(tmp_path):
    pickle.loads(pickle.dumps(Planted(tmp_path / "it-ran")))
    assert (tmp_path / "it-ran").exists()


def test_a_card_cannot_make_another_network(tmp_path):
    ended = imported(tmp_path, "net.pth", made().state_dict())
    assert ended.code == 0, ended.stderr
    package = load_package(str(tmp_path / "package"))
    for changes in (
        {"architecture": "os"},
        {"architecture": "../../x"},
        {"architecture": 3},
        {"network": "Architecture"},
        {"parameters": COMPACT | {"num_conv": 10**6}},
        {"parameters": COMPACT | {"num_feat": 10**6}},
        {"parameters": COMPACT | {"num_feat": 10**12}},
        {"parameters": {"x": 1}},
        {"parameters": [1]},
    ):
        card = package.card.model_copy(update={"arguments": package.card.arguments | changes})
        with pytest.raises(CardError):
            build_network(replace(package, card=card))


def test_the_page_shows_a_whole_example(tmp_path, monkeypatch):
    """The commands and the card of docs/extras.md, on weights that the test makes."""
    text = (Path(__file__).parents[2] / "docs" / "extras.md").read_text()
    card = text.partition("```yaml\nname: ")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)
    Path("card.yaml").write_text("name: " + card)
    torch.save({"params": made(0, Compact, num_feat=12, num_conv=2, upscale=4).state_dict()}, "weights.pth")
    assert "encdec-batch models import weights.pth packages/sharper --card card.yaml" in text
    ended = command("models", "import", "weights.pth", "packages/sharper", "--card", "card.yaml")
    assert ended.code == 0, ended.stderr
    write_tiff(tmp_path / "in/a.tif", np.random.default_rng(0).integers(0, 255, (3, 60, 70), dtype=np.uint8))
    assert command("run", write_spec(tmp_path, tmp_path / "in", "packages/sharper"), "--json").code == 0
    with rasterio.open(next(Path("out").rglob("image.tif"))) as file:
        assert (file.count, file.height, file.width, file.dtypes[0]) == (3, 240, 280, "uint8")
