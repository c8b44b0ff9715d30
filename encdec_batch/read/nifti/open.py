"""Slices of a NIfTI, across the axis of the patient that is asked for.

Which voxel is which pixel is said by `SliceAxes` (header.py): nothing is flipped or resampled. Across k, which
the file has slowest, a slice is one range of bytes, and rows of it are what is fetched (rows.py). Across i or j
its voxels lie apart, and in a .nii.gz nothing can be found without what lies before: there the volume is fetched once,
whole, turned so that each slice lies in one piece (turned.py), and kept for readers of its other slices (volume.py).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import SceneUnreadable, UnsupportedScene
from encdec_batch.read.contents import Contents
from encdec_batch.read.geometry import VolumeGeometry
from encdec_batch.read.gunzip import MAGIC as GZIP_MAGIC
from encdec_batch.read.gunzip import MOST_TIMES, first_bytes
from encdec_batch.read.header import SceneHeader
from encdec_batch.read.nifti.header import (
    FURTHER_AXES,
    HEADER_BYTES,
    NiftiHeader,
    SliceAxes,
    is_nifti,
    read_nifti_header,
)
from encdec_batch.read.nifti.rows import RowsOfSlice
from encdec_batch.read.nifti.volume import SliceOfVolume, VolumeSource
from encdec_batch.read.options import ReadOptions
from encdec_batch.read.patch import Patch
from encdec_batch.read.pinned_reader import PinnedReader
from encdec_batch.read.plane import WHOLE, Plane
from encdec_batch.read.ranges import PAGE_BYTES, PinnedObject
from encdec_batch.read.reader import Rule
from encdec_batch.read.recent import Recent
from encdec_batch.read.request import check_request
from encdec_batch.read.stored_types import as_pixels, pixel_type
from encdec_batch.read.validity import valid_of_bands
from encdec_batch.window import Window

SLICE = "slice"
"""The name of the axis that slices are counted along."""


class SliceSource(Protocol):
    """Where the voxels of one slice come from."""

    def rows(self, start: int, stop: int) -> NDArray[np.generic]:
        """Stored values, (rows, columns, samples); not to be written to."""

    def cost(self, rows: Sequence[tuple[int, int]]) -> int:
        """Bytes that will be fetched when these are asked for next, in this order."""

    def close(self) -> None:
        """Forgets what it holds."""


class NiftiReader(PinnedReader):
    """A `Reader` of one slice."""

    def __init__(self, source: PinnedObject, voxels: SliceSource, header: SceneHeader) -> None:
        super().__init__(source, header)
        self._source, self._voxels = source, voxels

    def read(self, window: Window, bands: Sequence[int], *, rule: Rule, nan_is_nodata: bool = True) -> Patch:
        """See `Reader.read`."""
        check_request(self._header, window, bands, uri=self._source.uri)
        rows_HWB = self._voxels.rows(window.row_off, window.row_stop)
        stored_BHW = np.moveaxis(rows_HWB[:, window.cols][..., [band - 1 for band in bands]], -1, 0)
        pixels = as_pixels(stored_BHW, uri=self._source.uri)
        valid = valid_of_bands(pixels, [None] * len(bands), rule=rule, nan_is_nodata=nan_is_nodata)
        return Patch(pixels=pixels, valid_mask=valid)

    def bytes_for(self, windows: Sequence[Window], bands: Sequence[int]) -> int:
        """See `Reader.bytes_for`."""
        for window in windows:
            check_request(self._header, window, bands, uri=self._source.uri)
        return self._voxels.cost([(window.row_off, window.row_stop) for window in windows])

    def thumbnail(self, max_side: int) -> Patch:
        """See `Reader.thumbnail`."""
        header = self._header
        decoded = header.height * header.width * header.num_bands * np.dtype(header.dtype).itemsize
        if decoded > self._source.limits.max_decoded_bytes:
            raise UnsupportedScene(
                f"{self._source.uri}: a slice is too large to read for a thumbnail",
                hint="convert it to OME-Zarr with several levels",
                uri=self._source.uri,
            )
        patch = self.read(Window(0, 0, header.width, header.height), range(1, header.num_bands + 1), rule="all")
        return patch.thinned(max_side)

    def close(self) -> None:
        """See `Reader.close`."""
        self._voxels.close()
        self._source.forget()


def open_nifti(source: PinnedObject, plane: Plane, options: ReadOptions) -> NiftiReader:
    """A reader of one slice of a .nii or .nii.gz.

    Raises:
        SceneUnreadable: it contradicts itself or the object's size.
        UnsupportedScene: it is of a kind that is not read, or beyond the limits; there is no such slice.
        ExtraMissing: nibabel is not installed.
    """
    nifti, packed = _header_of(source)
    axes = nifti.slices(options.axis)
    index, volume = _place(nifti, axes, plane, source.uri)
    by_rows = axes.across == 2 and not packed
    held = "" if by_rows else "all" if packed else str(volume)
    if not by_rows:
        _check_volume(nifti, source, packed=packed)
    voxels: SliceSource
    if by_rows:
        voxels = rows = RowsOfSlice(source, nifti, index=index, volume=volume)
        tile_height, encoded = rows.rows_of_strip, rows.num_bytes
    else:
        origin = VolumeSource(source=source, nifti=nifti, axes=axes, volume=volume, packed=packed)
        voxels = SliceOfVolume(origin, index=index)
        tile_height, encoded = nifti.shape[axes.rows], source.size if packed else nifti.volume_bytes
    scene = SceneHeader(
        driver="NIfTI",
        height=nifti.shape[axes.rows],
        width=nifti.shape[axes.cols],
        num_bands=nifti.num_samples,
        dtype=pixel_type(nifti.voxel),
        nodata=(None,) * nifti.num_samples,
        mask="none",
        scales=(nifti.scaling[0],) * nifti.num_samples,
        offsets=(nifti.scaling[1],) * nifti.num_samples,
        band_names=(None,) * nifti.num_samples,
        crs_wkt=None,
        transform=None,
        gcps=(),
        gcps_crs_wkt=None,
        layout="striped" if by_rows else "whole",
        tile_height=tile_height,
        tile_width=nifti.shape[axes.cols],
        compression="GZIP" if packed else "NONE",
        planar=False,
        encoded_bytes=encoded,
        pixel_size_um=_pixel_size(nifti, axes),
        volume=held,
    )
    if scene.height * scene.width > source.limits.max_pixels:
        raise UnsupportedScene(
            f"{source.uri}: a slice has {scene.width:,} x {scene.height:,} px, more than {source.limits.max_pixels:,}",
            hint="cut it into several volumes, or raise limits.max_planes",
            uri=source.uri,
        )
    return NiftiReader(source, voxels, scene)


def contents_of_nifti(source: PinnedObject, options: ReadOptions) -> Contents:
    """Its slices; of a series of volumes (t, and further dimensions), those of the first come first.

    Raises:
        As `open_nifti`.
    """
    nifti, _ = _header_of(source)
    num_slices = nifti.shape[nifti.slices(options.axis).across]
    if num_slices * math.prod(nifti.further) > source.limits.max_planes:
        raise UnsupportedScene(
            f"{source.uri}: {num_slices * math.prod(nifti.further):,} slices, more than {source.limits.max_planes:,}",
            hint="cut it into several volumes, or raise limits.max_planes",
            uri=source.uri,
        )
    # t runs slower than slices, u slower than t, and so on.
    outer = itertools.product(*(range(size) for size in reversed(nifti.further)))
    planes = (
        _plane(nifti, index=index, volume=tuple(reversed(volume)), num_slices=num_slices)
        for volume in outer
        for index in range(num_slices)
    )
    return Contents(
        medical=True,
        planes=tuple(planes),
        stacked_along=SLICE if num_slices > 1 else None,
        geometry=_geometry(nifti, nifti.slices(options.axis)),
    )


def _geometry(nifti: NiftiHeader, axes: SliceAxes) -> VolumeGeometry:
    i, j, k = ((float(a), float(b), float(c), float(d)) for a, b, c, d in nifti.affine[:3])
    shape = nifti.shape[axes.rows], nifti.shape[axes.cols]
    return VolumeGeometry(affine=(i, j, k), across=axes.across, rows=axes.rows, cols=axes.cols, shape=shape)


def _plane(nifti: NiftiHeader, *, index: int, volume: Sequence[int], num_slices: int) -> Plane:
    """An axis along which there is only one index is not named."""
    named = zip(FURTHER_AXES, nifti.further, volume, strict=False)
    indices = {axis: at for axis, size, at in named if size > 1}
    return Plane.of(**indices, **({SLICE: index} if num_slices > 1 else {}))


_headers: Recent[tuple[NiftiHeader, bool]] = Recent(8)
"""Each slice is a scene, and opens the file anew."""


def _header_of(source: PinnedObject) -> tuple[NiftiHeader, bool]:
    """The header, and whether the file is packed; the sizes that it promises fit the object."""
    return _headers.get(source, partial(_read_header, source))


def _read_header(source: PinnedObject) -> tuple[NiftiHeader, bool]:
    head = source.bytes_at(0, HEADER_BYTES)
    packed = head.startswith(GZIP_MAGIC)
    if packed:
        head = first_bytes(source.bytes_at(0, PAGE_BYTES), HEADER_BYTES, uri=source.uri)
        if not is_nifti(head):
            raise UnsupportedScene(
                f"{source.uri}: a gzip that does not begin with a NIfTI",
                hint="unpack it, if it holds another image",
                uri=source.uri,
            )
    nifti = read_nifti_header(head, uri=source.uri)
    promised = nifti.start + nifti.all_bytes
    if promised > source.size * (MOST_TIMES if packed else 1):
        raise SceneUnreadable(
            f"{source.uri}: its header promises {promised:,} bytes, and the object has {source.size:,}"
            + (" of gzip, which hold fewer" if packed else ""),
            hint="the file is damaged or truncated; fetch it anew",
            uri=source.uri,
        )
    return nifti, packed


def _check_volume(nifti: NiftiHeader, source: PinnedObject, *, packed: bool) -> None:
    limit = source.limits.max_volume_bytes
    held = nifti.all_bytes if packed else nifti.volume_bytes
    if held > limit:
        why = "packed by gzip, it" if packed else "its slices across this axis lie apart, so that the volume"
        raise UnsupportedScene(
            f"{source.uri}: {why} is held whole, and has {held:,} bytes, more than {limit:,}",
            hint=("gunzip it, " if packed else "read it across its slowest axis (source.axis), ")
            + "convert it to OME-Zarr, or raise limits.max_volume_mib",
            uri=source.uri,
        )


def _place(nifti: NiftiHeader, axes: SliceAxes, plane: Plane, uri: str) -> tuple[int, int]:
    """Index of the slice, and of its volume among all."""
    sizes = dict(zip(FURTHER_AXES, nifti.further, strict=False))
    sizes = {SLICE: nifti.shape[axes.across], **sizes}
    named = dict(plane.indices)
    if any(axis not in named and size > 1 for axis, size in sizes.items()):
        asked = "none of its slices is named" if plane == WHOLE else f"{plane} names no single slice"
        raise UnsupportedScene(
            f"{uri}: {asked}, and it has {' x '.join(str(size) for size in sizes.values())} along {', '.join(sizes)}",
            hint="name one",
            uri=uri,
        )
    if any(not 0 <= at < sizes.get(axis, 1) for axis, at in named.items()):
        raise UnsupportedScene(f"{uri}: it has no slice {plane}", hint="it was planned of another file", uri=uri)
    volume = 0
    for axis, size in reversed(list(zip(FURTHER_AXES, nifti.further, strict=False))):
        volume = volume * size + named.get(axis, 0)
    return named.get(SLICE, 0), volume


def _pixel_size(nifti: NiftiHeader, axes: SliceAxes) -> tuple[float, float] | None:
    height, width = nifti.spacing_um[axes.rows], nifti.spacing_um[axes.cols]
    return None if height is None or width is None else (height, width)
