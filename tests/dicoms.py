"""Small DICOM files made by pydicom, with identifiers planted wherever an image has them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.filewriter import dcmwrite
from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
from pydicom.uid import UID

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG, JPEG_12, JPEG_LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.70"
JPEG_LS, JPEG_LS_NEAR = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"
JPEG_2000, JPEG_2000_LOSSY = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"
HTJ2K = "1.2.840.10008.1.2.4.201"
RLE = "1.2.840.10008.1.2.5"

CT, MR, CR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.1"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
PLANTED = "PLANTED"
"""In everything that names a person, an examination or a place."""
UIDS = "1.2.826.0.1.3680043.8.498.77"
"""The root of what is planted as a UID."""
AXIAL = [1, 0, 0, 0, 1, 0]


def dataset(pixels: NDArray[Any], **elements: Any) -> Dataset:
    """A header of pixels.

    Args:
        pixels: (frames, rows, columns) or (frames, rows, columns, 3), or a frame without the first axis.
        elements: by keyword, in addition or in place; None leaves one out.
    """
    frames, rows, columns, samples = shape_of(pixels)
    bits = 8 * pixels.dtype.itemsize
    kind = pixels.dtype.kind
    given: dict[str, Any] = {
        "SOPClassUID": CT,
        "SOPInstanceUID": f"{UIDS}.1",
        "StudyInstanceUID": f"{UIDS}.2",
        "SeriesInstanceUID": f"{UIDS}.3",
        "FrameOfReferenceUID": f"{UIDS}.4",
        "PatientName": f"{PLANTED}^Name",
        "PatientID": f"{PLANTED}-ID",
        "PatientBirthDate": "19010203",
        "InstitutionName": f"{PLANTED} hospital",
        "AccessionNumber": f"{PLANTED}acc",
        "StudyDescription": f"{PLANTED} study",
        "ImageComments": f"{PLANTED} comment",
        "InstanceNumber": 7,
        "Rows": rows,
        "Columns": columns,
        "NumberOfFrames": frames if frames > 1 else None,
        "SamplesPerPixel": samples,
        "PhotometricInterpretation": "MONOCHROME2" if samples == 1 else "RGB",
        "PlanarConfiguration": 0 if samples > 1 else None,
        "BitsAllocated": bits,
        "BitsStored": bits if kind in "iu" else None,
        "HighBit": bits - 1 if kind in "iu" else None,
        "PixelRepresentation": int(kind == "i") if kind in "iu" else None,
    }
    made = Dataset()
    for keyword, value in (given | elements).items():
        if value is not None:
            setattr(made, keyword, value)
    private = made.private_block(0x0009, "PLANTED creator", create=True)
    private.add_new(0x01, "LO", f"{PLANTED} private")
    return made


def item(**elements: Any) -> Dataset:
    """Of a sequence."""
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def native(pixels: NDArray[Any], syntax: str = EXPLICIT, *, data: bytes | None = None, **elements: Any) -> bytes:
    """A file whose pixels are not encapsulated; `data` in place of them."""
    made = dataset(pixels, **elements)
    order = ">" if syntax == BIG_ENDIAN else "<"
    body = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes() if data is None else data
    keyword = {"f4": "FloatPixelData", "f8": "DoubleFloatPixelData"}.get(pixels.dtype.str[1:], "PixelData")
    setattr(made, keyword, body + bytes(len(body) % 2))
    if keyword == "PixelData":
        made["PixelData"].VR = "OW" if made.BitsAllocated > 8 else "OB"
    return written(made, syntax)


def encapsulated(
    pixels: NDArray[Any],
    syntax: str,
    encode: Callable[[NDArray[Any]], bytes],
    *,
    table: bool = True,
    extended: bool = False,
    fragments: int = 1,
    **elements: Any,
) -> bytes:
    """A file of frames, each encoded."""
    made = dataset(pixels, **elements)
    frames = [encode(frame) for frame in pixels.reshape(-1, *pixels.shape[-2 if shape_of(pixels)[3] == 1 else -3 :])]
    if extended:
        made.PixelData, made.ExtendedOffsetTable, made.ExtendedOffsetTableLengths = encapsulate_extended(frames)
    else:
        made.PixelData = encapsulate(frames, fragments_per_frame=fragments, has_bot=table)
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    return written(made, syntax)


def written(made: Dataset, syntax: str) -> bytes:
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(syntax)
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        setattr(made.file_meta, f"MediaStorage{keyword}", made.get(keyword, f"{UIDS}.9"))
    file = io.BytesIO()
    dcmwrite(file, made, enforce_file_format=True)
    return file.getvalue()


def shape_of(pixels: NDArray[Any]) -> tuple[int, int, int, int]:
    """Frames, rows, columns, samples."""
    samples = 3 if pixels.ndim > 2 and pixels.shape[-1] == 3 else 1
    shape = pixels.shape[:-1] if samples == 3 else pixels.shape
    return (1, *shape, samples) if len(shape) == 2 else (*shape, samples)


def rle(frame: NDArray[Any]) -> bytes:
    """PS3.5, annex G, without runs: 128 bytes at a time as they are, the leading byte of each cell first."""
    cells = np.ascontiguousarray(frame.astype(frame.dtype.newbyteorder(">"))).reshape(*frame.shape[:2], -1)
    bytes_HWN = cells.view(np.uint8).reshape(*frame.shape[:2], -1)
    segments = []
    for plane in np.moveaxis(bytes_HWN, -1, 0):
        data = plane.tobytes()
        pieces = [data[at : at + 128] for at in range(0, len(data), 128)]
        segment = b"".join(bytes([len(piece) - 1]) + piece for piece in pieces)
        segments.append(segment + bytes(len(segment) % 2))
    starts = np.cumsum([64, *map(len, segments)])[:-1].tolist()
    head = np.array([len(segments), *starts] + [0] * (15 - len(segments)), "<u4")
    return head.tobytes() + b"".join(segments)


ENCODERS: dict[str, Callable[[NDArray[Any]], bytes]] = {
    JPEG: lambda frame: imagecodecs.jpeg8_encode(frame, level=90),
    JPEG_12: lambda frame: imagecodecs.jpeg8_encode(frame, level=98, bitspersample=12),
    JPEG_LOSSLESS: lambda frame: imagecodecs.jpeg8_encode(
        frame, lossless=True, bitspersample=8 * frame.dtype.itemsize, colorspace="RGB" if frame.ndim > 2 else None
    ),
    JPEG_LS: imagecodecs.jpegls_encode,
    JPEG_LS_NEAR: lambda frame: imagecodecs.jpegls_encode(frame, level=2),
    JPEG_2000: lambda frame: imagecodecs.jpeg2k_encode(frame, codecformat="J2K", reversible=True),
    JPEG_2000_LOSSY: lambda frame: imagecodecs.jpeg2k_encode(frame, codecformat="J2K", level=40),
    HTJ2K: lambda frame: imagecodecs.htj2k_encode(frame, reversible=True),
    RLE: rle,
}


def by_pydicom(data: bytes, frame: int = 0) -> NDArray[Any]:
    """What pydicom and its own decoders make of a frame, (bands, rows, columns), tables applied."""
    made = dcmread(io.BytesIO(data))
    found: Any = pixel_array(made, index=frame)
    if made.PhotometricInterpretation == "PALETTE COLOR":
        found = apply_color_lut(found, made)
    elif "ModalityLUTSequence" in made:
        found = apply_modality_lut(found, made)
    return np.moveaxis(found, -1, 0) if found.ndim == 3 else found[None]


def ramp(rows: int, columns: int, *, dtype: str = "uint16", most: int | None = None, samples: int = 1) -> NDArray[Any]:
    """Each pixel tells where it is; smooth enough for lossy codecs."""
    info = np.iinfo(dtype)
    low, high = int(info.min), int(info.max if most is None else most)
    row, column = np.mgrid[:rows, :columns]
    planes = [
        low + (row * (sample + 1) / rows + column / columns) / (sample + 2) * (high - low) for sample in range(samples)
    ]
    found = np.stack(planes, axis=-1).astype(dtype)
    return found if samples > 1 else found[..., 0]


def stack(pixels: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.stack(list(pixels))
