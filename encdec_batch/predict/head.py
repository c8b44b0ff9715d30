"""From the network's output to products: classes and probabilities, or quantised images; on the device.

Shapes: C channels, B bands, H height, W width, in output pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, nan
from typing import Protocol

import torch
from torch import Tensor

from encdec_batch.errors import CardError
from encdec_batch.models.card import Card, ClassesOutput, ImageOutput
from encdec_batch.plan.product import MARGIN, Product, quantum_levels

LEVELS = 254
"""Probability and entropy are stored as 0..254; 255 is nodata."""
FEW_CLASSES = 8
"""Up to here counting class by class is faster than gathering all valid pixels."""
STORED = {"uint8": torch.uint8, "uint16": torch.int32, "float32": torch.float32}
"""torch has few operations on uint16: such rasters are int32 on the device and cast when they leave it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a head makes of one core."""

    rasters: dict[str, Tensor]
    """Product name to (B, H, W)."""
    class_counts: tuple[int, ...]
    probability_sum: float
    """Of the winning class over valid pixels; NaN for images, and where nobody asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be made of a block."""

    products: tuple[Product, ...]
    cells: bool = False
    """The mean probability of each core too; it costs more than the mask itself."""
    as_check: bool = False
    """For a comparison: images in the network's own values, as tolerances are."""


class Head(Protocol):
    """Pure; knows the products it is to make."""

    num_channels: int
    """Of the network's output."""
    num_classes: int
    """0 for images."""

    def __call__(self, logits_CHW: Tensor, valid_HW: Tensor) -> Verdict: ...


def make_head(card: Card, wanted: Wanted) -> Head:
    """The head for what the card says the network's channels mean."""
    if isinstance(card.output, ImageOutput):
        return ImageHead(card.output, wanted.products[0], in_units=not wanted.as_check)
    return ClassHead(card.output, wanted)


class ClassHead:
    """Argmax of logits, ties to the first class; beside it, where asked for, probabilities and entropy."""

    def __init__(self, output: ClassesOutput, wanted: Wanted) -> None:
        self.num_channels, self.num_classes = output.num_channels, len(output.classes)
        self._sigmoid = output.activation == "sigmoid"
        self._ids = torch.tensor([item.id for item in output.classes], dtype=torch.int32)
        self._counted = [item.id for item in output.classes] == list(range(self.num_classes))
        """The id of a class is its number: looked up, each pixel takes as long as the rest of a mask."""
        self._products = {product.name: product for product in wanted.products}
        self._cells = wanted.cells
        self._needs_p = wanted.cells or not self._products.keys() <= {"mask", MARGIN.name}

    def __call__(self, logits_CHW: Tensor, valid_HW: Tensor) -> Verdict:
        index_HW = self._index(logits_CHW)
        p_CHW = self._probabilities(logits_CHW) if self._needs_p else logits_CHW
        winner_HW = torch.where(valid_HW, p_CHW.amax(0), 0.0) if self._cells else torch.tensor(nan)
        return Verdict(
            rasters={
                name: self._margin(logits_CHW, valid_HW)
                if name == MARGIN.name
                else self._raster(name, index_HW, p_CHW, valid_HW)
                for name in self._products
            },
            class_counts=tuple(self._counts(index_HW, valid_HW)),
            probability_sum=float(winner_HW.sum(dtype=torch.float64)),
        )

    def _index(self, logits_CHW: Tensor) -> Tensor:
        """Number of the winning class; two classes are compared, which takes a fraction of an argmax."""
        if self._sigmoid:
            # One channel is the logit of the second class against the first, whose logit is 0.
            return (logits_CHW[0] > 0).int()
        if self.num_classes == 2:
            return (logits_CHW[1] > logits_CHW[0]).int()
        return logits_CHW.argmax(0)

    def _probabilities(self, logits_CHW: Tensor) -> Tensor:
        if self._sigmoid:
            p_CHW = logits_CHW.sigmoid()
            return torch.cat([1 - p_CHW, p_CHW])
        return logits_CHW.softmax(0)

    def _counts(self, index_HW: Tensor, valid_HW: Tensor) -> list[int]:
        if self.num_classes > FEW_CLASSES:
            counts = torch.bincount(index_HW[valid_HW].flatten(), minlength=self.num_classes)
        else:
            counts = torch.stack([((index_HW == n) & valid_HW).sum() for n in range(self.num_classes)])
        return [int(count) for count in counts.tolist()]

    def _margin(self, logits_CHW: Tensor, valid_HW: Tensor) -> Tensor:
        """By how much the winning class won, in units of the network's output."""
        if self._sigmoid:
            return _stored(logits_CHW.abs(), valid_HW, MARGIN)
        first_HW, second_HW = logits_CHW.topk(2, dim=0).values
        return _stored((first_HW - second_HW)[None], valid_HW, MARGIN)

    def _raster(self, name: str, index_HW: Tensor, p_CHW: Tensor, valid_HW: Tensor) -> Tensor:
        product = self._products[name]
        if name == "mask":
            values = (index_HW.int() if self._counted else self._ids.to(index_HW.device)[index_HW])[None]
        elif name == "probability":
            values = torch.floor(p_CHW * LEVELS + 0.5)
        else:
            bits = -(p_CHW * p_CHW.clamp_min(1e-30).log()).sum(0, keepdim=True)
            values = torch.floor(bits * (LEVELS / log(self.num_classes)) + 0.5).clamp(0, LEVELS)
        return _stored(values, valid_HW, product)


class ImageHead:
    """Values in the card's units (float32), or quantised between the ends of its range."""

    def __init__(self, output: ImageOutput, product: Product, *, in_units: bool = True) -> None:
        self.num_channels, self.num_classes = output.num_channels, 0
        self._low, self._high = output.range
        self._scale, self._offset = (output.scale, output.offset) if in_units else (1.0, 0.0)
        self._product = product

    def __call__(self, logits_CHW: Tensor, valid_HW: Tensor) -> Verdict:
        values = logits_CHW
        if self._product.dtype != "float32":
            gain = quantum_levels(self._product.dtype) / (self._high - self._low)
            # Stored 0 is nodata, so values take 1 and up: a value at the low end is never mistaken for a hole.
            values = 1 + torch.floor((values.clamp(self._low, self._high) - self._low) * gain + 0.5)
        elif (self._scale, self._offset) != (1.0, 0.0):
            values = values * self._scale + self._offset
        rasters = {self._product.name: _stored(values, valid_HW, self._product)}
        return Verdict(rasters=rasters, class_counts=(), probability_sum=nan)


def _stored(values_BHW: Tensor, valid_HW: Tensor, product: Product) -> Tensor:
    if product.nodata is None:
        raise CardError(f"product {product.name} has no nodata value")
    nodata = torch.tensor(product.nodata, dtype=values_BHW.dtype, device=values_BHW.device)
    return torch.where(valid_HW, values_BHW, nodata).to(STORED[product.dtype])
