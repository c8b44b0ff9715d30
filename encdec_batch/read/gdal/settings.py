"""How this package uses GDAL: the one place that says which drivers and which settings.

Import `rasterio` from here wherever a file of somebody else is opened.
"""

from __future__ import annotations

import os
import struct
import warnings
from pathlib import Path

# Drivers that follow names inside a file to other files or hosts, whatever the file is called. We name the one
# driver at each open, which is the first wall; this is the second. GDAL looks at the variable when drivers are
# registered, at the first dataset or Env of the process: rasterio.Env(GDAL_SKIP=...) would come too late.
os.environ.setdefault("GDAL_SKIP", "VRT DERIVED GTI WMS WMTS WCS WFS HTTP OGCAPI STACTA STACIT PLMOSAIC")

import rasterio
import tifffile
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

# libgeotiff makes PROJ contexts of its own, at the first coordinate system of a process. They know nothing of the path
# that rasterio sets, so that units would stay unknown, and print what they find wrong.
_PROJ_DATA = Path(rasterio.__file__).parent / "proj_data"
if _PROJ_DATA.is_dir():
    os.environ.setdefault("PROJ_DATA", str(_PROJ_DATA))
os.environ.setdefault("PROJ_DEBUG", "0")

# Images of medicine have no place on the ground. Here, once: catch_warnings around each open is not thread-safe.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

GDAL_SETTINGS: dict[str, str | int] = {
    # Sidecars (.msk, .ovr, .aux.xml) are other objects, and may point anywhere.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    # Work is spread by blocks; threads inside GDAL cost 20 % per core.
    "GDAL_NUM_THREADS": 1,
    "GDAL_CACHEMAX": 32,  # MiB for the process; no read of ours decodes a block twice for want of it
    # libtiff by libdeflate leaves stray memory in the last bytes of a tile whose stream is longer than the tile.
    # By zlib such a tile has its true pixels. Decoding takes 1.5 times as long; checking each tile's length 1.8.
    "GDAL_TIFF_DEFLATE_SUBCODEC": "ZLIB",
    # The same shortcut for PNG passes truncated files.
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO",
    # "Premature end of JPEG file" is only a warning by default, and the rest is grey.
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",
}

MALFORMED: tuple[type[Exception], ...] = (
    RasterioError,
    CPLE_BaseError,
    tifffile.TiffFileError,
    struct.error,
    ValueError,  # UnicodeDecodeError among them: GeoASCII that is not UTF-8
    LookupError,
    ArithmeticError,
    TypeError,
    AttributeError,
    OSError,
    MemoryError,
    RecursionError,
)
"""What rasterio and tifffile raise over bytes that are no proper image."""

__all__ = ["GDAL_SETTINGS", "MALFORMED", "rasterio"]
