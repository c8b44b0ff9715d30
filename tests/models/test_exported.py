"""A file of torch.export is a program: it is opened by `models import --trusted` alone, and by nothing else."""

from __future__ import annotations

import ast
import io
import json
import warnings
import zipfile
from collections.abc import Callable
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from e2e.made import command
from models.made import sample
from models.onnx_made import write_card
from models.registries import package_folder
from torch import nn

import encdec_batch as eb
from encdec_batch.errors import EncdecError
from encdec_batch.models.card import card_bytes, parse_card
from encdec_batch.models.network import build_network
from encdec_batch.models.package import load_package
from encdec_batch.models.reach import measure_geometry
from encdec_batch.models.registry import add_package

PACKAGE = Path(eb.__file__).parent


class DownUp(nn.Module):
    """Small, and free of what torch.export cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.inner = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.up, self.head = nn.ConvTranspose2d(8, 4, 2, stride=2), nn.Conv2d(8, 2, 1)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        skip = self.down(x_NCHW).relu()
        inner = self.inner(nn.functional.max_pool2d(skip, 2)).relu()
        return self.head(torch.cat([skip, self.up(inner)], 1))


class Bomb:
    """Leaves a file where the process stands, when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


@pytest.fixture(scope="module")
def network() -> DownUp:
    torch.manual_seed(0)
    return DownUp().eval().requires_grad_(requires_grad=False)


def save(network: DownUp, path: Path, shapes: dict[int, Any]) -> Path:
    with warnings.catch_warnings():
        # torch.export warns of its own insides.
        warnings.simplefilter("ignore")
        program = torch.export.export(network, (torch.zeros(2, 2, 32, 48),), dynamic_shapes=(shapes,))
        torch.export.save(program, path)
    return path


@pytest.fixture(scope="module")
def file(network, tmp_path_factory) -> Path:
    """What its author saved."""
    height, width = torch.export.Dim("h"), torch.export.Dim("w")
    shapes = {0: torch.export.Dim("n"), 2: 2 * height, 3: 2 * width}
    return save(network, tmp_path_factory.mktemp("exported") / "net.pt2", shapes)


@pytest.fixture
def planted(file, tmp_path, monkeypatch) -> Path:
    """The same file with a pickle in place of a weight; nothing has exploded here yet."""
    monkeypatch.chdir(tmp_path)
    pickled = io.BytesIO()
    torch.save(Bomb(), pickled)
    path = tmp_path / "net.pt2"
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("/weights/weight_0"):
                data = pickled.getvalue()
            if name.endswith("weights_config.json"):
                config = json.loads(data)
                for entry in config["config"].values():
                    entry["use_pickle"] |= entry["path_name"] == "weight_0"
                data = json.dumps(config).encode()
            new.writestr(name, data)
    return path


def in_package(data: bytes, name: str, folder: Path) -> Path:
    """A package in which one file is these bytes, under a card that says so."""
    made = package_folder(folder)
    (made / name).write_bytes(data)
    card = parse_card((made / "card.json").read_bytes(), where="card")
    files = card.files | {name: sha256(data).hexdigest()}
    changes = {"files": files} | ({"architecture": "onnx"} if name == "model.onnx" else {})
    (made / "card.json").write_bytes(card_bytes(card.model_copy(update=changes)))
    return made


def build(uri: object) -> None:
    build_network(load_package(str(uri)))


LOADERS: dict[str, Callable[[Path, Path], object]] = {
    "as-a-package": lambda path, folder: build(path),
    "as-weights": lambda path, folder: build(in_package(path.read_bytes(), "weights.safetensors", folder)),
    "as-golden": lambda path, folder: build(in_package(path.read_bytes(), "golden.safetensors", folder)),
    "as-onnx": lambda path, folder: build(in_package(path.read_bytes(), "model.onnx", folder)),
    "into-a-registry": lambda path, folder: add_package(str(path), str(folder / "registry")),
    "weights-into-a-registry": lambda path, folder: add_package(
        str(in_package(path.read_bytes(), "weights.safetensors", folder)), str(folder / "registry")
    ),
    "onnx-out-of-a-registry": lambda path, folder: build(
        add_package(str(in_package(path.read_bytes(), "model.onnx", folder)), str(folder / "registry")).reference
    ),
    "to-an-array": lambda path, folder: eb.predict_array(str(path), sample()),
}


