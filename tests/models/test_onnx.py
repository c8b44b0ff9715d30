"""ONNX networks as packages: the same as the torch network they came from, and nothing is let in that runs anything."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from random import Random

import numpy as np
import onnx
import pytest
import torch
from models.made import declared, network, sample
from models.onnx_made import exported, graph_of, image, onnx_declared, relu
from networks_random import random_network
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import encdec_batch as eb
from encdec_batch.errors import CardError, DigestMismatch, EncdecError, ModelError, SpecError
from encdec_batch.models.card import ONNX_NAME, ImageOutput
from encdec_batch.models.memory import measure_memory
from encdec_batch.models.network import build_network
from encdec_batch.models.onnx_checks import parse_onnx
from encdec_batch.models.onnx_import import DATA_NAME, Source, import_onnx, read_source
from encdec_batch.models.onnx_memory import measure_onnx_memory
from encdec_batch.models.onnx_network import OnnxNetwork
from encdec_batch.models.onnx_operators import LEAST_OPSET, MOST_OPSET
from encdec_batch.models.package import Package, load_package
from encdec_batch.models.publish import publish_package
from encdec_batch.models.reach import FLOAT32_ROUNDING, measure_geometry
from encdec_batch.models.registry import add_package
from encdec_batch.networks.espcn import ESPCN
from encdec_batch.networks.unet import UNet
from encdec_batch.predict.eager import EagerEngine
from encdec_batch.predict.engines import open_engine
from encdec_batch.predict.resolve import device_for, engine_name
from encdec_batch.window import Window


def balanced(seed: int = 0) -> UNet:
    """Its two classes are about as frequent on noise."""
    made = network(seed)
    with torch.inference_mode():
        no, yes = made(torch.randn(1, 2, 64, 64))[0]
        made.head.bias[1] += (no - yes).median()
    return made


def source(data: bytes, **others: bytes) -> Source:
    return Source(data=data, others=others, where="net.onnx")


@cache
def unet() -> bytes:
    return exported(balanced())


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Package, Package]:
    """The same network as a package of ours and as one of ONNX."""
    folder = tmp_path_factory.mktemp("packages")
    ours = publish_package(str(folder / "torch"), balanced(), declared(), sample())
    return ours, import_onnx(source(unet()), onnx_declared(), str(folder / "onnx"))


def engines(pair):
    ours, theirs = pair
    return [open_engine(package, device="cpu", precision="float32") for package in (ours, theirs)]


# The same network


def test_what_tiles_must_respect_is_the_same(pair):
    ours, theirs = pair
    assert theirs.card.geometry == ours.card.geometry
    assert set(theirs.card.tolerance) == {"cpu/float32"}
    assert theirs.card.memory.parameters == pytest.approx(ours.card.memory.parameters, rel=0.2)
    assert theirs.card.memory.activations > ours.card.memory.activations


def test_both_engines_give_the_same_tiles(pair):
    eager, onnxruntime = engines(pair)
    assert isinstance(eager, EagerEngine)
    assert onnxruntime.name.startswith("onnxruntime-")
    assert onnxruntime.name == engine_name(pair[1].card) != eager.name
    tiles, keep = torch.randn(2, 2, 64, 96), [Window(0, 0, 96, 64), Window(8, 4, 40, 33)]
    both = [engine.cores(tiles, keep) for engine in (eager, onnxruntime)]
    for a, b in zip(*both, strict=True):
        assert b.dtype == torch.float32
        assert a.shape == b.shape
        assert float((a - b).abs().max()) <= pair[0].card.tolerance["cpu/float32"].value


def test_fewer_windows_than_tiles_only_fill_up_the_batch(pair):
    _, engine = engines(pair)
    assert len(engine.cores(torch.randn(3, 2, 32, 32), [Window(0, 0, 8, 8)])) == 1


def test_the_same_tile_gives_the_same_bytes(pair):
    tiles, keep = torch.randn(1, 2, 64, 64), [Window(0, 0, 64, 64)]
    once, again = (engines(pair)[1].cores(tiles, keep)[0] for _ in range(2))
    assert torch.equal(once, again)


def test_tiled_equals_plain_and_the_torch_network(pair):
    ours, theirs = pair
    pixels = np.random.default_rng(1).integers(0, 255, (2, 300, 260), dtype=np.uint8)
    plain = eb.predict_array(theirs, pixels, core=1000)
    tiled = eb.predict_array(theirs, pixels, core=64)
    torch_plain = eb.predict_array(ours, pixels, core=1000, precision="float32")
    assert len(np.unique(plain)) == 2
    np.testing.assert_array_equal(tiled, plain)
    np.testing.assert_array_equal(plain, torch_plain)


def test_importing_twice_gives_the_same_package(tmp_path, pair):
    again = import_onnx(source(unet()), onnx_declared(), str(tmp_path))
    assert again.digest == pair[1].digest
    assert (tmp_path / ONNX_NAME).read_bytes() == unet()


def test_super_resolution_is_imported(tmp_path):
    torch.manual_seed(0)
    made = ESPCN(2, 2, scale=2, width=8).eval()
    output = ImageOutput(kind="image", band_names=("a", "b"), dtype="float32", range=(-1, 1))
    package = import_onnx(source(exported(made)), onnx_declared(output=output), str(tmp_path))
    geometry = package.card.geometry
    assert (geometry.scale, geometry.stride, geometry.reach) == (2, 1, 4)
    assert geometry == measure_geometry(made, 2)
    assert build_network(package)(torch.zeros(1, 2, 20, 30)).shape == (1, 2, 40, 60)


def test_an_unpadded_network_is_imported(tmp_path):
    made = network(padding=False)
    package = import_onnx(source(exported(made, side=60)), onnx_declared(), str(tmp_path))
    assert package.card.geometry == measure_geometry(made, 2)


def test_global_networks_are_known_as_such(tmp_path):
    made = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.InstanceNorm2d(2), nn.Conv2d(2, 2, 1))
    package = import_onnx(source(exported(made)), onnx_declared(), str(tmp_path))
    assert package.card.geometry.exactness == "global"


@pytest.mark.integration
@pytest.mark.parametrize("seed", [0, 1, 3, 4, 5, 6, 7, 8, 10])
def test_random_networks_are_measured_alike(seed):
    """Those that torch can export: max-unpooling it cannot trace."""
    made, what = random_network(seed)
    model = parse_onnx(exported(made, what.num_bands), {}, num_bands=what.num_bands, where="x")
    found = measure_geometry(OnnxNetwork(model), what.num_bands, rounding=FLOAT32_ROUNDING)
    assert found == measure_geometry(made, what.num_bands)


# What it may be run on


@pytest.mark.parametrize(("wanted", "precision"), [("cuda", "auto"), ("auto", "bfloat16"), ("cpu", "float16")])
def test_other_devices_and_precisions_are_refused(pair, wanted, precision):
    with pytest.raises(SpecError, match="is an ONNX network, which runs on the CPU in float32"):
        device_for(pair[1].card, wanted, precision, "auto")


def test_auto_is_the_cpu_in_float32(pair):
    device = device_for(pair[1].card, "auto", "auto", 3)
    assert (device.torch_name, device.precision, device.batch) == ("cpu", "float32", 3)


# Tampered packages


def test_a_changed_byte_is_a_digest_mismatch(tmp_path):
    import_onnx(source(unet()), onnx_declared(), str(tmp_path))
    data = bytearray((tmp_path / ONNX_NAME).read_bytes())
    data[-100] ^= 1
    (tmp_path / ONNX_NAME).write_bytes(data)
    with pytest.raises(DigestMismatch, match=r"model\.onnx"):
        load_package(str(tmp_path))


def test_other_weights_are_refused_by_the_golden_sample(pair):
    with pytest.raises(ModelError, match="golden output: off by"):
        build_network(replace(pair[1], weights=exported(network(seed=1))))


def test_another_number_of_bands_is_refused(pair):
    with pytest.raises(CardError, match="takes 3 channels, the card has 2 bands"):
        build_network(replace(pair[1], weights=exported(network(in_channels=3), bands=3)))


def test_damaged_bytes_are_one_error(pair):
    rng = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(unet())
        for at in rng.integers(0, len(data) // 3, 4):
            data[at] = rng.integers(256)
        with suppress(EncdecError):
            build_network(replace(pair[1], weights=bytes(data)))


EXTREME = (0, -1, 1, 2, 7, 1 << 31, -(1 << 31), (1 << 63) - 1, -(1 << 63), 1 << 20)
OTHERS = ("Add", "Reshape", "Concat", "Resize", "Gather", "ScatterND", "Tile", "Expand", "Range", "MaxUnpool", "Pad")


def disturb(model: onnx.ModelProto, draw: Random) -> None:
    """One number, one edge, one operator or one shape of a graph becomes another."""
    node = draw.choice(model.graph.node)
    match draw.choice(["attribute", "edge", "operator", "weight"]):
        case "attribute":
            numbers = [attribute for attribute in node.attribute if attribute.ints]
            if numbers:
                values = draw.choice(numbers).ints
                values[draw.randrange(len(values))] = draw.choice(EXTREME)
        case "edge" if node.input:
            names = [name for other in model.graph.node for name in other.output]
            node.input[draw.randrange(len(node.input))] = draw.choice([*names, "x", ""])
        case "operator":
            node.op_type = draw.choice(OTHERS)
        case "weight":
            dims = draw.choice([tensor for tensor in model.graph.initializer if tensor.dims]).dims
            dims[draw.randrange(len(dims))] = draw.choice(EXTREME)


@pytest.mark.integration
def test_a_changed_graph_is_a_network_or_one_error(pair):
    """Digests are right: whoever means ill can compute them."""
    for seed in range(150):
        draw, model = Random(seed), onnx.load_from_string(unet())
        for _ in range(draw.randint(1, 3)):
            disturb(model, draw)
        with suppress(EncdecError):
            build_network(replace(pair[1], weights=model.SerializeToString()))


# External data


def with_external(folder: Path, location: str = "weights.bin") -> Path:
    """A file whose weights lie in another one."""
    model = onnx.load_from_string(unet())
    onnx.save_model(model, folder / "net.onnx", save_as_external_data=True, location=location, size_threshold=0)
    return folder / "net.onnx"


def set_location(path: Path, location: str, **said: str) -> None:
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
            entry.value = said.get(entry.key, entry.value)
    path.write_bytes(model.SerializeToString())


def test_weights_in_another_file_come_along(tmp_path, pair):
    package = import_onnx(read_source(with_external(tmp_path)), onnx_declared(), str(tmp_path / "package"))
    assert set(package.card.files) == {ONNX_NAME, DATA_NAME, "golden.safetensors"}
    assert package.card.files[DATA_NAME] == sha256(package.others[DATA_NAME]).hexdigest()
    tile, keep = torch.randn(1, 2, 64, 64), [Window(0, 0, 64, 64)]
    for path in tmp_path.glob("*.*"):
        path.unlink()
    inside, apart = (
        open_engine(one, device="cpu", precision="float32").cores(tile, keep) for one in (pair[1], package)
    )
    assert torch.equal(inside[0], apart[0])


def test_a_changed_byte_of_them_is_a_digest_mismatch(tmp_path):
    import_onnx(read_source(with_external(tmp_path)), onnx_declared(), str(tmp_path / "package"))
    path = tmp_path / "package" / DATA_NAME
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DigestMismatch, match=DATA_NAME):
        load_package(str(tmp_path / "package"))


def test_a_registry_keeps_all_files_of_a_network(tmp_path):
    package = import_onnx(read_source(with_external(tmp_path)), onnx_declared(), str(tmp_path / "package"))
    added = add_package(str(tmp_path / "package"), str(tmp_path / "registry"))
    again = load_package(str(added.reference))
    assert (again.digest, again.others) == (package.digest, package.others)
    assert build_network(again)


@pytest.mark.integration
def test_without_the_extra_it_is_said_what_to_install(tmp_path):
    import_onnx(source(unet()), onnx_declared(), str(tmp_path / "package"))
    words = ["models", "import", str(tmp_path / "x.onnx"), str(tmp_path / "y"), "--card", str(tmp_path / "c")]
    code = f"""
