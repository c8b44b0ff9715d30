"""Every format by window, as workers read it, beside its own library reading the whole file: `python -m bench formats`.

Process time of one core; ours and the library's turn about, so that what else the machine does falls on both. What is
compared is the ratio. Files are made here, of the sizes of real ones; pixels are smooth with noise of a few counts.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench import formats_made as made
from bench.figure import Bench, Figure
from encdec_batch.read.open import contents_of, open_reader
from encdec_batch.read.options import ReadOptions
from encdec_batch.read.reader import Reader
from encdec_batch.store.local import LocalStore
from encdec_batch.window import Window

SIDE = 1024
"""Of a window, at least: so many whole chunks each way."""
TURNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of file."""

    name: str
    make: Callable[[Path, int], None]
    """Writes it, about so many megapixels."""
    library: str
    whole: Callable[[Path], Any]
    """Reads all of it with that; what counts as read is what a user of it would hold."""
    ending: str
    axis: Any = "axial"


@dataclass(slots=True)
class Read:
    """What came of a file."""

    pixels: int = 0
    bytes_read: int = 0


CASES = (
    Case(name="GeoTIFF, deflate", make=made.geotiff, library="rasterio", whole=made.by_rasterio, ending=".tif"),
    Case(name="PNG", make=made.png, library="Pillow", whole=made.by_pillow, ending=".png"),
    Case(name="JPEG", make=made.jpeg, library="Pillow", whole=made.by_pillow, ending=".jpg"),
    Case(name="WebP", make=made.webp, library="Pillow", whole=made.by_pillow, ending=".webp"),
    *(
        Case(name=f"DICOM, {name}", make=make, library="pydicom", whole=made.by_pydicom, ending=".dcm")
        for name, make in made.DICOM.items()
    ),
    *(
        Case(name=f"NIfTI, {axis}", make=made.nifti, library="nibabel", whole=made.by_nibabel, ending=".nii", axis=axis)
        for axis in ("axial", "coronal", "sagittal")
    ),
    Case(name="NIfTI, gzip", make=made.nifti, library="nibabel", whole=made.by_nibabel, ending=".nii.gz"),
    *(
        Case(name=f"OME-Zarr, {name}", make=make, library="zarr", whole=made.by_zarr, ending=".zarr")
        for name, make in made.ZARR.items()
    ),
    Case(name="SVS, JPEG", make=made.svs, library="tifffile", whole=made.by_tifffile, ending=".svs"),
    Case(name="SVS, JPEG", make=made.svs, library="openslide", whole=made.by_openslide, ending=".svs"),
    Case(name="OME-TIFF, JPEG", make=made.ome_jpeg, library="tifffile", whole=made.by_tifffile, ending=".ome.tif"),
    Case(name="OME-TIFF, deflate", make=made.ome, library="tifffile", whole=made.by_tifffile, ending=".ome.tif"),
)


def measure(bench: Bench) -> Figure:
    figure = Figure(title="formats: Mpx/s by window of whole chunks, beside the format's library reading all of it")
    folder = bench.folder / "formats"
    for case in CASES:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        path = folder / f"file{case.ending}"
        case.make(path, bench.pick(8, 1))
        _measured(figure, case, path, bench.pick(TURNS, 1))
    shutil.rmtree(folder, ignore_errors=True)
    figure.notes.append("process time of one core, turn about; the median of ratios, and rates of the fastest turns")
    return figure


def _measured(figure: Figure, case: Case, path: Path, turns: int) -> None:
    ours, theirs = [], []
    found = Read()
    for turn in range(turns):
        # Another version: what a process keeps of a volume is not kept for the next turn.
        os.utime(path, (turn, turn))
        found, seconds = _timed(lambda: by_window(path, case.axis))
        ours.append(seconds)
        theirs.append(_timed(lambda: case.whole(path))[1])
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else 0
    figure.row(
        file=case.name, library=case.library, Mpx=found.pixels / 1e6, by_window=found.pixels / 1e6 / min(ours),
        by_library=found.pixels / 1e6 / min(theirs),
        ratio=median(b / a for a, b in zip(ours, theirs, strict=True)),
        bytes_ratio=found.bytes_read / (size or made.scene_bytes(path)),
    )  # fmt: skip


def by_window(path: Path, axis: Any) -> Read:
    """All images of a file, each opened as workers open a scene."""
    found = Read()
    store, options = LocalStore(str(path.parent)), ReadOptions(axis=axis)
    for plane in contents_of(store, path.name, options=options).planes:
        reader = open_reader(store, path.name, plane=plane, options=options, whole=True)
        bands = range(1, reader.header.num_bands + 1)
        for window in windows(reader):
            reader.read(window, bands, rule="any")
            found.pixels += window.num_pixels
        found.bytes_read += reader.bytes_read
        reader.close()
    return found


def windows(reader: Reader) -> Iterator[Window]:
    """Of whole chunks, without halo."""
    header = reader.header
    height, width = (-(-SIDE // side) * side for side in (header.tile_height, header.tile_width))
    for row in range(0, header.height, height):
        for col in range(0, header.width, width):
            yield Window(col, row, min(width, header.width - col), min(height, header.height - row))


def _timed(read: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    found = read()
    return found, time.process_time() - start
