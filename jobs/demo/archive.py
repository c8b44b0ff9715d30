"""A whole job on an object store: an archive of four aerial images, a mosaic of several blocks and a damaged file.

`encdec-batch run jobs/demo.yaml` makes masks of vegetation on a local Ray; the same command once more finds nothing to
do.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling

from jobs.demo.command import OUTPUT, SAMPLES, check, encdec_batch, say

BUCKET = "demo"
MOSAIC_OF, MOSAIC_TILES = "north_dakota_2010.tif", (5, 4)
CUT_SHORT_FROM = "north_dakota_2012.tif"


def run_archive(store: Any) -> None:
    """From an empty store to pictures and a report on this disk.

    Raises:
        DemoFailedError: something came out otherwise; the damaged file is to be in quarantine, all others done.
    """
    store.create_bucket(Bucket=BUCKET)
    expected = upload_aerial(store)
    say("The job: a local Ray, the network on every core. The damaged scene is set aside, the others go on.")
    check(encdec_batch("run", "jobs/demo.yaml") == 3, "exit code 3 says: complete, but with something set aside")
    markers = read_markers(store, "vegetation")
    check(set(markers) == expected, f"scenes {sorted(expected)} should be committed, {sorted(markers)} are")

    say("How far it is, as seen from another shell or machine:")
    check(encdec_batch("status", f"s3://{BUCKET}/vegetation") == 0, "status should find the run")

    say("The same command once more: what is done stays done.")
    check(encdec_batch("run", "jobs/demo.yaml") == 3, "exit code 3 again: the damaged scene is still set aside")
    check(read_markers(store, "vegetation") == markers, "the second run should have left every scene alone")
    download(store, "vegetation")


def upload_aerial(store: Any) -> set[str]:
    """Fills the main archive; gives the ids of the scenes that can be done."""
    paths = sorted((SAMPLES / "aerial").glob("*.tif"))
    for path in paths:
        store.upload_file(str(path), BUCKET, f"aerial/{path.name}")
    mosaic = mirrored(read_rgb(SAMPLES / "aerial" / MOSAIC_OF), MOSAIC_TILES)
    store.put_object(Bucket=BUCKET, Key="aerial/mosaic.tif", Body=as_tiff(mosaic))
    whole = (SAMPLES / "aerial" / CUT_SHORT_FROM).read_bytes()
    store.put_object(Bucket=BUCKET, Key="aerial/cut_short.tif", Body=whole[: len(whole) // 2])
    say(
        f"The archive s3://{BUCKET}/aerial/: {len(paths)} aerial images, a mosaic of {mosaic.shape[2]:,} x "
        f"{mosaic.shape[1]:,} px,\nand cut_short.tif, a file that was cut short on purpose."
    )
    return {path.stem for path in paths} | {"mosaic"}


def mirrored(tile: NDArray[np.uint8], times: tuple[int, int]) -> NDArray[np.uint8]:
    """(bands, height, width) repeated down and across, every second time mirrored, so that seams do not show."""
    rows = [tile[:, ::-1] if row % 2 else tile for row in range(times[0])]
    column = np.concatenate(rows, axis=1)
    return np.concatenate([column[:, :, ::-1] if col % 2 else column for col in range(times[1])], axis=2)


def as_tiff(pixels: NDArray[np.uint8]) -> bytes:
    """A tiled JPEG in a GeoTIFF; without a place on Earth, since invented land has none."""
    bands, height, width = pixels.shape
    buffer = io.BytesIO()
    with rasterio.open(
        buffer, "w", driver="GTiff", width=width, height=height, count=bands, dtype="uint8",
        tiled=True, blockxsize=512, blockysize=512, compress="jpeg", photometric="ycbcr", jpeg_quality=90,
    ) as target:  # fmt: skip
        target.write(pixels)
    return buffer.getvalue()


def download(store: Any, output: str) -> None:
    """A copy of all that is for readers, under the same paths, so that its catalogue leads to its files; and a picture
    of each scene that a marker names.
    """
    for page in store.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{output}/"):
        for found in page["Contents"]:
            if not found["Key"].startswith(f"{output}/.encdec/"):
                fetch(store, found["Key"], OUTPUT / found["Key"])
    check_catalogue(OUTPUT / output)
    for scene_id, marker in read_markers(store, output).items():
        mask = OUTPUT / output / marker["outputs"]["mask.tif"]["path"]
        key = marker["input"]["uri"].removeprefix(f"s3://{BUCKET}/")
        source = store.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        draw_pair(io.BytesIO(source), mask, OUTPUT / "pictures" / f"{scene_id}.jpg")


def check_catalogue(folder: Path) -> None:
    """Every file that an item of the catalogue names must lie in the copy."""
    items = [path for path in (folder / "stac").glob("*/*.json") if path.parent.name != "models"]
    check(bool(items), "the catalogue should have an item for each scene")
    for path in items:
        for asset in json.loads(path.read_text())["assets"].values():
            check((path.parent / asset["href"]).is_file(), f"{path} should lead to {asset['href']}")


def draw_pair(source: io.BytesIO, mask_path: Path, path: Path) -> None:
    """Input and mask side by side; and the mask, as another reader opens it, must have the input's size and place."""
    with rasterio.open(source) as scene, rasterio.open(mask_path) as mask:
        same = (scene.shape, scene.crs, scene.transform) == (mask.shape, mask.crs, mask.transform)
        check(same, f"{mask_path} should lie where its scene lies")
        shrink = max(1.0, max(scene.shape) / 1000)
        height, width = (round(side / shrink) for side in scene.shape)
        rgb = scene.read([1, 2, 3], out_shape=(3, height, width), resampling=Resampling.average)
        ids = mask.read(1, out_shape=(height, width), resampling=Resampling.mode)
        palette = np.array([mask.colormap(1)[value][:3] for value in range(256)], np.uint8)
    gap = np.full((height, 8, 3), 255, np.uint8)
    pair = np.concatenate([np.moveaxis(rgb, 0, -1), gap, palette[ids]], axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(imagecodecs.jpeg_encode(pair, level=88))


def read_rgb(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as scene:
        rgb: NDArray[np.uint8] = scene.read([1, 2, 3])
    return rgb


def read_markers(store: Any, output: str) -> dict[str, Any]:
    """Scene id to marker: the one object whose presence says that a scene is done."""
    listed = store.list_objects_v2(Bucket=BUCKET, Prefix=f"{output}/markers/").get("Contents", [])
    bodies = [store.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read() for item in listed]
    return {marker["scene_id"]: marker for marker in map(json.loads, bodies)}


def fetch(store: Any, key: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    store.download_file(BUCKET, key, str(path))
