"""NIfTI-1 of a volume, slice by slice: the array that the slices were cut from, with its affine.

Source: https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h. Several bands are the fifth dimension, as its
NIFTI_INTENT_VECTOR has them.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.geometry import VolumeGeometry
from encdec_batch.volume.slices import SliceRasters
from encdec_batch.write.sink import CountingSink, Sink, Written

_GZIP = 31
"""zlib's window bits for a gzip of the largest window; without a name and a time in its header."""
_LEVEL = 6
_LARGEST = 32767
"""Voxels along an axis of a NIfTI-1."""
_NOWHERE = VolumeGeometry(affine=((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0)))


def write_nifti(sink: Sink, rasters: SliceRasters, *, packed: bool = True) -> Written:
    """The whole file; memory holds a slice, and a temporary file the volume where slices are not its slowest axis.

    Args:
        sink: takes the file.
        rasters: of the slices.
        packed: as .nii.gz.

    Raises:
        UnsupportedScene: an axis is too long for the format.
    """
    counting = CountingSink(sink)
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP) if packed else None
    for piece in _pieces(rasters):
        counting.write(packer.compress(piece) if packer else piece)
    if packer:
        counting.write(packer.flush())
    return counting.written


def _pieces(rasters: SliceRasters) -> Iterator[bytes]:
    geometry = rasters.order.geometry or _NOWHERE
    yield _header(rasters, geometry)
    dtype = np.dtype(rasters.order.product.dtype).newbyteorder("<")
    for band in range(1, rasters.order.product.num_bands + 1):
        slices = (np.ascontiguousarray(plane, dtype) for plane in rasters.band(band))
        if geometry.across == 2:
            # Rows follow j and columns i: as it lies in memory, a slice is what the file wants next.
            for plane in slices:
                yield plane.tobytes()
        else:
            yield from _turned(rasters, geometry, slices, dtype)


def _turned(
    rasters: SliceRasters, geometry: VolumeGeometry, slices: Iterator[NDArray[np.generic]], dtype: np.dtype[Any]
) -> Iterator[bytes]:
    """The same of a volume that was cut across another axis than the one its file has slowest."""
    shape = _shape(rasters, geometry)
    with tempfile.TemporaryFile() as file:
        volume = np.memmap(file, dtype, "w+", shape=shape, order="F")
        by_slice = np.moveaxis(volume, (geometry.across, geometry.rows, geometry.cols), (0, 1, 2))
        for number, plane in enumerate(slices):
            by_slice[number] = plane
        for k in range(shape[2]):
            yield volume[:, :, k].tobytes(order="F")


def _shape(rasters: SliceRasters, geometry: VolumeGeometry) -> tuple[int, int, int]:
    """Voxels along i, j, k."""
    return geometry.voxels(rasters.num_slices, rasters.shape)


def _header(rasters: SliceRasters, geometry: VolumeGeometry) -> bytes:
    from nibabel.nifti1 import Nifti1Header

    shape, product = _shape(rasters, geometry), rasters.order.product
    if max(*shape, product.num_bands) > _LARGEST:
        raise UnsupportedScene(
            f"a NIfTI has at most {_LARGEST} voxels along an axis, this volume {max(shape)}",
            hint="write it as OME-Zarr (output.files)",
        )
    make: Any = Nifti1Header  # nibabel has no types
    header = make(endianness="<")
    header.set_data_dtype(np.dtype(product.dtype))
    several = product.num_bands > 1
    header.set_data_shape((*shape, 1, product.num_bands) if several else shape)
    if several:
        header.set_intent("vector")
    known = rasters.order.geometry is not None
    affine = np.vstack([np.array(geometry.affine), [0.0, 0.0, 0.0, 1.0]])
    # A quaternion holds no shear: without it slices of a tilted gantry would lie elsewhere.
    has_qform = known and geometry.is_rectangular(shape)
    header.set_qform(affine, code="scanner" if has_qform else "unknown", strip_shears=True)
    header.set_sform(affine, code="scanner" if known else "unknown")
    header.set_xyzt_units("mm" if known else "unknown")
    header["scl_slope"], header["scl_inter"] = product.scale, product.offset
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    # Four zeros: no extensions follow.
    return bytes(header.binaryblock) + bytes(4)
