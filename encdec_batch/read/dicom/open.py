"""DICOM images: a frame is a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.contents import Contents
from encdec_batch.read.dicom.contents import FRAME, contents_of_frames
from encdec_batch.read.dicom.decoded import DecodedFrame, DeflatedFrame, EncapsulatedFrame, Encoded, NativeFrame
from encdec_batch.read.dicom.file import DicomFile, read_dicom_file
from encdec_batch.read.dicom.fragments import frame_fragments
from encdec_batch.read.dicom.frame import FrameSource
from encdec_batch.read.dicom.groups import FrameFacts
from encdec_batch.read.dicom.image import DicomImage
from encdec_batch.read.dicom.native import frame_span, is_swapped
from encdec_batch.read.dicom.rows import RowsOfFrame
from encdec_batch.read.dicom.slide import DicomSlide
from encdec_batch.read.dicom.tiled import TiledFrames
from encdec_batch.read.dicom.values import Meaning, meaning_of, scale_of
from encdec_batch.read.header import SceneHeader
from encdec_batch.read.options import ReadOptions
from encdec_batch.read.patch import Patch
from encdec_batch.read.pinned_reader import PinnedReader
from encdec_batch.read.plane import WHOLE, Plane
from encdec_batch.read.ranges import PinnedObject
from encdec_batch.read.reader import Rule
from encdec_batch.read.request import check_request
from encdec_batch.read.slide.tile import decoder_name
from encdec_batch.window import Window

Layout = Literal["striped", "whole", "tiled"]


class DicomReader(PinnedReader):
    """A `Reader` of one frame."""

    def __init__(self, source: PinnedObject, stored: FrameSource, meaning: Meaning, header: SceneHeader) -> None:
        super().__init__(source, header)
        self._source, self._stored = source, stored
        self._meaning = meaning

    def read(self, window: Window, bands: Sequence[int], *, rule: Rule, nan_is_nodata: bool = True) -> Patch:
        """See `Reader.read`."""
        check_request(self._header, window, bands, uri=self._source.uri)
        stored_SHW = self._stored.values(window, self._meaning.samples(bands))
        pixels = self._meaning.pixels(stored_SHW, bands)
        return Patch(
            pixels=pixels,
            valid_mask=self._meaning.valid(stored_SHW, pixels, rule=rule, nan_is_nodata=nan_is_nodata),
        )

    def bytes_for(self, windows: Sequence[Window], bands: Sequence[int]) -> int:
        """See `Reader.bytes_for`."""
        for window in windows:
            check_request(self._header, window, bands, uri=self._source.uri)
        return self._stored.cost(windows, self._meaning.samples(bands)) if windows else 0

    def thumbnail(self, max_side: int) -> Patch:
        """See `Reader.thumbnail`."""
        bands = range(1, self._header.num_bands + 1)
        step = -(-max(self._header.height, self._header.width) // max_side)
        stored_SHW = self._stored.every(step, self._meaning.samples(bands))
        pixels = self._meaning.pixels(stored_SHW, bands)
        return Patch(pixels=pixels, valid_mask=self._meaning.valid(stored_SHW, pixels, rule="all", nan_is_nodata=True))

    def close(self) -> None:
        """See `Reader.close`."""
        self._stored.close()
        self._source.forget()


class DicomSlideReader(DicomReader):
    """A `Reader` of one level of a slide."""

    def __init__(self, source: PinnedObject, tiles: TiledFrames, meaning: Meaning, header: SceneHeader) -> None:
        super().__init__(source, tiles, meaning, header)
        self._tiles = tiles

    def read(self, window: Window, bands: Sequence[int], *, rule: Rule, nan_is_nodata: bool = True) -> Patch:
        """See `Reader.read`."""
        patch = super().read(window, bands, rule=rule, nan_is_nodata=nan_is_nodata)
        return (
            patch if self._tiles.is_whole else replace(patch, valid_mask=patch.valid_mask & self._tiles.there(window))
        )

    def thumbnail(self, max_side: int) -> Patch:
        """See `Reader.thumbnail`. Of this level: the others are objects of their own."""
        patch = super().thumbnail(max_side)
        if self._tiles.is_whole:
            return patch
        step = -(-max(self._header.height, self._header.width) // max_side)
        there = self._tiles.there(Window(0, 0, self._header.width, self._header.height))[::step, ::step]
        return replace(patch, valid_mask=patch.valid_mask & there)


def open_dicom(source: PinnedObject, plane: Plane, options: ReadOptions) -> DicomReader:  # noqa: ARG001
    """A reader of one frame.

    Raises:
        SceneUnreadable: it contradicts itself or the object's size.
        UnsupportedScene: it is of a kind that is not read, or beyond the limits; there is no such frame.
    """
    dicom = read_dicom_file(source)
    if dicom.slide is not None:
        return _open_slide(source, dicom, dicom.slide, plane)
    frame = _frame(dicom.image, plane, source.uri)
    facts = dicom.facts[frame]
    meaning = meaning_of(dicom.image, dicom.tables, facts)
    stored, encoded_bytes = _stored(source, dicom, frame)
    layout: Layout = "striped" if isinstance(stored, RowsOfFrame) else "whole"
    header = _header(dicom, meaning, facts, layout, encoded_bytes)
    return DicomReader(source, stored, meaning, header)


def _header(
    dicom: DicomFile,
    meaning: Meaning,
    facts: FrameFacts,
    layout: Layout,
    encoded_bytes: int,
) -> SceneHeader:
    slope, intercept = scale_of(meaning, facts)
    bands, by_rows = meaning.num_bands, layout == "striped"
    return SceneHeader(
        driver="DICOM",
        height=dicom.image.rows,
        width=dicom.image.columns,
        num_bands=bands,
        dtype=meaning.dtype,
        nodata=(meaning.nodata,) * bands,
        mask="nodata" if meaning.nodata is not None else "none" if meaning.padding is None else "internal",
        scales=(slope,) * bands,
        offsets=(intercept,) * bands,
        band_names=(None,) * bands,
        crs_wkt=None,
        transform=None,
        gcps=(),
        gcps_crs_wkt=None,
        layout=layout,
        tile_height=1 if by_rows else dicom.image.rows,
        tile_width=dicom.image.columns,
        compression=dicom.syntax.name,
        planar=by_rows and dicom.image.planar,
        encoded_bytes=encoded_bytes,
        pixel_size_um=_pixel_size_um(facts),
    )


def contents_of_dicom(source: PinnedObject, options: ReadOptions) -> Contents:  # noqa: ARG001
    """The frames of an object; of an object of one, where it belongs.

    Raises:
        SceneUnreadable, UnsupportedScene: as `open_dicom`.
    """
    dicom = read_dicom_file(source)
    if dicom.level is not None:
        return Contents(level=dicom.level, medical=True)
    if dicom.image.num_frames > 1:
        return contents_of_frames(dicom.image, dicom.facts)
    return Contents(place=dicom.place, medical=True)


def _open_slide(source: PinnedObject, dicom: DicomFile, slide: DicomSlide, plane: Plane) -> DicomSlideReader:
    if plane != WHOLE or not slide.is_level:
        what = "its frames are tiles of one image" if plane != WHOLE else "a picture of a slide's label or glass"
        raise UnsupportedScene(f"{source.uri}: {what}", hint="ask for a level of the slide as a whole", uri=source.uri)
    meaning = meaning_of(dicom.image, dicom.tables, dicom.facts[0])
    tiles = TiledFrames(source, dicom, slide)
    header = _header(dicom, meaning, dicom.facts[0], "tiled", tiles.num_bytes)
    return DicomSlideReader(
        source,
        tiles,
        meaning,
        replace(
            header,
            height=slide.height,
            width=slide.width,
            tile_height=dicom.image.rows,
            downsample_known=not slide.is_resampled,
            mask=header.mask if tiles.is_whole else "internal",
            decoder=decoder_name() if dicom.syntax.codec != "native" else "",
        ),
    )


def _frame(image: DicomImage, plane: Plane, uri: str) -> int:
    if image.num_frames == 1 and plane == WHOLE:
        return 0
    for axis, index in plane.indices[:1]:
        if axis == FRAME and len(plane.indices) == 1 and image.num_frames > 1 and index < image.num_frames:
            return index
    asked = str(plane) or "the whole"
    raise UnsupportedScene(
        f"{uri}: {asked} is asked for, and it has {image.num_frames:,} frame{'s' * (image.num_frames > 1)}",
        hint=f"name one, from {FRAME}=0 on" if image.num_frames > 1 else "ask for the whole",
        uri=uri,
    )


def _stored(source: PinnedObject, dicom: DicomFile, frame: int) -> tuple[FrameSource, int]:
    """Where the frame comes from, and its bytes in the object."""
    encoded: Encoded
    if dicom.syntax.codec != "native":
        encoded = EncapsulatedFrame(source, dicom, frame_fragments(source, dicom, frame))
    elif dicom.syntax.deflated:
        encoded = DeflatedFrame(source, dicom, frame)
    elif dicom.image.is_packed or is_swapped(dicom):
        encoded = NativeFrame(source, dicom, frame)
    else:
        start, stop = frame_span(dicom.image, frame)
        return RowsOfFrame(source, dicom, frame), stop - start
    return DecodedFrame(source, encoded), encoded.num_bytes


def _pixel_size_um(facts: FrameFacts) -> tuple[float, float] | None:
    if facts.spacing_mm is None:
        return None
    rows, columns = facts.spacing_mm
    return rows * 1000, columns * 1000
