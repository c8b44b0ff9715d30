"""All that the header of a DICOM image says, read once for the readers of its frames."""

from __future__ import annotations

from dataclasses import dataclass

from encdec_batch.read.contents import SlicePlace, SlideLevel
from encdec_batch.read.dicom.contents import place_of
from encdec_batch.read.dicom.dataset import PixelElement, read_dicom_dataset
from encdec_batch.read.dicom.groups import FrameFacts, facts_without_groups
from encdec_batch.read.dicom.image import WHOLE_SLIDE, DicomImage, read_dicom_image
from encdec_batch.read.dicom.library import damaged, guarded
from encdec_batch.read.dicom.slide import DicomSlide, level_of, read_slide
from encdec_batch.read.dicom.syntax import TransferSyntax
from encdec_batch.read.dicom.values import ValueTables, read_value_tables
from encdec_batch.read.ranges import PinnedObject
from encdec_batch.read.recent import Recent


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomFile:
    """What the header of an object says; no part of it is changed."""

    syntax: TransferSyntax
    pixels: PixelElement
    deflated_from: int
    """Where the deflated part begins in the object, if the syntax has one."""
    extended_offsets: bytes
    """Extended Offset Table, as it stands there; empty where there is none."""
    image: DicomImage
    facts: tuple[FrameFacts, ...]
    """Of each frame; of a slide, which may have 100,000, of the first."""
    tables: ValueTables
    place: SlicePlace | None
    """Of an object of one frame."""
    slide: DicomSlide | None
    """Of a part of a slide: its frames are tiles."""
    level: SlideLevel | None
    """Likewise: which part it is."""


_RECENT: Recent[DicomFile] = Recent(4)
"""One of a thousand frames takes half a second to parse."""


def read_dicom_file(source: PinnedObject) -> DicomFile:
    """The header of an image, which is read once while not too many others are.

    Raises:
        SceneUnreadable: it contradicts itself or the object's size.
        UnsupportedScene: it is of a kind that is not read, or beyond the limits.
    """
    return _RECENT.get(source, lambda: guarded(source, "its DICOM header cannot be read", lambda: _read(source)))


def _read(source: PinnedObject) -> DicomFile:
    dataset = read_dicom_dataset(source)
    image = read_dicom_image(dataset, source)
    facts = dataset.groups or facts_without_groups(dataset.elements, dataset.shared, image.num_frames)
    if len(facts) != image.num_frames:
        raise damaged(source.uri, f"its header says {image.num_frames:,} frames, and has groups of {len(facts):,}")
    is_slide = dataset.sop_class == WHOLE_SLIDE
    slide = read_slide(dataset, image, facts, source) if is_slide else None
    return DicomFile(
        syntax=dataset.syntax,
        pixels=dataset.pixels,
        deflated_from=dataset.deflated_from,
        extended_offsets=dataset.elements.raw("ExtendedOffsetTable"),
        image=image,
        facts=facts[:1] if slide else facts,
        tables=read_value_tables(dataset.elements, image, big_endian=dataset.syntax.big_endian, uri=source.uri),
        place=place_of(dataset, image, facts[0]) if image.num_frames == 1 and not is_slide else None,
        slide=slide,
        level=level_of(slide, dataset, facts[0]) if slide else None,
    )
