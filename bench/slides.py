"""Mpx/s of small slides by window, beside the libraries that read them whole: `python -m bench.slides FILE ...`; with
`--as-dicom` before the files, of the finest level of each as a slide in DICOM, JPEG in tiles of 256 px.

Process time of one core, the best of several, opening included. Windows are of whole tiles.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from encdec_batch.read.gdal.geotiff import open_geotiff
from encdec_batch.read.limits import DEFAULT_LIMITS
from encdec_batch.read.open import open_reader
from encdec_batch.read.options import ReadOptions
from encdec_batch.read.ranges import PinnedObject
from encdec_batch.store.local import LocalStore
from encdec_batch.window import Window

REPEATS = 7
TILES = 4
"""Of a window, each way."""


def by_window(path: Path, um_per_px: float | None = None) -> int:
    """Pixels that came; opened as workers open a scene."""
    options = ReadOptions(um_per_px=um_per_px)
    reader = open_reader(LocalStore(str(path.parent.resolve())), path.name, options=options, whole=True)
    header, pixels = reader.header, 0
    height, width = TILES * header.tile_height, TILES * header.tile_width
    for row in range(0, header.height, height):
        for col in range(0, header.width, width):
            window = Window(col, row, min(width, header.width - col), min(height, header.height - row))
            reader.read(window, range(1, header.num_bands + 1), rule="any")
            pixels += window.num_pixels
    reader.close()
    return pixels


def by_gdal(path: Path) -> int:
    """The same file as if it were no slide."""
    store = LocalStore(str(path.parent.resolve()))
    source = PinnedObject(store, path.name, store.info(path.name), DEFAULT_LIMITS)
    source.whole()
    reader = open_geotiff(source)
    header = reader.header
    reader.read(Window(0, 0, header.width, header.height), range(1, header.num_bands + 1), rule="any")
    reader.close()
    return header.width * header.height


def by_tifffile(path: Path) -> int:
    import tifffile

    return int(np.prod(tifffile.imread(path, maxworkers=1).shape[:2]))


def by_openslide(path: Path) -> int:
    import openslide

    with openslide.OpenSlide(path) as slide:
        np.asarray(slide.read_region((0, 0), 0, slide.dimensions))
        width, height = slide.dimensions
    return width * height


def by_wsidicom(path: Path) -> int:
    from wsidicom import WsiDicom

    with WsiDicom.open(path) as slide:
        size = slide.size
        slide.read_region((0, 0), 0, (size.width, size.height), threads=1, as_array=True)
    return int(size.width * size.height)


def as_dicom(path: Path, folder: str) -> Path:
    """The finest level, encoded anew."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    import tifffile
    from dicom_slides import slide
    from dicoms import JPEG

    made = Path(folder) / f"{path.stem}.dcm"
    made.write_bytes(slide(tifffile.imread(path)[..., :3], JPEG, tile=256))
    return made


def rate(read: Callable[[], int]) -> float:
    best = 0.0
    for _ in range(REPEATS):
        start = time.process_time()
        pixels = read()
        best = max(best, pixels / 1e6 / (time.process_time() - start))
    return best


def readers_of(path: Path) -> dict[str, Callable[[], int]]:
    finest = open_reader(LocalStore(str(path.parent.resolve())), path.name).header.pixel_size_um or (0.5, 0.5)
    coarser = 1.4 * max(finest)
    ours: dict[str, Callable[[], int]] = {
        "by window": partial(by_window, path),
        f"by window, {coarser:.3g} um": partial(by_window, path, coarser),
    }
    if path.suffix == ".dcm":
        return ours | {"wsidicom": partial(by_wsidicom, path)}
    others = {"GDAL": by_gdal, "tifffile": by_tifffile, "openslide": by_openslide}
    return ours | {name: partial(read, path) for name, read in others.items()}


def main() -> None:
    names = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        paths = (
            [as_dicom(Path(name), folder) for name in names[1:]] if names[:1] == ["--as-dicom"] else map(Path, names)
        )
        for path in paths:
            print(path.name, {what: round(rate(read), 1) for what, read in readers_of(path).items()}, "Mpx/s")


if __name__ == "__main__":
    main()