@pytest.mark.filterwarnings("ignore")
def test_the_planted_pickle_is_a_live_one(planted, tmp_path):
    with pytest.raises(Exception, match=r".+"):  # a path is no weight; it has run by then
        torch.export.load(planted)
    assert (tmp_path / "exploded").exists()


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_it_runs_through_none_of_our_loaders(planted, tmp_path, load):
    with pytest.raises(EncdecError):
        load(planted, tmp_path / "made")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("name", "words", "code", "said"),
    [
        ("net.pt2", [], 2, "holds pickles, which run code when they are loaded; it was not opened"),
        ("net.onnx", [], 1, "is not an ONNX file"),
        ("net.onnx", ["--trusted"], 2, "--trusted is for files of torch.export"),
        ("net.pt", ["--trusted"], 2, "--trusted is for files of torch.export"),
        ("net.pkl", [], 2, "holds pickles"),
        ("net.pt", [], 1, "is no file of weights" if find_spec("spandrel") else "'encdec-batch[spandrel]'"),
    ],
)
def test_nor_through_the_command_unless_it_is_trusted(planted, tmp_path, name, words, code, said):
    path = planted.rename(tmp_path / name)
    ended = command("models", "import", path, tmp_path / "out", "--card", write_card(tmp_path / "card.yaml"), *words)
    assert ended.code == code
    assert said in ended.stderr
    assert not (tmp_path / "exploded").exists()
    assert not (tmp_path / "out").exists()


def test_one_module_loads_such_files_and_one_command_imports_it():
    """No worker and no registry can reach it: whoever imports it is named here."""
    loads: dict[str, set[str]] = {}
    imports: set[str] = set()
    unsafe: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and (called := ast.unparse(node.func)).endswith(
                ("torch.load", "export.load", "jit.load", "package.load", "load_pt2")
            ):
                loads.setdefault(called, set()).add(path.name)
                # Of published weights: tensors alone.
                unsafe |= {path.name} - {"exported.py"} if "weights_only=True" not in ast.unparse(node) else set()
            named = f"{node.module}" if isinstance(node, ast.ImportFrom) else ""
            if named == "encdec_batch.models.exported":
                imports.add(path.name)
    assert loads == {"torch.export.load": {"exported.py"}, "torch.load": {"published.py"}}
    assert not unsafe
    assert imports == {"cli_models.py"}


@pytest.mark.integration
def test_a_trusted_file_becomes_the_same_network(file, network, tmp_path):
    card = write_card(tmp_path / "card.yaml")
    ended = command("models", "import", file, tmp_path / "out", "--card", card, "--trusted", "--json")
    assert ended.code == 0, ended.stderr
    package = load_package(str(tmp_path / "out"))
    assert ended.result["digest"] == package.digest
    assert package.card.geometry == measure_geometry(network, 2)
    image = torch.randn(1, 2, 64, 40)
    torch.testing.assert_close(build_network(package)(image), network(image), rtol=1e-5, atol=1e-5)
    mask = eb.predict_array(package, np.zeros((2, 90, 70), np.uint8))
    assert mask.shape == (90, 70)


@pytest.mark.integration
def test_a_trusted_file_of_one_size_is_refused(network, tmp_path):
    path = save(network, tmp_path / "net.pt2", {})
    card = write_card(tmp_path / "card.yaml")
    ended = command("models", "import", path, tmp_path / "out", "--card", card, "--trusted")
    assert (ended.code, "its batch is fixed at 2" in ended.stderr) == (1, True), ended.stderr


@pytest.mark.integration
def test_a_trusted_file_that_is_none(tmp_path):
    (tmp_path / "net.pt2").write_bytes(b"no archive")
    card = write_card(tmp_path / "card.yaml")
    ended = command("models", "import", tmp_path / "net.pt2", tmp_path / "out", "--card", card, "--trusted")
    assert (ended.code, "cannot be converted to ONNX" in ended.stderr) == (1, True), ended.stderr
    assert len(ended.stderr.splitlines()) == 1
