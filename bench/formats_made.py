"""The files of `bench/formats.py`, each written by its format's own library, and read whole by that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray


def natural(height: int, width: int, samples: int = 1, *, most: int = 255) -> NDArray[Any]:
    """(height, width, samples), without the last axis for one sample: slopes, edges, and noise of a few counts."""
    rng = np.random.default_rng(0)
    row, col = np.mgrid[:height, :width]
    base = (np.sin(row / 61) + np.cos(col / 47) + (row // 97 + col // 83) % 3) / 5 + 0.4
    noise = rng.normal(scale=0.01, size=(height, width, samples))
    pixels = ((base[..., None] + noise).clip(0, 1) * most).astype(np.uint8 if most < 256 else np.uint16)
    return pixels if samples > 1 else pixels[..., 0]


def side_of(megapixels: float) -> int:
    return int((megapixels * 1e6) ** 0.5) // 256 * 256


def geotiff(path: Path, megapixels: int) -> None:
    import rasterio

    side = side_of(megapixels)
    profile: dict[str, Any] = {"driver": "GTiff", "count": 3, "height": side, "width": side, "dtype": "uint16"}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "DEFLATE", "interleave": "pixel"}
    with rasterio.open(path, "w", **profile, **tiles) as file:
        file.write(np.moveaxis(natural(side, side, 3, most=10_000), -1, 0))


def by_rasterio(path: Path) -> Any:
    import rasterio

    with rasterio.open(path) as file:
        return file.read()


def png(path: Path, megapixels: int) -> None:
    _by_pillow(path, megapixels)


def jpeg(path: Path, megapixels: int) -> None:
    _by_pillow(path, megapixels, quality=90)


def webp(path: Path, megapixels: int) -> None:
    _by_pillow(path, megapixels, quality=80, method=0)


def _by_pillow(path: Path, megapixels: int, **options: Any) -> None:
    from PIL import Image

    Image.fromarray(natural(side_of(megapixels), side_of(megapixels), 3)).save(path, **options)


def by_pillow(path: Path) -> Any:
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image)


def dicom(path: Path, pixels: NDArray[Any], syntax: str, encode: Any = None) -> None:
    """(frames, rows, columns) in 16 bits."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.filewriter import dcmwrite
    from pydicom.uid import CTImageStorage

    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, "1.2.3.4"
    made.SeriesInstanceUID, made.StudyInstanceUID = "1.2.3", "1.2"
    made.NumberOfFrames, made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.PixelData = encapsulate([encode(frame) for frame in pixels]) if encode else pixels.tobytes()
    made["PixelData"].VR = "OB" if encode else "OW"
    made["PixelData"].is_undefined_length = encode is not None
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID, made.file_meta.MediaStorageSOPInstanceUID = CTImageStorage, "1.2.3.4"
    dcmwrite(path, made, enforce_file_format=True)


def one_frame(path: Path, megapixels: int) -> None:
    side = side_of(megapixels)
    dicom(path, natural(side, side, most=4095)[None], "1.2.840.10008.1.2.1")


