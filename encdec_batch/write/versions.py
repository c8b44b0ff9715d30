"""What, beside the pixels, decides the bytes of a file: the versions of what encodes them."""

from __future__ import annotations

import zlib
from functools import cache
from importlib import metadata

import imagecodecs
import pyarrow as pa
import rasterio

from encdec_batch.write.part import FORMAT


@cache
def _version() -> str:
    return metadata.version("encdec-batch")


def encoder_versions() -> dict[str, str]:
    """By name; libdeflate and zstd are those inside imagecodecs, zlib writes the streamed PNGs."""
    return {
        "encdec-batch": _version(),
        "gdal": rasterio.__gdal_version__,
        "imagecodecs": imagecodecs.__version__,
        "part": str(FORMAT),
        "pyarrow": pa.__version__,
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
    }
