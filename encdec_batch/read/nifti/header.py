"""What the header of a NIfTI says: the voxels of its volume, and where in a patient their axes lead.

Source: NIfTI-1 data format, https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h; NIfTI-2, nifti2.h there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import ExtraMissing, SceneUnreadable, UnsupportedScene
from encdec_batch.read.imported import imported
from encdec_batch.read.options import Axis

HEADER_BYTES = 544
"""Enough of a file for either header, with the four bytes that tell of extensions."""
SINGLE_MAGICS = (b"n+1\0", b"n+2\0")
PAIR_MAGICS = (b"ni1\0", b"ni2\0")
FURTHER_AXES = ("t", "u", "v", "w")
"""Names of dimensions 4 to 7: as niftilib's nt, nu, nv, nw."""

_NEWLINES = b"\r\n\x1a\n"
"""Behind the magic of NIfTI-2: a transfer as text would change them."""
_RGB = 128
_TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    _RGB: "u1",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
_NOT_READ = {
    1: "single bits",
    32: "complex",
    1536: "floats of 128 bits",
    1792: "complex",
    2048: "complex",
    2304: "colours with opacity",
}
_UM = {1: 1e6, 2: 1e3, 3: 1.0}
"""Micrometres in a metre, a millimetre and a micrometre, by the low three bits of xyzt_units."""
_PATIENT_AXIS: dict[Axis, int] = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Which of left-right, back-front and feet-head slices are counted along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceAxes:
    """Which voxel axis (0, 1, 2: i, j, k) slices are counted along, and which two their rows and columns are.

    A slice is the volume at one index of `across`, nothing flipped: columns follow the earlier of the other two axes,
    rows the later, so `volume[:, :, k] == slice.T`, and likewise across i and j.
    """

    across: int
    rows: int
    cols: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NiftiHeader:
    """What is needed to find and understand the voxels."""

    shape: tuple[int, int, int]
    """Voxels along i, j, k. In the file i runs fastest."""
    further: tuple[int, ...]
    """Sizes of the dimensions after these (t, u, v, w), up to the last that is larger than 1."""
    voxel: np.dtype[Any]
    """Of one sample, in the file's byte order."""
    num_samples: int
    """Of a voxel: 3 in RGB."""
    start: int
    """Byte of the file, unpacked, where voxels begin."""
    scaling: tuple[float, float]
    """Slope and intercept: value = stored * slope + intercept."""
    affine: NDArray[np.float64]
    """(4, 4), voxel indices to millimetres right, forward and up of the patient, as nibabel has it."""
    nearest: tuple[float, ...]
    """By i, j, k, the patient's axis that each runs closest to: as nibabel has it, from the affine."""
    spacing_um: tuple[float | None, float | None, float | None]
    """Of voxels along i, j, k; None where the file gives no unit or no number."""

    @property
    def voxel_bytes(self) -> int:
        return self.voxel.itemsize * self.num_samples

    @property
    def volume_bytes(self) -> int:
        """Of one volume i, j, k."""
        return math.prod(self.shape) * self.voxel_bytes

    @property
    def all_bytes(self) -> int:
        """Of all volumes."""
        return self.volume_bytes * math.prod(self.further)

    def slices(self, axis: Axis) -> SliceAxes:
        """Across the voxel axis that runs closest to this axis of the patient. No two axes share a voxel axis."""
        across = self.nearest.index(_PATIENT_AXIS[axis])
        cols, rows = (voxel for voxel in range(3) if voxel != across)
        return SliceAxes(across=across, rows=rows, cols=cols)


def is_nifti(head: bytes) -> bool:
    """Whether an object begins like a NIfTI, of any kind, or like the Analyze header that NIfTI-1 grew out of."""
    return _magic(head) != b"" or head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c")


def read_nifti_header(head: bytes, *, uri: str) -> NiftiHeader:
    """The header in the first `HEADER_BYTES` of a file, unpacked. All that it says of sizes is a claim.

    Raises:
        SceneUnreadable: it contradicts itself.
        UnsupportedScene: a pair of files, Analyze, or voxels that are not read.
        ExtraMissing: nibabel is not installed.
    """
    magic = _magic(head)
    if magic not in SINGLE_MAGICS:
        kind = "the header of a pair of files (.hdr, .img)" if magic else "an Analyze 7.5 header, which has no affine"
        raise UnsupportedScene(f"{uri}: {kind}", hint="save it as one .nii, e.g. nibabel.save(image, 'x.nii')", uri=uri)
    header = _by_nibabel(head, magic, uri)
    sizes = _sizes(header["dim"], uri)
    further = sizes[3:]
    while further and further[-1] == 1:
        further = further[:-1]
    code = int(header["datatype"])
    if code not in _TYPES:
        what = _NOT_READ.get(code, f"of unknown type {code}")
        raise UnsupportedScene(f"{uri}: its voxels are {what}", hint="convert it to int16, uint16 or float32", uri=uri)
    affine = _affine(header, uri)
    return NiftiHeader(
        shape=(sizes[0], sizes[1], sizes[2]),
        further=further,
        voxel=np.dtype(_TYPES[code]).newbyteorder(header.endianness),
        num_samples=3 if code == _RGB else 1,
        start=_start(header, magic, uri),
        scaling=_scaling(header, uri) if code != _RGB else (1.0, 0.0),
        affine=affine,
        nearest=tuple(imported("nibabel.orientations").io_orientation(affine)[:, 0].tolist()),
        spacing_um=_spacing(header),
    )


