"""A pyramidal OME-TIFF from encoded tiles: those of the COG, as they are, with its levels in SubIFDs.

Source: OME-TIFF specification 6.0, "Sub-resolutions".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction

from encdec_batch.commit.cog import write_tiled
from encdec_batch.commit.geo import Geo, image_tags
from encdec_batch.commit.ome_xml import ome_xml
from encdec_batch.commit.parts import SceneTiles
from encdec_batch.write.sink import Sink, Written
from encdec_batch.write.tiff import Tag, long_tag, pyramid_bytes

_UM_PER_CM = 10_000
_CENTIMETRES = 3


def write_ome_tiff(sink: Sink, tiles: SceneTiles, size_um: tuple[float, float] | None) -> Written:
    """Writes the file of one product; memory holds one row of encoded tiles.

    Args:
        sink: takes the file.
        tiles: the product.
        size_um: height and width of a pixel, micrometres; None: not known.

    Raises:
        PartMissing: names every part that is gone or damaged.
    """
    # Of GDAL's tags those that each level has: type, palette, nodata. What is left is GDAL's own way to say names.
    _, tags = image_tags(tiles.product, Geo(), tiles.codec)
    text = ome_xml(tiles.product, tiles.shapes[0], size_um)
    full = [*tags, Tag(270, 2, len(text), text), *_resolution(size_um)]

    def lay_out(levels: Sequence[Sequence[Tag]], *, big: bool) -> bytes:
        reduced = [[long_tag(254, [1]), *tags, *level] for level in levels[1:]]
        return pyramid_bytes([*full, *levels[0]], reduced, big=big)

    return write_tiled(sink, tiles, lay_out)


def _resolution(size_um: tuple[float, float] | None) -> list[Tag]:
    """Pixels to the centimetre, for readers that know nothing of OME."""
    if size_um is None:
        return []
    height, width = (_rational(_UM_PER_CM / side) for side in size_um)
    unit = struct.pack("<H", _CENTIMETRES)
    return [Tag(282, 5, 1, width), Tag(283, 5, 1, height), Tag(296, 3, 1, unit)]


def _rational(value: float) -> bytes:
    found = Fraction(value).limit_denominator(100_000)
    if found.numerator >= 1 << 32:
        found = Fraction((1 << 32) - 1)
    return struct.pack("<II", found.numerator, found.denominator)
