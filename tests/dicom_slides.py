"""Levels of slides in DICOM, made tile by tile."""

from __future__ import annotations

from typing import Any

import dicoms as made
import numpy as np
from dicoms import encapsulated, item, native

SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
TILE = 64


def tiles_of(image: np.ndarray, tile: int = TILE) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """(tiles, tile, tile, 3), filled up by repetition, and where each begins."""
    down, across = (-(-side // tile) for side in image.shape[:2])
    room = ((0, down * tile - image.shape[0]), (0, across * tile - image.shape[1]), (0, 0))
    padded = np.pad(image, room, mode="edge")
    places = [(row * tile, column * tile) for row in range(down) for column in range(across)]
    return np.stack([padded[r : r + tile, c : c + tile] for r, c in places]), places


def slide(
    image: np.ndarray,
    syntax: str = made.EXPLICIT,
    *,
    sparse: list[int] | None = None,
    um: float = 0.5,
    tile: int = TILE,
    **changes: Any,
) -> bytes:
    """One level: all tiles in order, or those of `sparse`, each with its place."""
    tiles, places = tiles_of(image, tile)
    measures = item(PixelSpacing=[um / 1000, um / 1000], SliceThickness=0.001, SpacingBetweenSlices=0.001)
    frame_type = item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])
    shared = item(PixelMeasuresSequence=[measures], WholeSlideMicroscopyImageFrameTypeSequence=[frame_type])
    shared.OpticalPathIdentificationSequence = [item(OpticalPathIdentifier="1")]
    elements: dict[str, Any] = {
        "SOPClassUID": SLIDE,
        "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        "TotalPixelMatrixRows": image.shape[0],
        "TotalPixelMatrixColumns": image.shape[1],
        "TotalPixelMatrixFocalPlanes": 1,
        "NumberOfOpticalPaths": 1,
        "OpticalPathSequence": [item(OpticalPathIdentifier="1")],
        "TotalPixelMatrixOriginSequence": [item(XOffsetInSlideCoordinateSystem=0, YOffsetInSlideCoordinateSystem=0)],
        "ImageOrientationSlide": [0, -1, 0, -1, 0, 0],
        "ImagedVolumeWidth": image.shape[1] * um / 1000,
        "ImagedVolumeHeight": image.shape[0] * um / 1000,
        "ImagedVolumeDepth": 0.001,
        "FocusMethod": "AUTO",
        "ExtendedDepthOfField": "NO",
        "DimensionOrganizationType": "TILED_FULL" if sparse is None else "TILED_SPARSE",
        "SharedFunctionalGroupsSequence": [shared],
    }
    if sparse is not None:
        tiles = tiles[sparse]
        elements["PerFrameFunctionalGroupsSequence"] = [group(*places[number]) for number in sparse]
    elements["NumberOfFrames"] = len(tiles)
    elements |= changes
    if syntax == made.EXPLICIT:
        return native(tiles, syntax, **elements)
    if syntax == made.JPEG:
        elements |= {"PhotometricInterpretation": "YBR_FULL_422"}
    table = elements.pop("table", True)
    return encapsulated(tiles, syntax, made.ENCODERS[syntax], table=table, **elements)


def group(row: int, column: int) -> Any:
    """Of a frame whose first pixel lies here, from 0."""
    place = item(RowPositionInTotalImagePixelMatrix=row + 1, ColumnPositionInTotalImagePixelMatrix=column + 1)
    place.XOffsetInSlideCoordinateSystem = place.YOffsetInSlideCoordinateSystem = (
        place.ZOffsetInSlideCoordinateSystem
    ) = 0
    return item(PlanePositionSlideSequence=[place])
