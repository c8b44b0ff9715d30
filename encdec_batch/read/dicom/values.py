"""From stored values to pixels of ours: tables, brightness, padding (DICOM PS3.3, C.7.6.3.1 and C.11).

Grey: values as stored, or through the Modality LUT; slope and intercept become the header's scale and offset.
MONOCHROME1 shows large values dark. There value v becomes least + greatest - v, of what its bits can hold, so that
larger is brighter in every image of an archive, and padding is turned with it. It is not done where values are physical
(a rescale that is not the identity, a type such as HU or OD, a dose): how they are shown does not change what they
measure.

Colour: a palette is applied. Conversion to RGB belongs to decoding (colour.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.read.dicom.bits import BitField
from encdec_batch.read.dicom.elements import Elements
from encdec_batch.read.dicom.groups import FrameFacts
from encdec_batch.read.dicom.image import DicomImage
from encdec_batch.read.dicom.tables import LookupTable, read_modality_lut, read_palette
from encdec_batch.read.reader import Rule
from encdec_batch.read.validity import valid_of_bands

_AS = {"int8": "int16", "uint32": "float64", "int32": "float64"}
"""Of stored values that are no pixels of ours: the smallest type that holds each of them. Doses have 32 bits."""
_UNSPECIFIED = ("", "US")
"""Types of a rescale or a Modality LUT that name no unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueTables:
    """What holds for the values of all frames of an object."""

    padding: tuple[float, float] | None = None
    """Least and greatest stored value that stands for no value."""
    table: LookupTable | None = None
    """A palette, or the Modality LUT."""
    unit: str = ""
    """Of what a Modality LUT gives; US is unspecified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What the stored values of an object mean."""

    dtype: str
    """Of pixels."""
    num_bands: int
    turn: tuple[int, int] | None
    """Least and greatest of stored values that are turned round; None: they are as they should be."""
    table: LookupTable | None
    padding: tuple[float, float] | None
    """Least and greatest stored value that stands for no value."""
    nodata: float | None
    """The pixel that says so, where it is one and says nothing else."""

    def samples(self, bands: Sequence[int]) -> list[int]:
        """Which samples of a pixel these bands need, from 0."""
        return [0] if self.table is not None or self.num_bands == 1 else [band - 1 for band in bands]

    def pixels(self, stored_SHW: NDArray[np.generic], bands: Sequence[int]) -> NDArray[np.generic]:
        """(bands, height, width), an array of its own, which may be `stored_SHW` where that can be written to.

        Args:
            stored_SHW: of the samples that `samples` gives.
            bands: 1-based.
        """
        if self.table is not None:
            return self.table.apply(stored_SHW[0])[[band - 1 for band in bands]].astype(self.dtype, copy=False)
        if self.num_bands == 1 and len(bands) > 1:
            stored_SHW = stored_SHW[[0] * len(bands)]
        if self.turn is None:
            return stored_SHW.astype(self.dtype, order="C", copy=not stored_SHW.flags.writeable)
        least, greatest = self.turn
        # A lossy codec may overshoot what its bits hold.
        inside: NDArray[Any] = np.clip(stored_SHW, least, greatest)
        wide = np.int32 if inside.dtype.itemsize < 4 else np.int64
        turned: NDArray[Any] = np.subtract(least + greatest, inside, dtype=wide)
        return turned.astype(self.dtype)

    def valid(
        self,
        stored_SHW: NDArray[np.generic],
        pixels_BHW: NDArray[np.generic],
        *,
        rule: Rule,
        nan_is_nodata: bool,
    ) -> NDArray[np.bool_]:
        """(height, width), True is valid."""
        nodata = [self.nodata] * len(pixels_BHW)
        valid = valid_of_bands(pixels_BHW, nodata, rule=rule, nan_is_nodata=nan_is_nodata)
        if self.padding is not None and self.nodata is None:
            least, greatest = self.padding
            stored_HW: NDArray[Any] = stored_SHW[0]
            valid &= ~((stored_HW >= least) & (stored_HW <= greatest))
        return valid


