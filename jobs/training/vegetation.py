"""Train the package `vegetation-rgb`: vegetation from red, green and blue, taught by NDVI.

    python -m jobs.training.vegetation --data GEO_SCENES_DIR --out PACKAGE_DIR

The teacher is the near-infrared band of the same NAIP image: NDVI = (NIR - R) / (NIR + R) > 0.2 in raw digital
numbers. The network never sees that band, so it works on RGB images as well. Trained on the western 600 columns of one
North Dakota footprint on four dates, validated on its columns from 640 on, and tried on two other places.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rasterio
import torch

from encdec_batch.models.card import BandCard, ClassCard, ClassesOutput, ConstantNormalization, Declared, TrainingCard
from encdec_batch.models.publish import publish_package
from encdec_batch.networks.unet import UNet
from jobs.training.fit import Example, Recipe, fit, predict, scores, statistics

NDVI = 0.2
LAST_TRAINED, FIRST_VALIDATED = 600, 640
ARGUMENTS = {"in_channels": 3, "out_channels": 2, "width": 8, "depth": 3, "padding": True, "norm": "batch"}
RECIPE = Recipe(steps=1200, batch=16, crop=128)


def read_scene(path: Path) -> Example:
    """RGB and the NDVI label of a NAIP file; pixels without data, and without light in both bands, are not known."""
    with rasterio.open(path) as source:
        pixels, valid = source.read(), source.dataset_mask() > 0
    red, infrared = pixels[0].astype(np.float32), pixels[3].astype(np.float32)
    total = red + infrared
    index = (infrared - red) / np.maximum(total, 1)
    label = np.where(valid & (total > 0), index > NDVI, 255).astype(np.uint8)
    return Example(name=path.name, image=pixels[:3], label=label)


def columns(example: Example, start: int, stop: int | None) -> Example:
    """The part of a scene between two columns."""
    return Example(name=example.name, image=example.image[:, :, start:stop], label=example.label[:, start:stop])


def declared(constants: tuple[tuple[float, ...], tuple[float, ...]], metrics: dict[str, dict[str, float]]) -> Declared:
    """The card, as far as its author writes it."""
    classes = (
        ClassCard(id=0, name="other", color=(222, 214, 196)),
        ClassCard(id=1, name="vegetation", color=(34, 139, 58)),
    )
    return Declared(
        name="vegetation-rgb",
        version="1.0.0",
        description="Green vegetation from red, green and blue of aerial images; a U-Net of 8 channels and 3 levels.",
        task="semantic-segmentation",
        architecture="unet",
        arguments=ARGUMENTS,
        bands=tuple(BandCard(name=name) for name in ("red", "green", "blue")),
        dtypes=("uint8",),
        normalization=ConstantNormalization(kind="constants", mean=constants[0], std=constants[1]),
        output=ClassesOutput(kind="classes", activation="softmax", classes=classes),
        training=TrainingCard(
            data="USDA NAIP at 5 m, one footprint in North Dakota (m_4709963_se) on four dates: 2010, 2012, 2015, 2018",
            licence="US public domain (USDA NAIP): data and weights may be redistributed",
            split=f"trained on columns 0..{LAST_TRAINED - 1}, validated on {FIRST_VALIDATED}..933, same dates",
            procedure=f"label: NDVI > {NDVI} of raw digital numbers; seed {RECIPE.seed}, {RECIPE.steps} steps of "
            f"{RECIPE.batch} crops of {RECIPE.crop} px, cross entropy + soft Dice, AdamW; jobs/training/vegetation.py",
            notes="One place and one sensor. `val` is the same place and dates; the other places are NAIP at 1 m in "
            "Virginia and North Carolina, another scale and landscape: there it misses much of the dark forest. Green "
            "lakes look like fields in RGB; a dry September (2015) is the hardest date.",
        ),
        metrics=metrics,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the package vegetation-rgb.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the naip_*.tif scenes")
    parser.add_argument("--out", required=True, help="folder or URI of the new package")
    parser.add_argument("--threads", type=int, default=1, help="the shipped weights were made with 1")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(RECIPE.seed)
    scenes = [read_scene(path) for path in sorted(given.data.glob("naip_nd_*.tif"))]
    train = [columns(scene, 0, LAST_TRAINED) for scene in scenes]
    held_out = {
        "val": [columns(scene, FIRST_VALIDATED, None) for scene in scenes],
        "other place: Virginia, 1 m": [read_scene(path) for path in sorted(given.data.glob("naip_va_*.tif"))],
        "other place: North Carolina, 1 m": [read_scene(path) for path in sorted(given.data.glob("naip_nc_*.tif"))],
    }
    constants = statistics(train)
    network = fit(UNet(**ARGUMENTS), train, constants, RECIPE)
    multiple = 2 ** ARGUMENTS["depth"]
    metrics = {
        name: scores([(predict(network, e.image, constants, multiple), e.label) for e in examples])
        for name, examples in held_out.items()
    }
    package = publish_package(given.out, network, declared(constants, metrics), train[-1].image)
    print(package.card.model_dump_json(indent=1, include={"metrics", "geometry", "tolerance"}))


if __name__ == "__main__":
    main()
