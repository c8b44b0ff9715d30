from __future__ import annotations

import io
import pickle
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from models.made import ARGUMENTS, declared, network, sample
from safetensors.torch import load_file, save, save_file

from encdec_batch.errors import CardError, DigestMismatch, ModelError
from encdec_batch.models.card import ImageOutput, card_bytes, parse_card
from encdec_batch.models.forward import forward, prepare
from encdec_batch.models.golden import replay
from encdec_batch.models.network import build_network
from encdec_batch.models.package import check_safetensors, load_package
from encdec_batch.models.publish import publish_package
from encdec_batch.models.reach import measure_geometry


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("packages") / "made"
    publish_package(str(folder), network(), declared(), sample())
    return folder


@pytest.fixture
def folder(published, tmp_path) -> Path:
    for path in published.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def reseal(folder: Path, **changes) -> None:
    """Make the card agree with the files again, as someone would who changes a package on purpose."""
    card = parse_card((folder / "card.json").read_bytes(), where="card.json")
    files = {name: sha256((folder / name).read_bytes()).hexdigest() for name in card.files}
    (folder / "card.json").write_bytes(card_bytes(card.model_copy(update={"files": files} | changes)))


def test_what_was_published_is_what_is_loaded(folder):
    package = load_package(str(folder))
    assert package.digest == sha256((folder / "card.json").read_bytes()).hexdigest()
    image = torch.randn(1, 2, 32, 48)
    assert torch.equal(forward(build_network(package), image), forward(network(), image))
    assert package.card.geometry == measure_geometry(network(), 2)
    assert set(package.card.tolerance) >= {"cpu/float32", "cpu/bfloat16"}


def test_publishing_twice_gives_the_same_package(tmp_path):
    first = publish_package(str(tmp_path / "a"), network(), declared(), sample())
    again = publish_package(str(tmp_path / "b"), network(), declared(), sample())
    assert first.digest == again.digest
    assert publish_package(str(tmp_path / "a"), network(), declared(), sample()).digest == first.digest


def test_a_package_is_never_replaced(folder):
    with pytest.raises(ModelError, match="lies here already"):
        publish_package(str(folder), network(seed=1), declared(), sample())
    assert load_package(str(folder))


def test_the_package_travels_to_workers(folder):
    package = load_package(str(folder))
    assert pickle.loads(pickle.dumps(package)) == package


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_the_golden_sample_is_replayed_in_every_precision(folder, precision):
    package = load_package(str(folder))
    replay(package, prepare(build_network(package), precision=precision))


def test_other_weights_are_refused_by_the_golden_sample(folder):
    (folder / "weights.safetensors").write_bytes(save(network(seed=1).state_dict()))
    reseal(folder)
    with pytest.raises(ModelError, match="golden output: off by"):
        build_network(load_package(str(folder)))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_one_wrong_parameter_is_refused(folder, precision):
    package = load_package(str(folder))
    wrong = build_network(package)
    with torch.no_grad():
        wrong.head.weight[0, 0] += 2.0
    with pytest.raises(ModelError, match="golden output"):
        replay(package, prepare(wrong, precision=precision))


@pytest.mark.parametrize("contents", [{}, {"input": torch.zeros(2, 7, 7), "output": torch.zeros(2, 7, 7)}])
def test_a_golden_sample_that_cannot_be_used(folder, contents):
    save_file(contents, folder / "golden.safetensors")
    reseal(folder)
    with pytest.raises(ModelError, match="cannot be replayed"):
        build_network(load_package(str(folder)))


@pytest.mark.parametrize("name", ["weights.safetensors", "golden.safetensors"])
def test_a_changed_byte_is_a_digest_mismatch(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(DigestMismatch, match=name):
        load_package(str(folder))


@pytest.mark.parametrize("name", ["weights.safetensors", "golden.safetensors", "card.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        load_package(str(folder))


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


def pickled() -> list[bytes]:
    zipped, legacy = io.BytesIO(), io.BytesIO()
    torch.save(network().state_dict(), zipped)
    torch.save({"x": Bomb()}, legacy, _use_new_zipfile_serialization=False)
    return [zipped.getvalue(), legacy.getvalue(), pickle.dumps(Bomb()), pickle.dumps(Bomb(), protocol=0)]


@pytest.mark.parametrize("data", pickled(), ids=["torch-zip", "torch-legacy", "protocol-5", "protocol-0"])
def test_pickled_weights_are_refused_unopened(folder, data, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "weights.safetensors").write_bytes(data)
    reseal(folder)
    with pytest.raises(ModelError, match=r"is a pickle|not a safetensors file"):
        load_package(str(folder))
    assert not (folder / "exploded").exists()


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.pkl", "model.ckpt", "model.pt2"])
def test_the_name_of_a_pickle_is_refused(tmp_path, name):
    with pytest.raises(ModelError, match="is a pickle, which runs code"):
        load_package(str(tmp_path / name))


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\xff" * 64, (2**40).to_bytes(8, "little") + b"{}", b"{}      {}"])
def test_what_is_no_safetensors_file(data):
    with pytest.raises(ModelError, match="not a safetensors file"):
        check_safetensors(data, where="w")


def test_a_safetensors_header_of_any_length_passes():
    # 0x80 as the first byte begins a pickle as well as a header of 128 bytes.
    for names in range(1, 40):
        check_safetensors(save({"n" * names: torch.zeros(1)}), where="w")


@pytest.mark.parametrize("changes", [{"arguments": ARGUMENTS | {"width": 3}}, {"arguments": {"in_channels": 2}}])
def test_weights_of_another_network(folder, changes):
    reseal(folder, **changes)
    with pytest.raises(CardError, match="unet"):
        build_network(load_package(str(folder)))


def test_an_architecture_that_is_not_known(folder):
    reseal(folder, architecture="os:system")
    with pytest.raises(CardError, match="'os:system' is not known"):
        build_network(load_package(str(folder)))


def test_weights_that_are_not_numbers(folder):
    state = load_file(folder / "weights.safetensors")
    state["head.bias"][0] = torch.nan
    save_file(state, folder / "weights.safetensors")
    reseal(folder)
    with pytest.raises(ModelError, match=r"NaN .* head\.bias"):
        build_network(load_package(str(folder)))


def test_publishing_needs_the_channels_of_the_card(tmp_path):
    output = ImageOutput(kind="image", band_names=("x",), dtype="float32", range=(0, 1))
    with pytest.raises(CardError, match="2 channels"):
        publish_package(str(tmp_path), network(), declared(output=output), sample())
    assert not list(tmp_path.iterdir())


def test_publishing_needs_a_sample_that_fits(tmp_path):
    with pytest.raises(CardError, match="golden sample of 2 bands"):
        publish_package(str(tmp_path), network(), declared(), np.zeros((2, 20, 90), np.uint8))


def test_an_unpadded_network_is_published(tmp_path):
    arguments = ARGUMENTS | {"padding": False}
    published = publish_package(str(tmp_path), network(padding=False), declared(arguments=arguments), sample(side=120))
    assert published.card.geometry.margin == 20
