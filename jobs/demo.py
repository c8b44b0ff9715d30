"""`make demo`: a whole job on this machine, with nothing but this repository.

An S3 server in memory gets a small archive: four aerial images, a mosaic of several blocks and a file that was cut
short. `encdec-batch run jobs/demo.yaml` makes the masks on a local Ray; the same command once more finds nothing to do.
Then another network and four images of cells, in one process.

Ends with 0 if all came out as planned, the damaged file in quarantine among it, else with 1.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import boto3
import imagecodecs
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "jobs/demo"
OUTPUT = ROOT / "demo-output"
BUCKET = "demo"
MOSAIC_OF, MOSAIC_TILES = "north_dakota_2010.tif", (5, 4)
CUT_SHORT_FROM = "north_dakota_2012.tif"
LIMIT_S, GRACE_S = 300.0, 30.0
"""For one command to end by itself, and to end after it was interrupted."""


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    warnings.simplefilter("ignore", NotGeoreferencedWarning)  # the mosaic has no place, on purpose
    began = time.monotonic()
    try:
        with s3_server() as store:
            play(store)
    except KeyboardInterrupt:
        sys.exit("stopped; nothing is left running")
    print(f"\nThe demo is through, in {time.monotonic() - began:.0f} s; its server and what it held are gone. Look at:")
    print(f"  pictures   {shown(OUTPUT / 'pictures')}/   input and mask side by side")
    print(f"  report     {shown(OUTPUT / 'vegetation/report/index.html')}")
    print(f"  masks      {shown(OUTPUT / 'vegetation/scenes')}/   for each scene: COG, PNG, quicklook, Parquet")


def play(store: Any) -> None:
    """The demo from an empty store to pictures."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
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

    expected = upload(store, "nuclei", "*.png")
    say(f"Another network, another kind of image: {len(expected)} fluorescence images of cells, without Ray.")
    check(encdec_batch("run", "jobs/demo-nuclei.yaml") == 0, "exit code 0 says: complete")
    check(set(read_markers(store, "nuclei-masks")) == expected, f"scenes {sorted(expected)} should be committed")
    download(store, "nuclei-masks")


def upload_aerial(store: Any) -> set[str]:
    """Fills the main archive; gives the ids of the scenes that can be done."""
    names = upload(store, "aerial", "*.tif")
    mosaic = mirrored(read_rgb(SAMPLES / "aerial" / MOSAIC_OF), MOSAIC_TILES)
    store.put_object(Bucket=BUCKET, Key="aerial/mosaic.tif", Body=as_tiff(mosaic))
    whole = (SAMPLES / "aerial" / CUT_SHORT_FROM).read_bytes()
    store.put_object(Bucket=BUCKET, Key="aerial/cut_short.tif", Body=whole[: len(whole) // 2])
    say(
        f"The archive s3://{BUCKET}/aerial/: {len(names)} aerial images, a mosaic of {mosaic.shape[2]:,} x "
        f"{mosaic.shape[1]:,} px,\nand cut_short.tif, a file that was cut short on purpose."
    )
    return names | {"mosaic"}


def upload(store: Any, folder: str, pattern: str) -> set[str]:
    """Puts samples into the store; gives their scene ids."""
    paths = sorted((SAMPLES / folder).glob(pattern))
    for path in paths:
        store.upload_file(str(path), BUCKET, f"{folder}/{path.name}")
    return {path.stem for path in paths}


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
    """What a marker names is a scene's result; whatever else lies in the output is not for readers."""
    for name in ("report/index.html", "scenes.parquet", "quarantine.parquet"):
        fetch(store, f"{output}/{name}", OUTPUT / output / name)
    for scene_id, marker in read_markers(store, output).items():
        folder = OUTPUT / output / "scenes" / scene_id
        for name, file in marker["outputs"].items():
            fetch(store, f"{output}/{file['path']}", folder / name)
        key = marker["input"]["uri"].removeprefix(f"s3://{BUCKET}/")
        source = store.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        draw_pair(io.BytesIO(source), folder / "mask.tif", OUTPUT / "pictures" / f"{scene_id}.jpg")


def draw_pair(source: io.BytesIO, mask_path: Path, path: Path) -> None:
    """Input and mask side by side; and the mask, as another reader opens it, must have the input's size and place."""
    with rasterio.open(source) as scene, rasterio.open(mask_path) as mask:
        same = (scene.shape, scene.crs, scene.transform) == (mask.shape, mask.crs, mask.transform)
        check(same, f"{mask_path} should lie where its scene lies")
        shrink = max(1.0, max(scene.shape) / 1000)
        height, width = (round(side / shrink) for side in scene.shape)
        bands = [1, 2, 3] if scene.count >= 3 else [1, 1, 1]
        rgb = scene.read(bands, out_shape=(3, height, width), resampling=Resampling.average)
        ids = mask.read(1, out_shape=(height, width), resampling=Resampling.mode)
        palette = np.array([mask.colormap(1)[value][:3] for value in range(256)], np.uint8)
    if scene.count < 3:  # grey images of cells are dark: stretched to be seen
        rgb = (rgb * (255.0 / max(rgb.max(), 1))).astype(np.uint8)
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


def encdec_batch(*words: str) -> int:
    """Runs the command as a user would, and gives its exit code; it never outlives the demo."""
    print(f"$ encdec-batch {' '.join(words)}", flush=True)
    command = [str(Path(sys.executable).with_name("encdec-batch")), *words]
    # A group of its own, so that Ctrl-C reaches it once, from here, while the server still answers.
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, process_group=0) as process:
        try:
            return process.wait(LIMIT_S)
        except (KeyboardInterrupt, subprocess.TimeoutExpired) as reason:
            end(process)
            if isinstance(reason, KeyboardInterrupt):
                raise
            fail(f"it did not end within {LIMIT_S:.0f} s")


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(GRACE_S)
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def s3_server() -> Iterator[Any]:
    """A boto3 client of a fresh server; the environment of this process, and of those it starts, leads there."""
    command = [sys.executable, str(ROOT / "jobs/demo/s3_server.py")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0, text=True
    ) as process:
        try:
            port = process.stdout.readline().strip()
            check(port.isdecimal(), "the S3 server should start (it is part of the dev extra)")
            set_environment(f"http://127.0.0.1:{port}")
            say(f"An S3 server of this demo's own: {os.environ['AWS_ENDPOINT_URL']}")
            yield boto3.client("s3")
        finally:
            process.stdin.close()
            try:
                process.wait(GRACE_S)
            except (KeyboardInterrupt, subprocess.TimeoutExpired):
                process.kill()


def set_environment(endpoint: str) -> None:
    """What an S3 client looks at: nothing of the user's own accounts and proxies is used."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    direct = ",".join(filter(None, [os.environ.get("NO_PROXY", os.environ.get("no_proxy", "")), "127.0.0.1"]))
    os.environ.update(
        AWS_ENDPOINT_URL=endpoint,
        AWS_ACCESS_KEY_ID="demo",
        AWS_SECRET_ACCESS_KEY=secrets.token_hex(16),
        AWS_DEFAULT_REGION="us-east-1",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
        NO_PROXY=direct,
        no_proxy=direct,
    )


def say(text: str) -> None:
    print(f"\n{text}", flush=True)


def check(condition: bool, expected: str) -> None:  # noqa: FBT001
    if not condition:
        fail(expected)


def fail(reason: str) -> NoReturn:
    sys.exit(f"\nthe demo failed: {reason}")


def shown(path: Path) -> str:
    """As short as it can be said here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    main()
