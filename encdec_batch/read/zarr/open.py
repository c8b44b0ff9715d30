"""Planes of an OME-Zarr image: windows of one level, whose chunks we fetch and unpack.

An axis along which there is only one index is not named by a plane. Chunks that are missing have the array's fill
value, which is what writers leave out; where that is undefined (null) nobody can say what they held, and their pixels
are invalid.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.contents import Contents
from encdec_batch.read.folder import PinnedFolder
from encdec_batch.read.header import SceneHeader
from encdec_batch.read.options import ReadOptions
from encdec_batch.read.patch import Patch
from encdec_batch.read.pinned_reader import PinnedReader
from encdec_batch.read.plane import WHOLE, Plane
from encdec_batch.read.reader import Rule
from encdec_batch.read.request import check_request
from encdec_batch.read.stored_types import as_pixels, pixel_type
from encdec_batch.read.validity import valid_of_bands
from encdec_batch.read.zarr.array import ZarrArray
from encdec_batch.read.zarr.codecs import check_installed
from encdec_batch.read.zarr.ome import Image, read_array, read_image, wanted_level
from encdec_batch.read.zarr.plane import AxisName, ZarrPlane
from encdec_batch.window import Window

_NOT_PLANE = ("c", "y", "x")


@dataclass(frozen=True, slots=True, kw_only=True)
class _OpenLevel:
    """A level, and the plane in it."""

    number: int
    array: ZarrArray
    voxels: ZarrPlane


class OmeZarrReader(PinnedReader):
    """A `Reader` of one plane of one level; its bands are the channels.

    Keeps the packed chunks of the last window, the right-hand ones first, for its neighbour to the right.
    """

    def __init__(self, folder: PinnedFolder, image: Image, level: _OpenLevel, plane: Plane) -> None:
        super().__init__(folder, _scene_header(image, level, _downsample(folder, image, level)))
        self._folder, self._image, self._level, self._plane = folder, image, level, plane

    def read(self, window: Window, bands: Sequence[int], *, rule: Rule, nan_is_nodata: bool = True) -> Patch:
        """See `Reader.read`."""
        check_request(self._header, window, bands, uri=self._folder.uri)
        return self._read(self._level.voxels, window, bands, rule=rule, nan_is_nodata=nan_is_nodata)

    def bytes_for(self, windows: Sequence[Window], bands: Sequence[int]) -> int:
        """See `Reader.bytes_for`. Where chunks lie in shards is looked up here, if it was not yet."""
        for window in windows:
            check_request(self._header, window, bands, uri=self._folder.uri)
        total, held = 0, set(self._folder.held)
        for chunks in self._level.voxels.find(windows, [band - 1 for band in bands]):
            total += self._folder.cost([chunk.piece for chunk in chunks if chunk.piece is not None], held)
            held = self._level.voxels.kept(chunks)
        return total

    def thumbnail(self, max_side: int) -> Patch:
        """See `Reader.thumbnail`: of the coarsest level that is large enough."""
        level = self._level
        for number in range(level.number + 1, len(self._image.levels)):
            shape, coarser = level.array.shape, read_array(self._folder, self._image, number).shape
            # A level that has fewer z or t has other planes than this one.
            if coarser[:-2] != shape[:-2] or not max_side <= max(coarser[-2:]) < max(shape[-2:]):
                break
            level = _open_level(self._folder, self._image, number, self._plane)
        height, width = level.array.shape[-2:]
        limits = self._folder.limits
        decoded = height * width * self._header.num_bands * np.dtype(self._header.dtype).itemsize
        if decoded > limits.max_decoded_bytes or level.voxels.objects()[2] > limits.max_thumbnail_bytes:
            raise UnsupportedScene(
                f"{self._folder.uri}: no level of {max_side} px, and the finer ones are too large to read for one",
                hint="write it anew with more levels",
                uri=self._folder.uri,
            )
        bands = range(1, self._header.num_bands + 1)
        patch = self._read(level.voxels, Window(0, 0, width, height), bands, rule="all", nan_is_nodata=True)
        self._folder.keep(())
        return patch.thinned(max_side)

    def close(self) -> None:
        """See `Reader.close`."""
        self._folder.keep(())

    def _read(
        self, voxels: ZarrPlane, window: Window, bands: Sequence[int], *, rule: Rule, nan_is_nodata: bool
    ) -> Patch:
        numbers = [band - 1 for band in bands]
        [chunks] = voxels.find([window], numbers)
        self._folder.hold([chunk.piece for chunk in chunks if chunk.piece is not None])
        values = voxels.read(window, numbers, chunks)
        self._folder.keep(voxels.kept(chunks))
        pixels = as_pixels(values.pixels_BHW, uri=self._folder.uri, copy=False)
        valid = valid_of_bands(pixels, [None] * len(bands), rule=rule, nan_is_nodata=nan_is_nodata)
        if values.there_BHW is not None:
            there = values.there_BHW
            if nan_is_nodata and pixels.dtype.kind == "f":
                there = there & ~np.isnan(pixels)
            valid = np.asarray(there.all(axis=0) if rule == "any" else there.any(axis=0))
        return Patch(pixels=pixels, valid_mask=valid)


def open_ome_zarr(folder: PinnedFolder, plane: Plane, options: ReadOptions) -> OmeZarrReader:
    """A reader of one plane.

    Raises:
        SceneUnreadable: no OME-Zarr, or one that contradicts itself.
        UnsupportedScene: it is of a kind that is not read, or beyond the limits; there is no such plane.
        ExtraMissing: a codec of its chunks is not installed.
    """
    image = read_image(folder)
    level = _open_level(folder, image, wanted_level(image, options.um_per_px), plane)
    return OmeZarrReader(folder, image, level, plane)


def contents_of_ome_zarr(folder: PinnedFolder, options: ReadOptions) -> Contents:
    """Its planes at the level that is asked for; those of the first point in time come first. Raises: as above."""
    image = read_image(folder)
    array = read_array(folder, image, wanted_level(image, options.um_per_px))
    sizes = _plane_sizes(image, array)
    num_t, num_z = sizes.get("t", 1), sizes.get("z", 1)
    if num_t * num_z > folder.limits.max_planes:
        raise UnsupportedScene(
            f"{folder.uri}: {num_t * num_z:,} planes, more than {folder.limits.max_planes:,}",
            hint="cut it into several images, or raise limits.max_planes",
            uri=folder.uri,
        )
    planes = (
        Plane.of(**({"t": t} if num_t > 1 else {}), **({"z": z} if num_z > 1 else {}))
        for t, z in itertools.product(range(num_t), range(num_z))
    )
    return Contents(planes=tuple(planes), stacked_along="z" if num_z > 1 else None)


def _plane_sizes(image: Image, array: ZarrArray) -> dict[AxisName, int]:
    return {name: size for name, size in zip(image.axes, array.shape, strict=True) if name not in _NOT_PLANE}


def _open_level(folder: PinnedFolder, image: Image, number: int, plane: Plane) -> _OpenLevel:
    array = read_array(folder, image, number)
    checked = array.shards is not None and array.shards.index_checked
    check_installed((*array.codecs, "crc32c") if checked else array.codecs, uri=folder.uri)
    at = _indices(_plane_sizes(image, array), plane, uri=folder.uri)
    level = _OpenLevel(number=number, array=array, voxels=ZarrPlane(folder, array, image.axes, at))
    _check_limits(folder, image, level)
    return level


def _indices(sizes: dict[AxisName, int], plane: Plane, *, uri: str) -> dict[AxisName, int]:
    named = dict(plane.indices)
    if any(name not in named and size > 1 for name, size in sizes.items()):
        asked = "none of its planes is named" if plane == WHOLE else f"{plane} names no single plane"
        said = ", ".join(f"{size} along {name}" for name, size in sizes.items())
        raise UnsupportedScene(f"{uri}: {asked}, and it has {said}", hint="name one", uri=uri)
    known = {str(name): size for name, size in sizes.items()}
    if any(not 0 <= at < known.get(name, 1) for name, at in named.items()):
        raise UnsupportedScene(f"{uri}: it has no plane {plane}", hint="it was planned of another image", uri=uri)
    return {name: named.get(name, 0) for name in sizes}


def _check_limits(folder: PinnedFolder, image: Image, level: _OpenLevel) -> None:
    array = level.array
    height, width = array.shape[-2:]
    limits = folder.limits
    num_bands = _num_bands(image, array)
    if height * width > limits.max_pixels or num_bands > limits.max_bands:
        what, way_out = f"{width:,} x {height:,} px of {num_bands:,} channels", "cut it into several images"
    elif array.chunk_bytes > limits.max_decoded_bytes:
        what = f"chunks of {array.chunk_bytes:,} bytes"
        way_out = "write it anew with smaller chunks, or raise limits.max_tile_mb"
    elif level.voxels.num_chunks > limits.max_chunks:
        what = f"{level.voxels.num_chunks:,} chunks in a plane"
        way_out = "write it anew with larger chunks, or raise limits.max_objects"
    else:
        return
    raise UnsupportedScene(f"{folder.uri}: it has {what}, more than is read", hint=way_out, uri=folder.uri)


def _num_bands(image: Image, array: ZarrArray) -> int:
    return array.shape[image.axes.index("c")] if "c" in image.axes else 1


def _downsample(folder: PinnedFolder, image: Image, level: _OpenLevel) -> tuple[float, float]:
    """Height and width of a pixel in those of the finest level, as the image says it; else by their numbers."""
    own, finest = image.levels[level.number].pixel_size_um, image.levels[0].pixel_size_um
    if level.number == 0:
        return 1.0, 1.0
    if own is not None and finest is not None:
        return own[0] / finest[0], own[1] / finest[1]
    height, width = read_array(folder, image, 0).shape[-2:]
    return height / level.array.shape[-2], width / level.array.shape[-1]


def _scene_header(image: Image, level: _OpenLevel, downsample: tuple[float, float]) -> SceneHeader:
    array = level.array
    num_bands = _num_bands(image, array)
    num_objects, num_there, num_bytes = level.voxels.objects()
    may_lack = array.fill is None and (array.shards is not None or num_there < num_objects)
    bands_of_chunk = array.chunk[image.axes.index("c")] if "c" in image.axes else 1
    packed = [name for name in array.codecs if name != "crc32c"]
    return SceneHeader(
        driver="OME-Zarr",
        height=array.shape[-2],
        width=array.shape[-1],
        num_bands=num_bands,
        dtype=pixel_type(array.dtype),
        nodata=(None,) * num_bands,
        mask="nodata" if may_lack else "none",
        scales=(1.0,) * num_bands,
        offsets=(0.0,) * num_bands,
        band_names=(None,) * num_bands,
        crs_wkt=None,
        transform=None,
        gcps=(),
        gcps_crs_wkt=None,
        layout="tiled",
        tile_height=array.chunk[-2],
        tile_width=array.chunk[-1],
        compression="+".join(packed).upper() or "NONE",
        planar=bands_of_chunk < num_bands,
        encoded_bytes=num_bytes,
        pixel_size_um=image.levels[level.number].pixel_size_um,
        level0_downsample=downsample,
    )
