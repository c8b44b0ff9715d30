"""Networks to measure with, as packages: random weights compute as fast as trained ones."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.scenes import BANDS, natural

MEAN, STD = 110.0, 50.0

SIZED = {"full": (16, 4), "quick": (2, 2), "no-op": (1, 1)}
"""Width and depth: 1.93 M parameters; one that is quick; and the least U-Net there is, 20 to 30 Mpx/s a core."""


def package(folder: Path, size: str) -> Path:
    """The folder of a package, made once."""
    path = folder / "packages" / size
    if not (path / "card.json").exists():
        shutil.rmtree(path, ignore_errors=True)
        _publish(path, *SIZED[size])
    return path


def _publish(path: Path, width: int, depth: int) -> None:
    import torch

    from encdec_batch.models.card import (
        BandCard,
        ClassCard,
        ClassesOutput,
        ConstantNormalization,
        Declared,
        TrainingCard,
    )
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
    classes = tuple(ClassCard(id=i, name=name, color=(255 * i, 0, 0)) for i, name in enumerate(("no", "yes")))
    declared = Declared(
        name=f"bench-{width}-{depth}",
        version="1",
        task="semantic-segmentation",
        architecture="unet",
        arguments=arguments,
        bands=tuple(BandCard(name=name) for name in ("red", "green", "blue")),
        dtypes=("uint8",),
        normalization=ConstantNormalization(kind="constants", mean=(MEAN,) * BANDS, std=(STD,) * BANDS),
        output=ClassesOutput(kind="classes", activation="softmax", classes=classes),
        training=TrainingCard(data="none: random weights", licence="none"),
    )
    publish_package(str(path), network, declared, pixels)
