"""Derived images of DICOM: of each object of a volume another one, of the same kind, with the network's values in it.

A series of single slices becomes a series of single slices, an object of many frames one of as many. Memory holds a
slice. UIDs, and so all bytes, are a function of the volume's key and of the source's UIDs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from encdec_batch.errors import UnsupportedScene
from encdec_batch.models.card import Card
from encdec_batch.read.dicom.library import unquoted
from encdec_batch.spec.output import DicomImageFile
from encdec_batch.volume.derived import Derivation, derived_header
from encdec_batch.volume.derived_values import StoredValues, stored_values
from encdec_batch.volume.dicom_seg import uid_of
from encdec_batch.volume.dicom_source import DicomSource
from encdec_batch.volume.slices import SliceRasters
from encdec_batch.volume.wanted import VolumeOrder
from encdec_batch.write.sink import CountingSink, Sink, Written

_MOST_BYTES = (1 << 32) - 2
"""Of pixels that are not encapsulated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedObject:
    """One that is to be written."""

    source: DicomSource
    slices: tuple[int, ...]
    """Numbers of its frames among those of the volume, in the order that its source has them in."""
    references: tuple[tuple[str, str], ...]
    """Class and instance of all objects it is made from."""


def derived_objects(order: VolumeOrder, sources: Sequence[DicomSource]) -> Iterator[DerivedObject]:
    """What is to be written for a volume, in the order of space.

    Args:
        order: of the volume.
        sources: its objects, each once, in the order of their slices.

    Raises:
        UnsupportedScene: not all frames of an object are slices of the volume.
    """
    uris = list(dict.fromkeys(one.image.uri for one in order.slices))
    places = {uri: number for number, uri in enumerate(uris)}
    for number, (uri, source) in enumerate(zip(uris, sources, strict=True)):
        slices = [n for n, one in enumerate(order.slices) if one.image.uri == uri]
        slices.sort(key=lambda n: order.slices[n].image.plane.indices)
        if len(slices) != source.dicom.image.num_frames:
            raise UnsupportedScene(
                f"{order.volume_id} has {len(slices)} of {source.dicom.image.num_frames} frames of one object",
                hint="leave dicom_image out of output.files for it",
            )
        # Its own first; frames of one object have their neighbours within it, as far as there are any.
        reached = range(max(min(slices) - order.reach, 0), min(max(slices) + order.reach + 1, len(order.slices)))
        around = {places[order.slices[n].image.uri] for n in reached} if len(uris) > 1 else {number}
        wanted = [number, *sorted(around - {number})]
        yield DerivedObject(
            source=source,
            slices=tuple(slices),
            references=tuple((str(h.SOPClassUID), str(h.SOPInstanceUID)) for h in (sources[n].header for n in wanted)),
        )


def write_dicom_image(
    sink: Sink, rasters: SliceRasters, file: DicomImageFile, card: Card, derived: DerivedObject
) -> Written:
    """The whole file.

    Args:
        sink: takes the file.
        rasters: of the volume's slices.
        file: what is asked for.
        card: of the network.
        derived: what is to be written.

    Raises:
        UnsupportedScene: it cannot be stored as DICOM.
    """
    order, source, dicom = rasters.order, derived.source.header, derived.source.dicom
    made = [stored_values(file, card, order.product, dicom, frame) for frame in range(len(derived.slices))]
    _check_size(rasters, derived, made[0], card)
    derivation = Derivation(
        card=card,
        series_uid=uid_of(f"series {source.get('SeriesInstanceUID')}", order.key),
        instance_uid=uid_of(f"instance {source.SOPInstanceUID}", order.key),
        references=derived.references,
    )
    counting = CountingSink(sink)
    counting.write(_encoded(source, made, derivation, order.volume_id))
    size = _num_bytes(rasters, made)
    words = b"OW" if made[0].dtype != "uint8" else b"OB"
    counting.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, words, 0, size + size % 2))
    for number, values in zip(derived.slices, made, strict=True):
        pixels = values.of(rasters.slice(number))
        counting.write(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes())
    counting.write(bytes(size % 2))
    return counting.written


def _encoded(source: Any, made: Sequence[StoredValues], derivation: Derivation, volume_id: str) -> bytes:
    """All that comes before the pixels."""
    from pydicom import dcmwrite

    buffer = BytesIO()
    with unquoted(
        f"no derived image can be made of a header of {volume_id}",
        hint="its source holds what DICOM does not admit: leave dicom_image out of output.files for it",
    ):
        header = derived_header(source, made, derivation)
        dcmwrite(buffer, header, enforce_file_format=True, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def _num_bytes(rasters: SliceRasters, made: Sequence[StoredValues]) -> int:
    height, width = rasters.shape
    return len(made) * height * width * made[0].num_samples * (1 if made[0].dtype == "uint8" else 2)


def _check_size(rasters: SliceRasters, derived: DerivedObject, made: StoredValues, card: Card) -> None:
    image, k = derived.source.dicom.image, card.geometry.scale
    if rasters.shape != (image.rows * k, image.columns * k):
        raise UnsupportedScene(
            f"{rasters.order.volume_id} was read at another size than its source has (source.um_per_px)",
            hint="leave um_per_px out, or write it as NIfTI",
        )
    size = _num_bytes(rasters, [made] * len(derived.slices))
    if max(rasters.shape) > 65535 or size > _MOST_BYTES:
        raise UnsupportedScene(
            f"{rasters.order.volume_id} has {size:,} bytes of pixels in one object, more than DICOM has room for",
            hint="write it as NIfTI or OME-Zarr (output.files)",
        )
