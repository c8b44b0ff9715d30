"""What a DICOM file says before its pixels: parsed by pydicom from ranged gets, which end where the pixels begin.

Of the top level only elements that are needed are taken up: names of persons and the rest of it are passed over. The
groups of frames, of which there may be thousands, are taken up one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_sequence_item
from pydicom.uid import UID

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.dicom.elements import Elements
from encdec_batch.read.dicom.groups import FrameFacts, grouped, shared_facts
from encdec_batch.read.dicom.library import damaged, guarded
from encdec_batch.read.dicom.stream import HeaderStream, Inflater
from encdec_batch.read.dicom.syntax import SYNTAXES, TransferSyntax
from encdec_batch.read.ranges import PinnedObject

_META_START = 132
"""Of the file's own header, which is explicit and little-endian in every file: PS3.10, section 7.1."""
_META = ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")
ACQUIRED = (
    "TemporalPositionIdentifier", "TemporalPositionIndex", "AcquisitionNumber", "EchoNumbers", "EchoTime",
    "TriggerTime", "DiffusionBValue",
)  # fmt: skip
"""What images of one series at one position may differ in."""
_IDENTITY = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PatientID",
    "IssuerOfPatientID", "InstanceNumber", *ACQUIRED,
)  # fmt: skip
_IMAGE = (
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit",
    "DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit",
    "RescaleIntercept", "RescaleSlope", "RescaleType", "ModalityLUTSequence", "DoseGridScaling",
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in ("Red", "Green", "Blue")),
    *(f"{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
)  # fmt: skip
_SPACE = (
    "TotalPixelMatrixRows", "TotalPixelMatrixColumns", "ImageType", "ConcatenationUID",
    "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "ImagePositionPatient",
    "ImageOrientationPatient", "GridFrameOffsetVector", "SharedFunctionalGroupsSequence",
)  # fmt: skip
_TABLES = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
_WANTED = (*_IDENTITY, *_IMAGE, *_SPACE, *_TABLES)

_GROUPS = 0x52009230
"""Per-frame Functional Groups Sequence."""
_PIXELS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_LAST = max(_PIXELS)
_UNDEFINED = 0xFFFFFFFF
_CHARACTERS = "iso8859"
"""Of text, of which none is used."""
Stop = Callable[[Any, str | None, int], bool]
"""Tag, type and length of an element: whether to stop before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelElement:
    """The element that holds the pixels."""

    keyword: str
    vr: str | None
    """None: the file does not say."""
    start: int
    """Of its value, in the object; in what it inflates to, where it is deflated."""
    length: int | None
    """Bytes of its value; None: it is a sequence of fragments that has its end marked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomDataset:
    """A file up to its pixels."""

    elements: Elements
    syntax: TransferSyntax
    pixels: PixelElement
    sop_class: str
    """SOPClassUID."""
    instance: str
    """SOPInstanceUID."""
    shared: FrameFacts
    """What holds for all frames."""
    groups: tuple[FrameFacts, ...]
    """Of each frame, if the file has groups of frames; else none."""
    deflated_from: int
    """Where the deflated part begins in the object, if the syntax has one."""


def read_dicom_dataset(source: PinnedObject) -> DicomDataset:
    """The header of an image.

    Raises:
        SceneUnreadable: it is damaged, or lacks what every DICOM object has.
        UnsupportedScene: it is no image, or in an encoding that is not read.
    """
    return guarded(source, "its DICOM header cannot be read", lambda: _read(source))