import sys
sys.modules["onnx"] = sys.modules["onnxruntime"] = None
from encdec_batch.models.network import build_network
from encdec_batch.models.package import load_package
from encdec_batch.errors import ModelError
from encdec_batch.cli import main
try:
    build_network(load_package({str(tmp_path / "package")!r}))
except ModelError as error:
    print(error)
main({words!r})
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "is an ONNX network, and onnx" in ended.stdout
    assert "pip install 'encdec-batch[onnx]'" in ended.stdout
    assert (ended.returncode, ended.stderr.count("pip install 'encdec-batch[onnx]'")) == (1, 1), ended.stderr


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "", "a/../../secret", "link", "\0"])
def test_nothing_outside_of_the_folder_is_read(tmp_path, location):
    (tmp_path / "secret").write_bytes(bytes(1 << 16))
    folder = tmp_path / "net"
    folder.mkdir()
    path = with_external(folder)
    (folder / "link").symlink_to("../secret")
    set_location(path, location)
    with pytest.raises(ModelError, match="not a file beside it"):
        read_source(path)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "other", "golden.safetensors"])
def test_a_package_reads_no_file_but_its_own(pair, location):
    model = onnx.load_from_string(unet())
    tensor = model.graph.initializer[0]
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    tensor.external_data.add(key="length", value=str(size))
    with pytest.raises(ModelError, match="not a file of the package"):
        build_network(replace(pair[1], weights=model.SerializeToString()))


