"""Train the package `nuclei`: nuclei of cells in fluorescence and stained tissue.

    python -m jobs.training.nuclei --data DSB2018_DIR --out PACKAGE_DIR

The data are a subset of the 2018 Data Science Bowl (BBBC038, CC0). Grey images are read as three equal bands, so that
one network takes both kinds; for a single-band scene say `source.bands: [1, 1, 1]`.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import rasterio
import torch

from encdec_batch.models.card import BandCard, ClassCard, ClassesOutput, ConstantNormalization, Declared, TrainingCard
from encdec_batch.models.publish import publish_package
from encdec_batch.networks.unet import UNet
from jobs.training.fit import Example, Recipe, fit, predict, scores, statistics

ARGUMENTS = {"in_channels": 3, "out_channels": 1, "width": 8, "depth": 4, "padding": True, "norm": "batch"}
RECIPE = Recipe(steps=1500, batch=12, crop=160)
KINDS = {"fluo": "fluorescence", "he": "stained tissue"}


def read_split(folder: Path, split: str) -> list[tuple[str, Example]]:
    """Kind and example of each image that `<split>.csv` lists."""
    with (folder / f"{split}.csv").open(newline="") as table:
        return [(row["kind"], _read(folder, row)) for row in csv.DictReader(table)]


def _read(folder: Path, row: dict[str, str]) -> Example:
    with rasterio.open(folder / row["image"]) as source:
        image = source.read()
    with rasterio.open(folder / row["label"]) as source:
        label = (source.read(1) > 0).astype(np.uint8)
    return Example(name=row["image"], image=np.repeat(image, 3, axis=0) if len(image) == 1 else image[:3], label=label)


def declared(constants: tuple[tuple[float, ...], tuple[float, ...]], metrics: dict[str, dict[str, float]]) -> Declared:
    """The card, as far as its author writes it."""
    classes = (
        ClassCard(id=0, name="background", color=(20, 20, 40)),
        ClassCard(id=1, name="nucleus", color=(255, 196, 0)),
    )
    return Declared(
        name="nuclei",
        version="1.0.0",
        description="Nuclei in fluorescence and stained tissue, as one class; a U-Net of 8 channels and 4 levels.",
        task="semantic-segmentation",
        architecture="unet",
        arguments=ARGUMENTS,
        bands=tuple(BandCard(name=name) for name in ("red", "green", "blue")),
        dtypes=("uint8",),
        normalization=ConstantNormalization(kind="constants", mean=constants[0], std=constants[1]),
        output=ClassesOutput(kind="classes", activation="sigmoid", classes=classes),
        training=TrainingCard(
            data="2018 Data Science Bowl stage 1 (BBBC038, as corrected by lopuhin): 158 images, 146 fluorescence, "
            "12 stained tissue",
            licence="CC0: data and weights may be redistributed",
            split="158 images to train, 32 to validate, drawn at random by image",
            procedure=f"label: instance > 0; grey images as three equal bands; seed {RECIPE.seed}, {RECIPE.steps} "
            f"steps of {RECIPE.batch} crops of {RECIPE.crop} px, cross entropy + soft Dice, AdamW; "
            "jobs/training/nuclei.py",
            notes="Images of one plate may lie in both splits, so the figures are optimistic. Touching nuclei are one "
            "region: this is no instance segmentation. Few images of stained tissue: see its own figures.",
        ),
        metrics=metrics,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the package nuclei.")
    parser.add_argument("--data", type=Path, required=True, help="folder with train.csv and val.csv")
    parser.add_argument("--out", required=True, help="folder or URI of the new package")
    parser.add_argument("--threads", type=int, default=1, help="the shipped weights were made with 1")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(RECIPE.seed)
    train = [example for _, example in read_split(given.data, "train")]
    constants = statistics(train)
    network = fit(UNet(**ARGUMENTS), train, constants, RECIPE)
    multiple = 2 ** ARGUMENTS["depth"]
    val = [
        (kind, (predict(network, e.image, constants, multiple), e.label)) for kind, e in read_split(given.data, "val")
    ]
    metrics = {"val": scores([pair for _, pair in val])} | {
        f"val: {name}": scores([pair for kind, pair in val if kind.startswith(prefix)])
        for prefix, name in KINDS.items()
    }
    package = publish_package(given.out, network, declared(constants, metrics), train[0].image)
    print(package.card.model_dump_json(indent=1, include={"metrics", "geometry", "tolerance"}))


if __name__ == "__main__":
    main()