def _read(source: PinnedObject) -> DicomDataset:
    uri = source.uri
    stream = HeaderStream(source, source.bytes_at, _META_START)
    explicit = TransferSyntax(codec="native", name="")
    meta = Elements(_parsed(stream, _META, explicit, stop=lambda tag, *_: tag >> 16 != 2), uri)
    syntax = _syntax(meta.text("TransferSyntaxUID"), uri)
    start = stream.tell()
    if syntax.deflated:
        stream = HeaderStream(source, Inflater(source, start).bytes_at, 0)
    end = _End(stream)
    dataset = _parsed(stream, _WANTED, syntax, stop=end)
    elements = Elements(dataset, uri)
    shared = shared_facts(elements, uri=uri)
    groups: tuple[FrameFacts, ...] = ()
    if end.groups is not None:
        groups = tuple(grouped(shared, Elements(item, uri), uri=uri) for item in _items(stream, syntax, end.groups))
        dataset.update(_parsed(stream, _WANTED, syntax, stop=end))
    if source.failure is not None:
        raise source.failure
    sop_class = elements.text("SOPClassUID") or meta.text("MediaStorageSOPClassUID")
    instance = elements.text("SOPInstanceUID") or meta.text("MediaStorageSOPInstanceUID")
    if not sop_class or not instance:
        raise damaged(uri, "it has no SOP Class UID or no SOP Instance UID, so that nothing can refer to it")
    if end.pixels is None:
        raise UnsupportedScene(
            f"{uri}: a DICOM object that holds no image",
            hint="reports, structures, presentation states, directories and the like are no scenes: leave them out",
            uri=uri,
        )
    _check_all_there(end.pixels, source, deflated=syntax.deflated)
    return DicomDataset(
        elements=elements,
        syntax=syntax,
        pixels=end.pixels,
        sop_class=sop_class,
        instance=instance,
        shared=shared,
        groups=groups,
        deflated_from=start,
    )


def _items(stream: HeaderStream, syntax: TransferSyntax, element: tuple[int, int]) -> Iterator[Dataset]:
    """The items of a sequence, given where its value begins and its length."""
    start, length = element
    stream.seek(start)
    while length == _UNDEFINED or stream.tell() < start + length:
        item = read_sequence_item(cast("BinaryIO", stream), syntax.implicit, not syntax.big_endian, _CHARACTERS)
        if item is None:
            return
        yield item


def _check_all_there(pixels: PixelElement, source: PinnedObject, *, deflated: bool) -> None:
    if pixels.length is not None and not deflated and pixels.start + pixels.length > source.size:
        missing = pixels.start + pixels.length - source.size
        raise damaged(source.uri, f"it ends {missing:,} bytes before its pixels do")


class _End:
    """Tells pydicom to stop at the groups of frames, then at the pixels, and notes where they are."""

    def __init__(self, stream: HeaderStream) -> None:
        self._stream = stream
        self.groups: tuple[int, int] | None = None
        """Where their value begins, and its length."""
        self.pixels: PixelElement | None = None

    def __call__(self, tag: int, vr: str | None, length: int) -> bool:
        if tag == _GROUPS:
            self.groups = self._stream.tell(), length
        if tag in _PIXELS:
            self.pixels = PixelElement(
                keyword=_PIXELS[tag],
                vr=vr,
                start=self._stream.tell(),
                length=None if length == _UNDEFINED else length,
            )
        return tag == _GROUPS or tag in _PIXELS or tag > _LAST


def _parsed(stream: HeaderStream, keywords: tuple[str, ...], syntax: TransferSyntax, *, stop: Stop) -> Dataset:
    tags = [tag for tag in map(tag_for_keyword, keywords) if tag is not None]
    return read_dataset(
        cast("BinaryIO", stream), syntax.implicit, not syntax.big_endian, stop_when=stop, specific_tags=list(tags)
    )


def _syntax(uid: str, uri: str) -> TransferSyntax:
    if not uid:
        raise damaged(uri, "its header does not say how it is encoded (no Transfer Syntax UID)")
    if uid not in SYNTAXES:
        # Of what is in no dictionary nothing is shown: it may be anything.
        name = UID(uid).name
        raise UnsupportedScene(
            f"{uri}: its pixels are in an encoding that is not read ({'no standard one' if name == uid else name})",
            hint="convert it to Explicit VR Little Endian, e.g. dcmconv +te, or gdcmconv --raw; films are not read",
            uri=uri,
        )
    return SYNTAXES[uid]