def read_value_tables(elements: Elements, image: DicomImage, *, big_endian: bool, uri: str) -> ValueTables:
    """What the header says of values.

    Raises:
        SceneUnreadable: a table is wrong.
    """
    if image.samples > 1:
        return ValueTables()
    if image.photometric == "PALETTE COLOR" and image.bits is not None:
        return ValueTables(table=read_palette(elements, image.bits, big_endian=big_endian, uri=uri))
    padding = _padding(elements, image, big_endian=big_endian)
    item = next(elements.items("ModalityLUTSequence"), None)
    if item is not None and image.bits is not None:
        table = read_modality_lut(item, image.bits, big_endian=big_endian, uri=uri)
        return ValueTables(padding=padding, table=table, unit=item.text("ModalityLUTType"))
    return ValueTables(padding=padding)


def meaning_of(image: DicomImage, tables: ValueTables, frame: FrameFacts) -> Meaning:
    """What the values of one frame mean."""
    kind = image.dtype.name
    if image.samples > 1:
        return Meaning(dtype=kind, num_bands=3, turn=None, table=None, padding=None, nodata=None)
    turned = image.photometric == "MONOCHROME1" and not _is_physical(frame, tables.unit)
    if tables.table is not None:
        table = _turned(tables.table) if turned else tables.table
        entries = table.entries_BN
        return Meaning(
            dtype=entries.dtype.name,
            num_bands=len(entries),
            turn=None,
            table=table,
            padding=tables.padding,
            nodata=None,
        )
    turn = (image.bits.range if image.bits is not None else (0, 1)) if turned else None
    nodata = tables.padding[0] if tables.padding and tables.padding[0] == tables.padding[1] else None
    if nodata is not None and turn is not None:
        nodata = sum(turn) - nodata
    return Meaning(dtype=_AS.get(kind, kind), num_bands=1, turn=turn, table=None, padding=tables.padding, nodata=nodata)


def scale_of(meaning: Meaning, frame: FrameFacts) -> tuple[float, float]:
    """Slope and intercept of pixels: what a table gives is final, and colours have none."""
    if meaning.table is not None or meaning.num_bands > 1 or frame.slope is None or frame.intercept is None:
        return 1.0, 0.0
    return frame.slope, frame.intercept


def _is_physical(frame: FrameFacts, unit: str) -> bool:
    rescaled = (frame.slope, frame.intercept) not in ((None, None), (1.0, 0.0))
    return rescaled or frame.rescale_type not in _UNSPECIFIED or unit not in _UNSPECIFIED


def _turned(table: LookupTable) -> LookupTable:
    greatest = (1 << table.bits) - 1
    entries = greatest - np.minimum(table.entries_BN, greatest).astype(np.int64)
    return LookupTable(first=table.first, entries_BN=entries.astype(table.entries_BN.dtype), bits=table.bits)


def _padding(elements: Elements, image: DicomImage, *, big_endian: bool) -> tuple[float, float] | None:
    """Of grey images: PS3.3, C.7.5.1.1.2."""
    prefix = {"float32": "Float", "float64": "DoubleFloat"}.get(image.dtype.name, "")
    names = f"{prefix}PixelPaddingValue", f"{prefix}PixelPaddingRangeLimit"
    if image.bits is None:
        ends = [elements.numbers(name)[:1] for name in names] if prefix else []
    else:
        ends = [_padding_cell(elements, image.bits, name, big_endian=big_endian) for name in names]
    values = [one for end in ends for one in end]
    return (min(values), max(values)) if ends and ends[0] else None


def _padding_cell(elements: Elements, bits: BitField, keyword: str, *, big_endian: bool) -> tuple[float, ...]:
    """As a cell of the pixels is read: which type the header gives it is often wrong."""
    raw = elements.raw(keyword)[:4]
    if len(raw) not in (2, 4):
        return ()
    return (float(bits.value(int.from_bytes(raw, "big" if big_endian else "little", signed=bits.signed))),)
