"""A network over a whole image: by the predictor, block by block, and by one plain pass, which is the law."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from models.made import declared
from numpy.typing import NDArray
from torch import nn

from encdec_batch.grid import Grid, NetworkGeometry, Tiling, make_grid
from encdec_batch.models.card import Card, GeometryCard, ImageOutput, MemoryCard
from encdec_batch.plan.products import products_of
from encdec_batch.predict.eager import EagerEngine
from encdec_batch.predict.head import Wanted
from encdec_batch.predict.normalize import affine_of
from encdec_batch.predict.predictor import Predictor
from encdec_batch.read.block import pad
from encdec_batch.read.patch import Patch
from encdec_batch.spec.output import OutputSpec


def card_of(geometry: GeometryCard, *, bands: int, channels: int, **changes: Any) -> Card:
    """A card for float32 images in and out, or what the changes make of it."""
    fields: dict[str, Any] = {
        "bands": tuple({"name": f"b{n}"} for n in range(bands)),
        "dtypes": ("float32", "uint8"),
        "normalization": {"kind": "constants", "mean": (0.5,) * bands, "std": (2.0,) * bands},
        "output": ImageOutput(
            kind="image", band_names=tuple(f"c{n}" for n in range(channels)), dtype="float32", range=(0, 1)
        ),
    }
    made = declared(**(fields | changes)).model_dump()
    files = {"weights.safetensors": "0" * 64, "golden.safetensors": "0" * 64}
    memory = MemoryCard(parameters=0, activations=1.0)
    return Card(**made, format_version=1, geometry=geometry, memory=memory, files=files)


def tiled(
    network: nn.Module,
    card: Card,
    image: NDArray[np.generic],
    tiling: Tiling,
    *,
    valid: NDArray[np.bool_] | None = None,
    batch: int = 1,
    output: OutputSpec | None = None,
    precision: str = "float32",
    weights: str = "hann",
) -> dict[str, NDArray[np.generic]]:
    """Every product of the image, put together from its blocks."""
    grid = make_grid(*image.shape[1:], card.network_geometry, tiling)
    valid = np.ones(image.shape[1:], bool) if valid is None else valid
    products = products_of(card, output or OutputSpec(uri="memory"))
    engine = EagerEngine(network, device="cpu", precision=precision)
    predictor = Predictor(card, engine, Wanted(products=products, cells=True), batch=batch, weights=weights)
    affine = affine_of(card, (1.0,) * len(image), (0.0,) * len(image))
    k = grid.geometry.scale
    whole = {p.name: np.zeros((p.num_bands, *grid.output_shape), p.dtype) for p in products}
    for block in grid.blocks():
        source = grid.source_window(block, card.padding)
        patch = Patch(pixels=image[:, source.rows, source.cols], valid_mask=valid[source.rows, source.cols])
        prediction = predictor.predict(pad(patch, grid, block, card.padding), grid, block, affine)
        window = block.window.scale(k)
        for name, raster in prediction.rasters.items():
            whole[name][:, window.rows, window.cols] = raster
    return whole


@torch.inference_mode()
def plain_pass(
    network: nn.Module, card: Card, image: NDArray[np.generic], *, valid: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """The network's output over the padded scene, cropped: written anew, with numpy's own padding."""
    geometry: NetworkGeometry = card.network_geometry
    grid: Grid = make_grid(*image.shape[1:], geometry, Tiling(core=10**6, block=10**6))
    x = (image.astype(np.float32) - 0.5) / 2
    if valid is not None:
        x = np.where(valid, x, np.float32(card.nodata.fill))
    height, width = image.shape[1:]
    before, after = (
        geometry.margin,
        (grid.rows.padded - geometry.margin - height, grid.cols.padded - geometry.margin - width),
    )
    x = np.pad(x, ((0, 0), (before, after[0]), (before, after[1])), card.padding)
    network = network.float().eval().to(memory_format=torch.channels_last)
    y = network(torch.from_numpy(x)[None].to(memory_format=torch.channels_last))[0].numpy()
    k = geometry.scale
    return y[:, : k * height, : k * width]
