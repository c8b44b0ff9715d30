from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rasters import tiny_tiff

PROGRAM = """
import sys
from encdec_batch.read.gdal.settings import rasterio
with rasterio.Env() as env:
    drivers = env.drivers()
assert {"GTiff", "PNG", "JPEG", "MEM"} <= set(drivers), drivers
assert not {"VRT", "WMS", "WCS", "WMTS", "HTTP", "STACTA", "GTI"} & set(drivers), drivers
try:
    rasterio.open(sys.argv[1])
except rasterio.errors.RasterioIOError:
    sys.exit(0)
sys.exit("a VRT was opened")
"""


def test_drivers_that_follow_names_are_not_registered(tmp_path):
    (tmp_path / "secret.tif").write_bytes(tiny_tiff(bytes(64 * 64)))
    vrt = tmp_path / "scene.tif"
    vrt.write_text(
        '<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{tmp_path}/secret.tif</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(vrt)], cwd=root, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
