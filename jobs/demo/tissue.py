"""Nuclei on a stained slide: a U-Net beside thresholds, and its outlines as QuPath opens them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from rasterio.features import rasterize
from skimage.color import rgb2hed

from encdec_batch.train.evaluation.metrics import Confusion
from jobs.demo import pictures
from jobs.demo.command import SAMPLES
from jobs.demo.pieces import FOLDER, read
from jobs.demo.record import Figure, Picture, Place, Row, Strip
from jobs.demo.results import path_of, report_of, result, run_job
from jobs.scores.thresholds import otsu

TASK = "Whole slides"
OTSU, HAEMATOXYLIN, UNET = "Otsu", "Otsu of haematoxylin", "U-Net"
SLIDE, SCENE = "slide", "slide.ome"
COLUMNS, LEVELS, TILE = 2, 3, 256


def slides() -> Row:
    """Writes a slide, runs a job on it and judges that."""
    image, labels = (mosaic(folder) for folder in ("tissue", "tissue-labels"))
    write_slide(image)
    run_job("demo-slide.yaml", "slide")
    truth = labels[0] > 0
    outlines = json.loads(path_of("slide", SCENE, "outlines.geojson").read_text(encoding="utf-8"))
    found = plain_masks(image) | {UNET: result("slide", SCENE, "mask.tif")[0] == 1}
    judged = figure(truth, found)
    height, width = truth.shape
    number = len(outlines["features"])
    place = Place(
        title="A slide of four images",
        note="Stained tissue of the validation split, set side by side and written as a pyramid. Twelve images of the "
        "same set were trained on. Blue: missed; orange: wrongly found.",
        figures=(judged,),
        strips=(
            Strip(
                caption=f"{width} x {height} px, and {number} outlines in GeoJSON",
                pictures=_pictures(image, truth, found, judged, outlines),
            ),
        ),
    )
    return Row(
        task=TASK,
        text="Nuclei in tissue stained with haematoxylin and eosin, by the package nuclei-stained (U-Net), on a "
        "pyramid in OME-TIFF, beside Otsu's threshold of grey values and of the amount of haematoxylin (colour "
        "deconvolution). IoU is of the class nucleus, over all pixels.",
        places=(place,),
        reports=(report_of("slide"),),
    )


def mosaic(folder: str) -> NDArray[Any]:
    """(C, H, W) the images of a folder side by side, in the order of their names."""
    images = [read(path) for path in sorted((SAMPLES / folder).iterdir())]
    rows = [images[first : first + COLUMNS] for first in range(0, len(images), COLUMNS)]
    return np.concatenate([np.concatenate(row, axis=2) for row in rows], axis=1)


def write_slide(image_CHW: NDArray[np.uint8]) -> None:
    """`pieces/slide/slide.ome.tif`, with levels of half the side each."""
    path = FOLDER / "slide" / f"{SLIDE}.ome.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.moveaxis(image_CHW, 0, -1)
    with tifffile.TiffWriter(path, ome=True) as file:
        # The size of a pixel is not known of these images.
        options: dict[str, Any] = {"tile": (TILE, TILE), "photometric": "rgb", "compression": "zlib"}
        file.write(pixels, subifds=LEVELS - 1, metadata={"axes": "YXS"}, **options)
        for level in range(1, LEVELS):
            file.write(pixels[:: 2**level, :: 2**level], subfiletype=1, **options)


def plain_masks(image_CHW: NDArray[np.uint8]) -> dict[str, NDArray[np.bool_]]:
    """By method, (H, W) where nuclei are: they are dark, and have much haematoxylin.

    Source: Ruifrok and Johnston 2001 (Quantification of histochemical staining by color deconvolution).
    """
    everywhere = np.ones(image_CHW.shape[1:], bool)
    stain = rgb2hed(np.moveaxis(image_CHW, 0, -1))[..., 0]
    return {
        OTSU: otsu(image_CHW, everywhere, above=0) == 1,
        HAEMATOXYLIN: otsu(stain[None], everywhere, above=1) == 1,
    }


def figure(truth: NDArray[np.bool_], found: Mapping[str, NDArray[np.bool_]]) -> Figure:
    """IoU of nuclei by method."""
    scores = {name: _iou(truth, mask) for name, mask in found.items()}
    networks = {UNET: scores.pop(UNET)}
    return Figure(measure="IoU", higher_is_better=True, plain=scores, networks=networks, digits=3)


def _pictures(
    image: NDArray[np.uint8],
    truth: NDArray[np.bool_],
    found: Mapping[str, NDArray[np.bool_]],
    judged: Figure,
    outlines: Mapping[str, Any],
) -> tuple[Picture, ...]:
    scores = judged.plain | judged.networks
    made = [
        Picture(
            name=name,
            role="network" if name == UNET else "plain",
            image=pictures.mask(mask, truth),
            said=f"IoU {judged.said(scores[name])}",
            fault=judged.fault(name),
        )
        for name, mask in found.items()
    ]
    given = Picture(name="Slide", role="input", image=pictures.photo(image))
    drawn = Picture(name="Outlines, from the GeoJSON", role="network", image=_drawn(image, outlines))
    return (given, drawn, *made, Picture(name="Labels", role="truth", image=pictures.mask(truth, truth)))


def _drawn(image: NDArray[np.uint8], outlines: Mapping[str, Any]) -> NDArray[np.uint8]:
    """The outlines over the slide, one pixel wide, as a reader of the file draws them."""
    inside = rasterize([one["geometry"] for one in outlines["features"]], image.shape[1:], dtype="uint8") > 0
    inner = inside.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            inner &= np.roll(inside, step, axis)
    over = pictures.photo(image).copy()
    over[inside & ~inner] = pictures.NUCLEUS
    return over


def _iou(truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> float:
    return float(Confusion.of(truth, found, np.ones(truth.shape, bool), 2).iou[1])
