"""Networks to measure with, as packages: random weights compute as fast as trained ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from bench.scenes import BANDS, natural

if TYPE_CHECKING:
    from encdec_batch.models.card import Declared

MEAN, STD = 110.0, 50.0

SIZED = {"full": (16, 4), "quick": (2, 2), "least": (1, 1)}
"""Width and depth: 1.93 M parameters; one that is quick; and the least U-Net there is, 20 to 30 Mpx/s a core."""
NO_OP = "no-op"
"""Two weighted sums of a pixel's bands, as an ONNX file: what is measured with it is all else."""


def package(folder: Path, name: str) -> Path:
    """The folder of a package, `NO_OP` or one of `SIZED`, made once."""
    path = folder / "packages" / name
    if not (path / "card.json").exists():
        shutil.rmtree(path, ignore_errors=True)
        if name == NO_OP:
            _publish_no_op(path)
        else:
            _publish_unet(path, *SIZED[name])
    return path


def _publish_unet(path: Path, width: int, depth: int) -> None:
    import torch

    from encdec_batch.models.publish import publish_package
    from encdec_batch.networks.unet import UNet

    arguments = {"in_channels": BANDS, "out_channels": 2, "width": width, "depth": depth}
    torch.manual_seed(0)
    network = UNet(**arguments).eval()
    pixels = natural(256)
    with torch.inference_mode():
        no, yes = network((torch.from_numpy(pixels).float()[None] - MEAN) / STD)[0]
        # Two classes that are about as frequent: a mask of one colour would be cheaper to encode than any real one.
        network.head.bias[1] += (no - yes).median()
    publish_package(str(path), network, _declared(f"bench-{width}-{depth}", "unet", arguments), pixels)


def _publish_no_op(path: Path) -> None:
    import numpy as np
    from onnx import TensorProto, helper

    from encdec_batch.models.onnx_import import Source, import_onnx

    weights = np.array([[0.0] * BANDS, [1.0 / BANDS] * BANDS], np.float32).reshape(2, BANDS, 1, 1)
    kernel = helper.make_tensor("kernel", TensorProto.FLOAT, weights.shape, weights.ravel())
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", bands, "h", "w"])
        for name, bands in (("x", BANDS), ("y", 2))
    ]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "kernel"], ["y"])], NO_OP, ports[:1], ports[1:], initializer=[kernel]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    source = Source(data=model.SerializeToString(), others={}, where=NO_OP)
    import_onnx(source, _declared("bench-no-op", "onnx", {}), str(path))


def _declared(name: str, architecture: str, arguments: dict[str, int]) -> Declared:
    from encdec_batch.models.card import (
        BandCard,
        ClassCard,
        ClassesOutput,
        ConstantNormalization,
        Declared,
        TrainingCard,
    )

    classes = tuple(ClassCard(id=i, name=name, color=(255 * i, 0, 0)) for i, name in enumerate(("no", "yes")))
    return Declared(
        name=name,
        version="1",
        task="semantic-segmentation",
        architecture=architecture,
        arguments=arguments,
        bands=tuple(BandCard(name=name) for name in ("red", "green", "blue")),
        dtypes=("uint8",),
        normalization=ConstantNormalization(kind="constants", mean=(MEAN,) * BANDS, std=(STD,) * BANDS),
        output=ClassesOutput(kind="classes", activation="softmax", classes=classes),
        training=TrainingCard(data="none: random weights", licence="none"),
    )
