"""Slides of scanners, as they lie in a TIFF: Aperio (SVS) and Philips."""

from __future__ import annotations

import re
from collections.abc import Iterator

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.ranges import PinnedObject
from encdec_batch.read.slide.directory import MALFORMED, Directory, directories
from encdec_batch.read.slide.layout import Level, Slide, is_level, pyramid, size_of
from encdec_batch.read.xml import MOST_BYTES, parse_xml

_DESCRIPTION, _TILE_WIDTH, _TILE_HEIGHT = 270, 322, 323
_APERIO_SIZE = re.compile(rb"\|\s*MPP\s*=\s*(\d+(?:[.,]\d*)?)")
_PHILIPS_SIZE = re.compile(r'"?([0-9.eE+-]+)"?\s+"?([0-9.eE+-]+)"?')
_LEAST_UM, _MOST_UM = 0.01, 100.0
"""Of a pixel under a microscope; anything else is a field that was left empty."""


def aperio_slide(source: PinnedObject) -> Slide:
    """The levels are the tiled images; the others are thumbnail, label and macro.

    Raises:
        UnsupportedScene: its first image is not tiled.
        ValueError: it cannot be read.
    """
    first, *others = _levels(source)
    said = _APERIO_SIZE.search(first.directories[0].text(_DESCRIPTION, MOST_BYTES, what="its description"))
    side = _plausible(float(said[1].replace(b",", b"."))) if said else None
    return Slide(levels=pyramid(first, others), pixel_size_um=None if side is None else (side, side))


def philips_slide(source: PinnedObject) -> Slide:
    """Stored levels are filled up to whole tiles; how coarse each is says the description, in mm.

    Raises:
        UnsupportedScene: its first image is not tiled.
        ValueError: it cannot be read.
    """
    first, *others = _levels(source)
    spacings = _philips_spacings(first.directories[0].text(_DESCRIPTION, MOST_BYTES, what="its description"))
    if not spacings:
        return Slide(levels=(first,), pixel_size_um=None)
    levels = [first]
    # Where the two lists do not go together, nobody knows which size is whose.
    for level, spacing in zip(others, spacings[1:], strict=True) if len(others) + 1 == len(spacings) else ():
        factors = [round(own / finest) for own, finest in zip(spacing, spacings[0], strict=True)]
        if min(factors) < 2:
            continue
        height, width = first.height // factors[0], first.width // factors[1]
        tiles = [level.directories[0].number(code) for code in (_TILE_HEIGHT, _TILE_WIDTH)]
        if 0 < height <= level.height < height + tiles[0] and 0 < width <= level.width < width + tiles[1]:
            factor = (float(factors[0]), float(factors[1]))
            levels.append(Level(directories=level.directories, height=height, width=width, downsample=factor))
    height_um, width_um = (_plausible(side * 1000) for side in spacings[0])
    size = None if height_um is None or width_um is None else (height_um, width_um)
    return Slide(levels=tuple(levels), pixel_size_um=size)


def _levels(source: PinnedObject) -> list[Level]:
    levels = [level for level in map(_level, _whole_directories(source)) if level is not None]
    if not levels:
        raise UnsupportedScene(
            f"{source.uri}: a slide without tiles",
            hint="write it as a tiled TIFF, e.g. by vips tiffsave --tile --pyramid",
            uri=source.uri,
        )
    return levels


def _whole_directories(source: PinnedObject) -> Iterator[Directory]:
    """Up to the first that is broken: levels come before label and macro, which nobody needs."""
    chain = directories(source)
    yield next(chain)
    while True:
        try:
            directory = next(chain, None)
        except UnsupportedScene:
            raise  # more than the limits admit, whatever they are
        except MALFORMED:
            return
        if directory is None:
            return
        yield directory


def _level(directory: Directory) -> Level | None:
    try:
        if not is_level(directory):
            return None
        height, width = size_of(directory)
    except MALFORMED:
        return None
    return Level(directories=(directory,), height=height, width=width)


def _philips_spacings(description: bytes) -> list[tuple[float, float]]:
    """Height and width of a pixel in mm, by level."""
    objects: list[str] = []
    texts: list[list[str]] = []
    inside = False

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal inside
        if name == "DataObject":
            objects.append(attributes.get("ObjectType", ""))
        is_level = objects[-1:] == ["PixelDataRepresentation"]
        inside = is_level and attributes.get("Name") == "DICOM_PIXEL_SPACING"
        if inside:
            texts.append([])

    def end(name: str) -> None:
        nonlocal inside
        inside = False
        if name == "DataObject":
            objects.pop()

    def text(piece: str) -> None:
        if inside:
            texts[-1].append(piece)

    parse_xml(description, start=start, end=end, text=text)
    found = [_PHILIPS_SIZE.match("".join(pieces).strip()) for pieces in texts]
    sizes = [(float(one[1]), float(one[2])) for one in found if one is not None]
    if len(sizes) < len(found) or any(not 0 < side < 1e6 for size in sizes for side in size):
        raise ValueError("a pixel spacing that is none")
    return sizes


def _plausible(side_um: float) -> float | None:
    return side_um if _LEAST_UM <= side_um <= _MOST_UM else None
