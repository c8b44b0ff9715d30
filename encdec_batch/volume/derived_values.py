"""From the values of a committed raster to those that a derived image of DICOM stores, and what these mean.

A result in the units of its input (a denoiser's, of super-resolution) is stored as the source is: one type, one
rescale, rounded to what that can hold. Of a CT that is Hounsfield units as they were.

Any other is stored over the card's range in 254 or 65534 steps, as integer rasters are, with the rescale that gives its
values back; 0 is padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import UnsupportedScene
from encdec_batch.models.card import Card, ConstantNormalization, ImageOutput
from encdec_batch.plan.product import Product, quantum_levels
from encdec_batch.read.dicom.file import DicomFile
from encdec_batch.read.dicom.values import Meaning, meaning_of, scale_of
from encdec_batch.spec.output import DicomImageFile


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredValues:
    """How values of one frame are stored: `stored = raster * gain + bias`, rounded, of each band."""

    gain: tuple[float, ...]
    bias: tuple[float, ...]
    nodata: float | None
    """Of the raster."""
    dtype: Literal["uint8", "uint16", "int16"]
    bits: int
    """That hold values."""
    padding: int | None
    """What stands for no value; None: nothing does."""
    slope: float | None
    """physical = stored * slope + intercept; None: nothing is said of it."""
    intercept: float
    unit: str
    """Of what comes out, as RescaleType has it."""
    as_source: bool
    """They mean what those of the source mean."""
    turned: int | None = None
    """The source has MONOCHROME1, and its value v stands here as this less v; None: it is as it was."""
    tabled: bool = False
    """The source has a table of values, and these are what it gives."""

    @property
    def num_samples(self) -> int:
        """Of a pixel: 1, or 3 of RGB."""
        return len(self.gain)

    @property
    def ends(self) -> tuple[int, int]:
        """The least and the greatest."""
        signed = self.dtype == "int16"
        return (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if signed else (0, (1 << self.bits) - 1)

    def of(self, raster_BHW: NDArray[Any]) -> NDArray[Any]:
        """(height, width), or (height, width, 3) of colours."""
        least, greatest = self.ends
        shape = (-1, 1, 1)
        values = raster_BHW.astype(np.float64) * np.reshape(self.gain, shape) + np.reshape(self.bias, shape)
        invalid = _is_nodata(raster_BHW, self.nodata)
        stored = np.floor(np.where(invalid, 0.0, values) + 0.5).clip(least, greatest)
        if self.padding is not None:
            # What is known must not pass for what is not.
            beside = self.padding + 1 if self.padding < greatest else self.padding - 1
            stored[stored == self.padding] = beside
        stored[invalid] = least if self.padding is None else self.padding
        found: NDArray[Any] = stored.astype(self.dtype)
        return found[0] if len(found) == 1 else np.moveaxis(found, 0, -1)


def means_source(file: DicomImageFile, card: Card) -> bool:
    """Whether results are in the units of the input: asked for, or told by a card that turns values back as its
    normalisation turned them.
    """
    constants, output = card.normalization, card.output
    if file.values is not None:
        return file.values == "source"
    if not isinstance(constants, ConstantNormalization) or not isinstance(output, ImageOutput):
        return False
    return (output.scale, output.offset) == (constants.std[0], constants.mean[0])


def stored_values(file: DicomImageFile, card: Card, product: Product, source: DicomFile, frame: int) -> StoredValues:
    """How values made from one frame are stored.

    Raises:
        UnsupportedScene: they cannot be.
    """
    output = card.output
    if not isinstance(output, ImageOutput):
        raise UnsupportedScene(f"{card.name} makes classes, no images", hint="ask for dicom_seg instead")
    meaning = meaning_of(source.image, source.tables, source.facts[frame])
    if means_source(file, card):
        return _as_source(card, output, product, source, meaning, scale_of(meaning, source.facts[frame]), frame)
    return _as_network(output, product)


def _units(output: ImageOutput, product: Product) -> tuple[float, float]:
    """Gain and bias from a raster's values to the card's units."""
    if product.dtype == "float32":
        return 1.0, 0.0
    low, high = output.units_range
    step = (high - low) / quantum_levels(product.dtype)
    return step, low - step


def _as_network(output: ImageOutput, product: Product) -> StoredValues:
    gain, bias = _units(output, product)
    (low, high), bands = output.units_range, output.num_channels
    narrow = product.dtype == "uint8" or bands == 3
    levels = 255 if bands == 3 else quantum_levels("uint8" if narrow else "uint16")
    first = 0 if bands == 3 else 1
    step = (high - low) / levels
    return StoredValues(
        gain=(gain / step,) * bands,
        bias=((bias - low) / step + first,) * bands,
        nodata=product.nodata,
        dtype="uint8" if narrow else "uint16",
        bits=8 if narrow else 16,
        padding=None if bands == 3 else 0,
        slope=None if bands == 3 else step,
        intercept=low - first * step,
        unit="US",
        as_source=False,
    )


def _as_source(  # noqa: PLR0913, PLR0917  (all that decides a value)
    card: Card,
    output: ImageOutput,
    product: Product,
    source: DicomFile,
    meaning: Meaning,
    scale: tuple[float, float],
    frame: int,
) -> StoredValues:
    bands, seen = output.num_channels, len(card.bands)
    if (
        bands != meaning.num_bands
        or meaning.dtype not in ("uint8", "uint16", "int16")
        or (bands == 3 and meaning.dtype != "uint8")
    ):
        raise UnsupportedScene(
            f"{bands} band{'s' * (bands > 1)} of {card.name} cannot be stored as the source is, in {meaning.num_bands} "
            f"of {meaning.dtype}",
            hint="say values: network, or leave dicom_image out of output.files for it",
        )
    slope, intercept = scale
    gain, bias = _units(output, product)
    gains, biases = [], []
    for band in range(bands):
        # Of neighbouring slices that are read as bands, the result is of the middle one.
        at = (seen // bands // 2) * bands + band
        scaled = card.bands[at].unit == "scaled"
        per, zero = (slope, intercept) if scaled else (1.0, 0.0)
        gains.append(gain / per)
        biases.append((bias - zero) / per)
    facts, bits = source.facts[frame], source.image.bits
    as_stored = meaning.table is None and bits is not None and bits.dtype.name == meaning.dtype
    stored_bits = bits.stored if bits is not None and as_stored else 8 * np.dtype(meaning.dtype).itemsize
    turned = sum(meaning.turn) if meaning.turn is not None else None
    return StoredValues(
        gain=tuple(gains),
        bias=tuple(biases),
        nodata=product.nodata,
        dtype=meaning.dtype,  # type: ignore[arg-type]  # one of the three
        bits=stored_bits,
        padding=_padding(meaning, turned) if bands == 1 and meaning.table is None else None,
        slope=None if bands == 3 or (facts.slope is None and meaning.table is None) else slope,
        intercept=intercept,
        unit=facts.rescale_type or source.tables.unit,
        as_source=True,
        turned=turned,
        tabled=meaning.table is not None,
    )


def _padding(meaning: Meaning, turned: int | None) -> int | None:
    if meaning.padding is None:
        return None
    least = int(meaning.padding[0])
    return least if turned is None else turned - least


def _is_nodata(raster_BHW: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    if nodata is None:
        return np.zeros(raster_BHW.shape, np.bool_)
    found: NDArray[np.bool_] = np.isnan(raster_BHW) if np.isnan(nodata) else raster_BHW == nodata
    return found
