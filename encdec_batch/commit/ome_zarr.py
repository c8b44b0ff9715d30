"""An OME-Zarr of a product: a folder of few objects, of each level one shard with all its chunks.

So a slide of 40,000 px is some 20 objects, and each is written in one pass, as the other files are.
"""

from __future__ import annotations

from collections.abc import Callable

from encdec_batch.commit.parts import SceneTiles
from encdec_batch.write.codec import decode_tile
from encdec_batch.write.ome_zarr import Pixels, array, encoded, folder_of_levels, groups, shard_key
from encdec_batch.write.shard import ShardWriter
from encdec_batch.write.sink import Sink, Written, plain

Put = Callable[[str, Callable[[Sink], Written]], None]
"""Writes one object: path below the folder, and what fills it."""


def write_ome_zarr(put: Put, tiles: SceneTiles, size_um: tuple[float, float] | None) -> None:
    """Writes every object of the folder; memory holds one row of tiles.

    Args:
        put: takes the objects.
        tiles: the product.
        size_um: height and width of a pixel, micrometres; None: not known.

    Raises:
        PartMissing: names every part that is gone or damaged.
    """
    pixels = _pixels(tiles, size_um)
    folder, num_bands = folder_of_levels(tiles.product), tiles.product.num_bands
    for level, shape in enumerate(tiles.shapes):
        whole = (num_bands, *shape) if "c" in pixels.axes else shape
        put(f"{folder}{level}/{shard_key(pixels.axes)}", lambda sink, n=level: _write_level(sink, tiles, n))  # type: ignore[misc]
        put(f"{folder}{level}/zarr.json", plain(array(pixels, whole)))
    # The root comes last: until it is there, no reader takes the folder for an image.
    for path, text in reversed(groups(pixels, len(tiles.shapes)).items()):
        put(path, plain(text))


def _pixels(tiles: SceneTiles, size_um: tuple[float, float] | None) -> Pixels:
    spacing = {} if size_um is None else {"y": size_um[0], "x": size_um[1]}
    return Pixels(
        product=tiles.product,
        axes="yx" if tiles.product.kind == "classes" else "cyx",
        spacing=spacing,
        unit=None if size_um is None else "micrometer",
    )


def _write_level(sink: Sink, tiles: SceneTiles, level: int) -> Written:
    product = tiles.product
    rows, cols = tiles.num_rows(level), len(tiles.lengths(level)) // tiles.num_rows(level)
    is_mask = product.kind == "classes"
    shard = ShardWriter(sink, (rows, cols) if is_mask else (product.num_bands, rows, cols))
    for row in range(rows):
        for col, data in enumerate(tiles.encoded_row(level, row)):
            if is_mask and tiles.codec.name == "zstd":
                # Class ids have no predictor: the tile's bytes are the chunk's.
                shard.put((row, col), data)
                continue
            bands = decode_tile(data, product, tiles.codec)
            if is_mask:
                shard.put((row, col), encoded(bands[0]))
                continue
            for band, chunk in enumerate(bands):
                shard.put((band, row, col), encoded(chunk))
    return shard.finish()