def _magic(head: bytes) -> bytes:
    if head[344:348] in (SINGLE_MAGICS[0], PAIR_MAGICS[0]):
        return head[344:348]
    is_second = head[4:8] in (SINGLE_MAGICS[1], PAIR_MAGICS[1]) and head[8:12] == _NEWLINES
    return head[4:8] if is_second else b""


def _by_nibabel(head: bytes, magic: bytes, uri: str) -> Any:
    try:
        first, second = imported("nibabel.nifti1"), imported("nibabel.nifti2")
    except ImportError as error:
        raise ExtraMissing(
            f"{uri}: NIfTI is read by nibabel, which is not installed",
            hint='pip install "encdec-batch[medical]"',
            uri=uri,
        ) from error
    is_first = magic == SINGLE_MAGICS[0]
    kind: Any = first.Nifti1Header if is_first else second.Nifti2Header
    size = 348 if is_first else 540
    if len(head) < size:
        raise _damaged(uri, "it ends within its header")
    orders = {size.to_bytes(4, "little"): "<", size.to_bytes(4, "big"): ">"}
    if head[:4] not in orders:
        raise _damaged(uri, "its header gives itself a size that no NIfTI has")
    # Its own checks mend or print what they find, texts of the file included; what matters of them is below.
    return kind(head[:size], endianness=orders[head[:4]], check=False)


def _sizes(dim: NDArray[Any], uri: str) -> tuple[int, ...]:
    count = int(dim[0])
    sizes = tuple(int(size) for size in dim[1 : 1 + count]) if 1 <= count <= 7 else ()
    if not sizes or min(sizes) < 1:
        raise _damaged(uri, f"{count} dimensions of {' x '.join(str(int(size)) for size in dim[1:8])} voxels")
    return sizes + (1,) * (3 - len(sizes))


def _start(header: Any, magic: bytes, uri: str) -> int:
    offset = float(header["vox_offset"])
    least = 352 if magic == SINGLE_MAGICS[0] else 544
    if not (least <= offset < 1 << 53 and offset.is_integer()):
        raise _damaged(uri, f"its voxels begin at byte {offset:g}")
    return int(offset)


def _scaling(header: Any, uri: str) -> tuple[float, float]:
    slope, offset = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    if not math.isfinite(offset):
        raise _damaged(uri, f"its values are scaled by {slope:g} and moved by {offset:g}")
    return slope, offset


def _affine(header: Any, uri: str) -> NDArray[np.float64]:
    from nibabel.orientations import io_orientation
    from nibabel.spatialimages import HeaderDataError

    sizes = np.array(header["pixdim"])
    # As nibabel mends them when it opens a file: nifti1.h says what a qfac of 0 means; sizes have no sign.
    sizes[0] = -1 if sizes[0] == -1 else 1
    sizes[1:] = np.abs(sizes[1:])
    sizes[1:4][sizes[1:4] == 0] = 1
    mended = header.copy()
    mended["pixdim"] = sizes
    try:
        with np.errstate(all="ignore"):
            affine = np.array(mended.get_best_affine(), dtype=np.float64)
            # So that the sums of squares that nibabel takes of it are numbers too.
            usable = bool(np.all(np.abs(affine) < 1e100)) and not np.isnan(io_orientation(affine)).any()
    except (HeaderDataError, ValueError, ArithmeticError, np.linalg.LinAlgError):
        usable, affine = False, np.zeros((4, 4))
    if not usable:
        raise UnsupportedScene(
            f"{uri}: its affine gives its axes no directions",
            hint="correct it, e.g. nibabel's image.set_sform(affine), and save it anew",
            uri=uri,
        )
    return affine


def _spacing(header: Any) -> tuple[float | None, float | None, float | None]:
    unit = _UM.get(int(header["xyzt_units"]) & 0b111)
    sizes = [abs(float(size)) for size in header["pixdim"][1:4]]
    i, j, k = (size * unit if unit and math.isfinite(size) and size else None for size in sizes)
    return i, j, k


def _damaged(uri: str, what: str) -> SceneUnreadable:
    return SceneUnreadable(f"{uri}: {what}", hint="the file is damaged or truncated; fetch or write it anew", uri=uri)