@pytest.mark.parametrize("said", [{"offset": "-1"}, {"length": "99999999"}, {"offset": "x"}, {"offset": "1" * 5000}])
def test_weights_beyond_the_end_are_refused(tmp_path, said):
    path = with_external(tmp_path)
    set_location(path, "weights.bin", **said)
    with pytest.raises(ModelError, match="beyond the end of weights"):
        import_onnx(read_source(path), onnx_declared(), str(tmp_path / "package"))
    assert not (tmp_path / "package").exists()


# What is refused

WEIGHT = numpy_helper.from_array(np.ones((2, 2, 1, 1), np.float32), "w")
CONV = helper.make_node("Conv", ["x", "w"], ["y"])


def conditional() -> onnx.ModelProto:
    branch = helper.make_graph([helper.make_node("Identity", ["x"], ["z"])], "b", [], [image("z", None)])
    return graph_of(helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch))


def with_function() -> onnx.ModelProto:
    opset = helper.make_opsetid("", 20)
    function = helper.make_function("own", "F", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [opset])
    return graph_of(
        helper.make_node("F", ["x"], ["y"], domain="own"),
        functions=[function],
        opset_imports=[opset, helper.make_opsetid("own", 1)],
    )


REFUSED = {
    "custom-op": (
        graph_of(
            helper.make_node("Evil", ["x"], ["y"], domain="com.evil"),
            opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("com.evil", 1)],
        ),
        "uses operators of the domain 'com.evil'; libraries of operators are not loaded",
    ),
    "runtime-op": (graph_of(helper.make_node("FusedConv", ["x", "w"], ["y"], domain="com.microsoft")), "com.microsoft"),
    "control-flow": (conditional(), "the operator If is not let in"),
    "dropout": (graph_of(helper.make_node("Dropout", ["x"], ["y"])), "Dropout is not let in"),
    "random": (graph_of(helper.make_node("RandomNormalLike", ["x"], ["y"])), "RandomNormalLike is not let in"),
    "shape-of-values": (graph_of(helper.make_node("NonZero", ["x"], ["y"])), "NonZero is not let in"),
    "training": (
        graph_of(helper.make_node("BatchNormalization", ["x", "a", "a", "a", "a"], ["y"], training_mode=1)),
        "is in training mode",
    ),
    "old": (graph_of(relu(), opset_imports=[helper.make_opsetid("", 9)]), "is of opset 9, taken are 11"),
    "new": (graph_of(relu(), opset_imports=[helper.make_opsetid("", 99)]), "is of opset 99"),
    "no-opset": (graph_of(relu(), opset_imports=[helper.make_opsetid("x", 1)]), "does not say which opset"),
    "batch-fixed": (graph_of(relu(), inputs=[image("x", [1, 2, "h", "w"])]), "its batch is fixed at 1"),
    "height-fixed": (graph_of(relu(), inputs=[image("x", ["n", 2, 256, "w"])]), "its height is fixed at 256"),
    "width-fixed": (graph_of(relu(), inputs=[image("x", ["n", 2, "h", 512])]), "its width is fixed at 512"),
    "three-axes": (graph_of(relu(), inputs=[image("x", [2, "h", "w"])]), "has 3 axes; wanted is"),
    "no-axes": (graph_of(relu(), inputs=[image("x", None)]), "says nothing of its axes"),
    "any-channels": (graph_of(relu(), inputs=[image("x", ["n", "c", "h", "w"])]), "takes any number of channels"),
    "bytes": (graph_of(relu(), inputs=[image("x", ["n", 2, "h", "w"], TensorProto.UINT8)]), "input 'x' is not float32"),
    "two-inputs": (
        graph_of(helper.make_node("Add", ["x", "z"], ["y"]), inputs=[image(n, ["n", 2, "h", "w"]) for n in "xz"]),
        "has 2 inputs (x, z), wanted is one image",
    ),
    "two-outputs": (
        graph_of(relu(), helper.make_node("Abs", ["x"], ["z"]), outputs=[image(n, ["n", 2, "h", "w"]) for n in "yz"]),
        "has 2 outputs (y, z)",
    ),
    "nan": (graph_of(CONV, weights=[numpy_helper.from_array(np.full((2, 2, 1, 1), np.nan, np.float32), "w")]), "NaN"),
    "text": (graph_of(CONV, weights=[helper.make_tensor("w", TensorProto.STRING, [1], [b"x"])]), "is of type STRING"),
    "short-weights": (
        graph_of(CONV, weights=[TensorProto(name="w", data_type=1, dims=[2, 2, 1, 1], raw_data=b"123")]),
        "'w' cannot be read",
    ),
    "huge-weights": (
        graph_of(CONV, weights=[TensorProto(name="w", data_type=1, dims=[1 << 40, 2, 1, 1], raw_data=b"1234")]),
        "'w' cannot be read",
    ),
    "channels-out": (
        graph_of(
            CONV,
            weights=[numpy_helper.from_array(np.ones((5, 2, 1, 1), np.float32), "w")],
            outputs=[image("y", ["n", 5, "h", "w"])],
        ),
        "gives 5 channels, the card's output has 2",
    ),
    "unsorted": (
        graph_of(helper.make_node("Relu", ["z"], ["y"]), helper.make_node("Abs", ["x"], ["z"])),
        "is not a valid ONNX graph",
    ),
    "size-baked-in": (
        graph_of(
            helper.make_node("Reshape", ["x", "s"], ["y"]),
            weights=[numpy_helper.from_array(np.array([1, 2, 64, 64]), "s")],
        ),
        "the sides of what comes out do not follow the sides of what goes in",
    ),
    "batch-baked-in": (
        graph_of(
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Slice", ["shape", "two", "four"], ["sides"]),
            helper.make_node("Concat", ["start", "sides"], ["all"], axis=0),
            helper.make_node("Reshape", ["x", "all"], ["y"]),
            weights=[
                numpy_helper.from_array(np.array(values), name)
                for name, values in (("two", [2]), ("four", [4]), ("start", [1, 2]))
            ],
        ),
        "takes no batch of two",
    ),
    "batch-mixed": (
        graph_of(
            helper.make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=1),
            helper.make_node("Sub", ["x", "m"], ["y"]),
            weights=[numpy_helper.from_array(np.array([0]), "axes")],
        ),
        "depends on the others of its batch",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("model", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_let_in_is_said(tmp_path, model, said):
    with pytest.raises(ModelError) as caught:
        import_onnx(source(model.SerializeToString()), onnx_declared(), str(tmp_path / "package"))
    assert said in str(caught.value)
    assert caught.value.hint
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize("data", [b"", b"no onnx file", unet()[: len(unet()) // 2], bytes(1000), b"PK\x03\x04"])
def test_what_is_no_onnx_file(data):
    with pytest.raises(ModelError):
        parse_onnx(data, {}, num_bands=2, where="x")


def test_functions_are_inlined_at_import_and_refused_in_a_package(tmp_path, pair):
    data = with_function().SerializeToString()
    package = import_onnx(source(data), onnx_declared(), str(tmp_path))
    assert not onnx.load_from_string(package.weights).functions
    with pytest.raises(ModelError, match="'own'; libraries of operators are not loaded"):
        build_network(replace(pair[1], weights=data))


def test_a_domain_that_nobody_uses_does_no_harm(tmp_path):
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    assert import_onnx(
        source(graph_of(relu(), opset_imports=opsets).SerializeToString()), onnx_declared(), str(tmp_path)
    )


@pytest.mark.parametrize("opset", [LEAST_OPSET, MOST_OPSET])
def test_the_runtime_takes_every_opset_that_is_let_in(opset):
    model = graph_of(relu(), opset_imports=[helper.make_opsetid("", opset)])
    model = parse_onnx(model.SerializeToString(), {}, num_bands=2, where="x")
    assert OnnxNetwork(model)(-torch.ones(1, 2, 3, 4)).max() == 0


def test_memory_is_counted_as_the_runtime_holds_it():
    """A chain of layers: alive at a time are the tile, and input and output of one, channels filled up to 16."""
    made = nn.Sequential(nn.Conv2d(2, 16, 3, padding=1), nn.Conv2d(16, 20, 3, padding=1), nn.Conv2d(20, 2, 1)).eval()
    geometry = measure_geometry(made, 2)
    found = measure_onnx_memory(parse_onnx(exported(made), {}, num_bands=2, where="x"), 2, geometry)
    assert found.activations == pytest.approx(2 * (2 + 16 + 32))
    assert found.activations > measure_memory(made, 2, geometry).activations


def test_a_graph_that_asks_for_all_memory_is_one_error(pair):
    shape = numpy_helper.from_array(np.array([1, 2, 1 << 20, 1 << 20]), "s")
    model = graph_of(
        helper.make_node("ConstantOfShape", ["s"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"]), weights=[shape]
    )
    with pytest.raises((EncdecError, MemoryError)):
        build_network(replace(pair[1], weights=model.SerializeToString()))