def frames(megapixels: int) -> NDArray[Any]:
    return np.stack([natural(512, 512, most=4095)] * max(2, 4 * megapixels // 4))


def many_frames(path: Path, megapixels: int) -> None:
    dicom(path, frames(4 * megapixels), "1.2.840.10008.1.2.1")


def jpeg_ls(path: Path, megapixels: int) -> None:
    dicom(path, frames(megapixels), "1.2.840.10008.1.2.4.80", imagecodecs.jpegls_encode)


def jpeg_2000(path: Path, megapixels: int) -> None:
    def encode(frame: NDArray[Any]) -> Any:
        return imagecodecs.jpeg2k_encode(frame, codecformat="J2K", reversible=True)

    dicom(path, frames(megapixels // 2), "1.2.840.10008.1.2.4.90", encode)


def rle(path: Path, megapixels: int) -> None:
    from pydicom.pixels.encoders import RLELosslessEncoder
    from pydicom.uid import RLELossless

    def encode(frame: NDArray[Any]) -> Any:
        size: dict[str, Any] = {"rows": frame.shape[0], "columns": frame.shape[1], "number_of_frames": 1}
        bits: dict[str, Any] = {"samples_per_pixel": 1, "bits_allocated": 16, "bits_stored": 12}
        kind: dict[str, Any] = {"pixel_representation": 0, "photometric_interpretation": "MONOCHROME2"}
        return RLELosslessEncoder.encode(frame, encoding_plugin="", **size, **bits, **kind)

    dicom(path, frames(megapixels // 2), RLELossless, encode)


DICOM = {
    "raw, one frame": one_frame,
    "raw, many frames": many_frames,
    "JPEG-LS": jpeg_ls,
    "JPEG 2000": jpeg_2000,
    "RLE": rle,
}


def by_pydicom(path: Path) -> Any:
    from pydicom import dcmread
    from pydicom.pixels import pixel_array

    return pixel_array(dcmread(path))


def nifti(path: Path, megapixels: int) -> None:
    """Four times the megapixels: raw voxels are read fast."""
    import nibabel

    slices = max(8, 4 * megapixels * 4)
    voxels = np.stack([natural(512, 512, most=4095).T.astype(np.int16)] * slices, axis=-1)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.7, 0.7, 1.5, 1])), path)


def by_nibabel(path: Path) -> Any:
    import nibabel

    return np.array(nibabel.load(path).dataobj)


def _zarr(path: Path, megapixels: int, version: int, **options: Any) -> None:
    import zarr

    side = side_of(megapixels)
    pixels = np.moveaxis(natural(side, side, 3, most=4095), -1, 0)
    group = zarr.open_group(path, mode="w", zarr_format=version)
    axes = [{"name": "c", "type": "channel"}, *({"name": name, "type": "space"} for name in "yx")]
    scale = {"type": "scale", "scale": [1.0, 0.5, 0.5]}
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [scale]}]}
    if version == 2:
        group.attrs["multiscales"] = [image | {"version": "0.4"}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    array = zarr.create_array(
        store=path, name="0", shape=pixels.shape, chunks=(1, 256, 256), dtype=pixels.dtype, zarr_format=version,
        **options,
    )  # fmt: skip
    array[...] = pixels


def blosc(path: Path, megapixels: int) -> None:
    import numcodecs

    keys = {"name": "v2", "separator": "/"}
    _zarr(path, megapixels, 2, compressors=numcodecs.Blosc("lz4", 5, numcodecs.Blosc.SHUFFLE), chunk_key_encoding=keys)


def shards(path: Path, megapixels: int) -> None:
    from zarr.codecs import ZstdCodec

    _zarr(path, megapixels, 3, compressors=[ZstdCodec(level=3)], shards=(1, 1024, 1024))


ZARR = {"0.4, Blosc": blosc, "0.5, Zstandard in shards": shards}


def by_zarr(path: Path) -> Any:
    import zarr

    return zarr.open_array(path / "0", mode="r")[...]


def svs(path: Path, megapixels: int) -> None:
    import tifffile

    side = side_of(2 * megapixels)
    pixels = natural(side, side, 3)
    head = f"Aperio Image Library v12.0.15 \r\n{side}x{side}"
    given: dict[str, Any] = {"compression": "jpeg", "compressionargs": {"level": 75}, "metadata": None}
    with tifffile.TiffWriter(path) as tiff:
        for number, step in enumerate((1, 4)):
            level = pixels[::step, ::step]
            said = f"{head} JPEG/RGB Q=75|AppMag = 20|MPP = 0.4990"
            tiff.write(level, tile=(256, 256), description=said, photometric="rgb", **given)
            if number == 0:
                tiff.write(pixels[::16, ::16], rowsperstrip=16, description=head, photometric="rgb", metadata=None)


def by_openslide(path: Path) -> Any:
    import openslide

    with openslide.OpenSlide(path) as slide:
        return np.asarray(slide.read_region((0, 0), 0, slide.dimensions))


def ome_jpeg(path: Path, megapixels: int) -> None:
    _ome(
        path, natural(side_of(2 * megapixels), side_of(2 * megapixels), 3), "YXS", compression="jpeg", photometric="rgb"
    )


def ome(path: Path, megapixels: int) -> None:
    pixels = np.moveaxis(natural(side_of(megapixels), side_of(megapixels), 3, most=4095), -1, 0)
    _ome(path, pixels, "CYX", compression="zlib", predictor=True, photometric="minisblack")


def _ome(path: Path, pixels: NDArray[Any], axes: str, **options: Any) -> None:
    import tifffile

    given: dict[str, Any] = {"tile": (512, 512)} | options
    step = (slice(None, None, 4),) * 2
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(pixels, subifds=1, metadata={"axes": axes}, **given)
        tiff.write(pixels[step] if axes == "YXS" else pixels[(slice(None), *step)], subfiletype=1, **given)


def by_tifffile(path: Path) -> Any:
    import tifffile

    return tifffile.imread(path, maxworkers=1)


def scene_bytes(path: Path) -> int:
    """Of the encoded pixels of a file's finest level, and of nothing else of a pyramid; of other files all of it."""
    import tifffile

    if not path.name.endswith((".svs", ".tif")):
        return path.stat().st_size
    with tifffile.TiffFile(path) as tiff:
        pages = tiff.series[0].levels[0].pages
        return sum(sum(page.databytecounts) for page in pages if page is not None)
