"""Test rasters, made by code: images whose values tell where they come from, and one file per way to write a TIFF."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import tifffile
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC

HEIGHT, WIDTH = 205, 301
"""Neither a multiple of a tile's side, so that the last tiles are cut."""
TILE = 64
TRANSFORM = Affine(0.5, 0, 500_000, 0, -0.5, 4_100_000)


def coordinate_image(
    bands: int, height: int, width: int, dtype: str = "uint8", *, origin: tuple[int, int] = (0, 0)
) -> NDArray[Any]:
    """(bands, height, width) whose values encode band, row and column.

    uint16 and wider: no two of the 200 x 300 px about a pixel are alike, so an offset, a flip or a halo can be read
    off a value. uint8: the same modulo a prime.
    """
    band, row, col = np.ogrid[0:bands, 0:height, 0:width].__iter__()
    row, col = row + origin[0], col + origin[1]
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (band * 1000.0 + row + col / 4096).astype(kind)
    if kind.itemsize == 1:
        return ((row * 13 + col * 3 + band * 101) % 251).astype(kind)
    return ((row * 307 + col + band * 7001) % 32749).astype(kind)


def blocky_image(bands: int, height: int, width: int) -> NDArray[np.uint8]:
    """As `coordinate_image`, but smooth, as codecs that lose something expect it."""
    band, row, col = np.ogrid[0:bands, 0:height, 0:width].__iter__()
    return (127 + 60 * np.sin(row / 17 + band) + 60 * np.cos(col / 23)).astype(np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to write a TIFF, and why it is in the list."""

    name: str
    why: str
    write: Callable[[Path], None] = field(repr=False)


def gtiff(
    pixels: NDArray[Any],
    *,
    after: Callable[[Any], None] | None = None,
    env: dict[str, Any] | None = None,
    tile: int | None = TILE,
    **profile: Any,
) -> Callable[[Path], None]:
    """What writes these pixels by GDAL, with creation options and something to be done before closing."""

    def write(path: Path) -> None:
        count, height, width = pixels.shape
        given = {"crs": "EPSG:32633", "transform": TRANSFORM, "dtype": pixels.dtype.name} | profile
        if tile is not None:
            given |= {"tiled": True, "blockxsize": tile, "blockysize": tile}
        shape = {"count": count, "height": height, "width": width}
        with rasterio.Env(**(env or {})), rasterio.open(path, "w", driver="GTiff", **shape, **given) as dataset:
            dataset.write(pixels)
            if after is not None:
                after(dataset)

    return write


def _image(dtype: str = "uint8", bands: int = 3) -> NDArray[Any]:
    return coordinate_image(bands, HEIGHT, WIDTH, dtype)


def _smooth(bands: int = 3) -> NDArray[Any]:
    return blocky_image(bands, HEIGHT, WIDTH)


def _holes() -> NDArray[np.bool_]:
    """True where a pixel is to be valid: a diagonal band is not."""
    row, col = np.ogrid[0:HEIGHT, 0:WIDTH].__iter__()
    return abs(row * 2 - col) > 40


def _with_alpha(pixels: NDArray[Any]) -> NDArray[Any]:
    pixels[-1] = np.where(_holes(), np.iinfo(pixels.dtype).max, 0)
    pixels[-1, 100:110, 100:120] = 1  # barely visible is still visible
    return pixels


def _write_mask(dataset: Any) -> None:
    dataset.write_mask(_holes())


def _codecs() -> list[Variant]:
    lossless = {
        "none": {},
        "deflate": {"compress": "DEFLATE"},
        "lzw": {"compress": "LZW"},
        "zstd": {"compress": "ZSTD"},
        "packbits": {"compress": "PACKBITS"},
        "lzma": {"compress": "LZMA"},
        "webp": {"compress": "WEBP", "WEBP_LOSSLESS": "YES"},
        "lerc": {"compress": "LERC"},
        "lerc_zstd": {"compress": "LERC_ZSTD"},
        "lerc_deflate": {"compress": "LERC_DEFLATE"},
    }
    variants = [
        Variant(
            name=f"codec_{name}",
            why=f"GDAL's {name}, bands together",
            write=gtiff(_image(), interleave="pixel", photometric="RGB", **options),
        )
        for name, options in lossless.items()
    ]
    bits = (coordinate_image(1, HEIGHT, WIDTH) > 120).astype(np.uint8)
    holes_f = np.where(_holes()[None], _image("float32", 1), np.float32(np.nan))
    return [
        *variants,
        Variant(name="codec_ccitt", why="one bit a pixel, runs", write=gtiff(bits, compress="CCITTFAX4", nbits=1)),
        Variant(
            name="lerc_float",
            why="a lossy float codec",
            write=gtiff(_image("float32", 1), compress="LERC", MAX_Z_ERROR=0.01),
        ),
        Variant(
            name="lerc_float_nan",
            why="LERC keeps NaN in a mask of its own, which other decoders turn into 0",
            write=gtiff(holes_f, compress="LERC", MAX_Z_ERROR=0),
        ),
    ]


def _predictors() -> list[Variant]:
    horizontal = [
        Variant(
            name=f"predictor2_{dtype}",
            why="differences are undone in the pixel's own width",
            write=gtiff(_image(dtype), compress="DEFLATE", predictor=2, interleave="pixel"),
        )
        for dtype in ("uint8", "int16", "uint16", "float32")
    ]
    floating = [
        Variant(
            name=f"predictor3_{dtype}",
            why="floats cut into bytes",
            write=gtiff(_image(dtype, 2), compress="DEFLATE", predictor=3, interleave="pixel"),
        )
        for dtype in ("float32", "float64")
    ]
    return [
        *horizontal,
        *floating,
        Variant(
            name="predictor2_planar",
            why="async-geotiff decodes it wrongly without a word",
            write=gtiff(_image("uint16", 4), compress="ZSTD", predictor=2, interleave="band"),
        ),
    ]


def _layouts() -> list[Variant]:
    rgb = {"interleave": "pixel"}
    big = {"ENDIANNESS": "BIG"}
    sparse = _image("uint8", 1)
    sparse[:, :, 100:] = 7
    return [
        Variant(name="big_endian", why="the other byte order", write=gtiff(_image("uint16"), **big)),
        Variant(
            name="big_endian_predictor",
            why="byte order and differences together",
            write=gtiff(_image("uint16"), compress="DEFLATE", predictor=2, **rgb, **big),
        ),
        Variant(
            name="big_endian_float",
            why="predictor 3 has an order of its own",
            write=gtiff(_image("float32", 1), compress="DEFLATE", predictor=3, **big),
        ),
        Variant(name="bigtiff", why="64-bit offsets", write=gtiff(_image("uint16"), compress="ZSTD", BIGTIFF="YES")),
        Variant(
            name="bigtiff_big_endian", why="both", write=gtiff(_image("uint16"), compress="LZW", BIGTIFF="YES", **big)
        ),
        Variant(name="planar", why="bands apart", write=gtiff(_image(), compress="DEFLATE", interleave="band")),
        Variant(name="strips", why="rows, not tiles", write=gtiff(_image(), tile=None, compress="LZW", **rgb)),
        Variant(
            name="strips_of_one_row",
            why="as many strips as rows",
            write=gtiff(_image(), tile=None, compress="DEFLATE", blockysize=1, **rgb),
        ),
        Variant(
            name="strips_planar",
            why="strips per band",
            write=gtiff(_image("int16", 4), tile=None, blockysize=16, compress="ZSTD", interleave="band"),
        ),
        Variant(
            name="one_strip",
            why="no windows at all",
            write=gtiff(_image(), tile=None, blockysize=HEIGHT, compress="DEFLATE", **rgb),
        ),
        Variant(
            name="one_strip_raw",
            why="GDAL reads rows of it where we think in strips",
            write=gtiff(_image("uint16"), tile=None, blockysize=HEIGHT, **rgb),
        ),
        Variant(
            name="tile_larger_than_image",
            why="one tile, mostly padding",
            write=gtiff(_image(), tile=512, compress="DEFLATE", **rgb),
        ),
        Variant(
            name="sparse",
            why="tiles that are not in the file have the nodata value",
            write=gtiff(sparse, compress="DEFLATE", SPARSE_OK="TRUE", nodata=7),
        ),
        Variant(
            name="bands_13",
            why="as Sentinel-2",
            write=gtiff(_image("uint16", 13), compress="DEFLATE", predictor=2, **rgb),
        ),
        Variant(name="copied_overviews", why="overviews and header at the front, GDAL's ghost area", write=_write_cog),
        Variant(name="overviews_behind", why="IFDs between the pixels", write=_write_overviews_behind),
    ]


def _write_cog(path: Path) -> None:
    pixels = coordinate_image(3, 1100, 900)
    gtiff(pixels, compress="DEFLATE", interleave="pixel", after=_write_mask_of(pixels), env=_INTERNAL)(
        path.with_suffix(".source")
    )
    from rasterio.shutil import copy

    copy(path.with_suffix(".source"), path, driver="COG", compress="DEFLATE", blocksize=256)
    path.with_suffix(".source").unlink()


def _write_mask_of(pixels: NDArray[Any]) -> Callable[[Any], None]:
    def write(dataset: Any) -> None:
        row, col = np.ogrid[0 : pixels.shape[1], 0 : pixels.shape[2]].__iter__()
        dataset.write_mask((row + col) % 97 > 20)

    return write


def _write_overviews_behind(path: Path) -> None:
    gtiff(coordinate_image(2, 700, 800, "uint16"), tile=128, compress="DEFLATE")(path)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4])


_INTERNAL = {"GDAL_TIFF_INTERNAL_MASK": "YES"}
_YCBCR = {"compress": "JPEG", "photometric": "YCbCr", "interleave": "pixel"}


def _jpegs() -> list[Variant]:
    return [
        Variant(name="jpeg_ycbcr", why="half the colour", write=gtiff(_smooth(), JPEG_QUALITY=85, **_YCBCR)),
        Variant(
            name="jpeg_rgb",
            why="no colour transform",
            write=gtiff(_smooth(), compress="JPEG", photometric="RGB", interleave="pixel"),
        ),
        Variant(name="jpeg_gray", why="one band", write=gtiff(_smooth(1), compress="JPEG")),
        Variant(name="jpeg_4", why="four bands", write=gtiff(_smooth(4), compress="JPEG", interleave="pixel")),
        Variant(name="jpeg_planar", why="a JPEG per band", write=gtiff(_smooth(3), compress="JPEG", interleave="band")),
        Variant(
            name="jpeg_strips", why="as scanners write", write=gtiff(_smooth(), tile=None, blockysize=16, **_YCBCR)
        ),
        Variant(
            name="jpeg_internal_mask",
            why="mask beside lossy pixels",
            write=gtiff(_smooth(), after=_write_mask, env=_INTERNAL, **_YCBCR),
        ),
        Variant(
            name="jpeg_other_subsampling",
            why="another library than GDAL's wrote it",
            write=lambda path: tifffile.imwrite(
                path,
                _smooth().transpose(1, 2, 0),
                tile=(64, 64),
                photometric="ycbcr",
                compression="jpeg",
                subsampling=(2, 1),
            ),
        ),
    ]


def _pixel_kinds() -> list[Variant]:
    one = {"compress": "DEFLATE"}
    bits = coordinate_image(1, HEIGHT, WIDTH, "uint16")
    return [
        Variant(name="float64", why="doubles", write=gtiff(_image("float64", 1), **one)),
        Variant(
            name="palette",
            why="indices are pixels",
            write=gtiff(_image("uint8", 1), photometric="palette", after=_palette, **one),
        ),
        Variant(name="bits_1", why="eight pixels a byte", write=gtiff((bits % 2).astype("uint8"), nbits=1, **one)),
        Variant(name="bits_4", why="two pixels a byte", write=gtiff((bits % 16).astype("uint8"), nbits=4, **one)),
        Variant(name="bits_12", why="two pixels in three bytes", write=gtiff(bits % 4096, nbits=12, **one)),
        Variant(name="float16", why="GDAL says float32", write=gtiff(_image("float32", 1), nbits=16, **one)),
        Variant(
            name="float16_predictor",
            why="float32 by predictor 3",
            write=gtiff(_image("float32", 1), nbits=16, predictor=3, **one),
        ),
        Variant(
            name="min_is_white",
            why="GDAL leaves the values as they are",
            write=gtiff(_image("uint8", 1), photometric="MINISWHITE", **one),
        ),
        Variant(
            name="cmyk",
            why="GDAL turns it into RGB",
            write=gtiff(_image("uint8", 4), photometric="CMYK", interleave="pixel", **one),
        ),
        Variant(
            name="foreign_float16",
            why="another writer's half floats",
            write=lambda path: tifffile.imwrite(
                path, _image("float32", 1)[0].astype("float16"), tile=(64, 64), compression="zlib"
            ),
        ),
        Variant(
            name="foreign_strips",
            why="another writer's strips: its own sizes, the last one short",
            write=lambda path: tifffile.imwrite(path, _image("uint16", 1)[0], rowsperstrip=40, compression="zlib"),
        ),
    ]


def _palette(dataset: Any) -> None:
    dataset.write_colormap(1, {index: (index, 255 - index, index // 2, 255) for index in range(256)})


def _masks() -> list[Variant]:
    rgba = {"photometric": "RGB", "ALPHA": "YES", "compress": "DEFLATE"}
    floats = np.where(_holes()[None], _image("float32", 2), np.float32(-9999))
    nans = np.where(_holes()[None], _image("float32", 2), np.float32(np.nan))
    nans[1, :20] = np.nan
    lowest = np.where(_holes()[None], _image("float32", 1), np.float32(-3.4e38))
    zeros = _image("uint16", 4)
    zeros[:, ~_holes()] = 0
    zeros[2, 30:60, 30:60] = 0
    return [
        Variant(
            name="internal_mask",
            why="validity in an image of its own",
            write=gtiff(_image(), after=_write_mask, env=_INTERNAL, compress="DEFLATE"),
        ),
        Variant(
            name="internal_mask_planar",
            why="one mask for bands apart",
            write=gtiff(_image("uint16", 4), after=_write_mask, env=_INTERNAL, compress="LZW", interleave="band"),
        ),
        Variant(
            name="alpha",
            why="alpha beside colour",
            write=gtiff(_with_alpha(_image("uint8", 4)), interleave="pixel", **rgba),
        ),
        Variant(
            name="alpha_uint16",
            why="alpha of 1 in 65,535 is still valid",
            write=gtiff(_with_alpha(_image("uint16", 4)), **rgba),
        ),
        Variant(
            name="alpha_planar",
            why="alpha must be fetched though nobody asks for its band",
            write=gtiff(_with_alpha(_image("uint8", 4)), interleave="band", **rgba),
        ),
        Variant(
            name="gray_alpha",
            why="two bands, one of them pixels",
            write=gtiff(_with_alpha(_image("uint8", 2)), ALPHA="YES"),
        ),
        Variant(
            name="alpha_and_nodata",
            why="rasterio lets alpha go first",
            write=gtiff(_with_alpha(_image("uint8", 4)), nodata=0, **rgba),
        ),
        Variant(name="nodata", why="a value says no", write=gtiff(floats, nodata=-9999, compress="DEFLATE")),
        Variant(name="nodata_any_all", why="bands disagree", write=gtiff(zeros, nodata=0, compress="DEFLATE")),
        Variant(name="nodata_nan", why="NaN says no", write=gtiff(nans, nodata=float("nan"), compress="DEFLATE")),
        Variant(name="nan_unsaid", why="NaN, and no nodata value", write=gtiff(nans, compress="DEFLATE")),
        Variant(
            name="nodata_rounded",
            why="written in decimal, not quite the float in the pixels",
            write=gtiff(lowest, nodata=-3.3999999521442643e38, compress="DEFLATE"),
        ),
        Variant(
            name="nodata_together",
            why="NODATA_VALUES: a pixel is invalid where every band has its own value",
            write=gtiff(zeros[:3], after=lambda dataset: dataset.update_tags(NODATA_VALUES="0 0 0"), interleave="band"),
        ),
    ]


def _places() -> list[Variant]:
    nowhere = {"crs": None, "transform": None, "compress": "DEFLATE"}
    return [
        Variant(name="gcps", why="placed by points", write=gtiff(_image("uint8", 1), after=_write_gcps, **nowhere)),
        Variant(
            name="rpcs", why="placed by a camera model", write=gtiff(_image("uint16", 1), after=_write_rpcs, **nowhere)
        ),
        Variant(name="nowhere", why="medicine has no map", write=gtiff(_image(), **nowhere)),
        Variant(
            name="described",
            why="scales, offsets and names of bands",
            write=gtiff(_image("int16", 2), after=_describe, compress="DEFLATE"),
        ),
    ]


def _write_gcps(dataset: Any) -> None:
    corners = [(0, 0, 10, 50, 5), (0, WIDTH, 11, 50, 0), (HEIGHT, 0, 10, 49, 0), (HEIGHT, WIDTH, 11, 49, 0)]
    dataset.gcps = [GroundControlPoint(*corner) for corner in corners], CRS.from_epsg(4326)


def _write_rpcs(dataset: Any) -> None:
    dataset.rpcs = RPC(
        height_off=100,
        height_scale=500,
        lat_off=45,
        lat_scale=0.1,
        line_den_coeff=[1] + [0] * 19,
        line_num_coeff=[0, 0, 1] + [0] * 17,
        line_off=350,
        line_scale=350,
        long_off=10,
        long_scale=0.1,
        samp_den_coeff=[1] + [0] * 19,
        samp_num_coeff=[0, 1] + [0] * 18,
        samp_off=450,
        samp_scale=450,
    )


def _describe(dataset: Any) -> None:
    dataset.scales, dataset.offsets = (0.0001, 0.001), (0.0, -273.15)
    dataset.set_band_description(2, "temperature")


VARIANTS: tuple[Variant, ...] = (
    *_codecs(),
    *_predictors(),
    *_layouts(),
    *_jpegs(),
    *_pixel_kinds(),
    *_masks(),
    *_places(),
)


def _refused() -> tuple[Variant, ...]:
    complex_pixels = _image("float32", 1) + 1j
    return (
        *(
            Variant(
                name=dtype, why="no card takes it", write=gtiff(_image("uint16", 1).astype(dtype), compress="DEFLATE")
            )
            for dtype in ("int8", "uint32", "int32", "uint64", "int64")
        ),
        Variant(name="complex64", why="radar before detection", write=gtiff(complex_pixels.astype("complex64"))),
        Variant(name="complex_int16", why="the same, in integers", write=gtiff(complex_pixels, dtype="complex_int16")),
    )


REFUSED_DTYPES: tuple[Variant, ...] = _refused()


def tiny_tiff(data: bytes, tags: Sequence[tuple[int, int, int]] = (), **fields: int) -> bytes:
    """A little-endian TIFF of one uint8 tile whose header says what it is told to.

    Args:
        data: the encoded tile, behind the header.
        tags: more (code, type, value), or others in place of the usual ones.
        fields: width, height, tile, compression, bands, size (of the tile, as the header says), next_ifd.
    """
    width, height = fields.get("width", 64), fields.get("height", 64)
    entries = {
        256: (4, width),
        257: (4, height),
        258: (3, 8),
        259: (3, fields.get("compression", 1)),
        262: (3, 1),
        277: (3, fields.get("bands", 1)),
        322: (4, fields.get("tile", 64)),
        323: (4, fields.get("tile", 64)),
        324: (4, 0),
        325: (4, fields.get("size", len(data))),
    }
    entries |= {code: (kind, value) for code, kind, value in tags}
    start = 8 + 2 + 12 * len(entries) + 4
    entries[324] = (4, start)
    body = b"II*\0" + struct.pack("<IH", 8, len(entries))
    for code, (kind, value) in sorted(entries.items()):
        body += struct.pack("<HHI", code, kind, 1) + struct.pack("<I" if kind == 4 else "<Hxx", value)
    return body + struct.pack("<I", fields.get("next_ifd", 0)) + data


def tiny_png(width: int, height: int, rows: bytes, *, end: bool = True) -> bytes:
    """A grey PNG of one byte a pixel; `rows` are its filtered rows before deflate."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows))] + ([(b"IEND", b"")] if end else [])
    pack = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(pack)
