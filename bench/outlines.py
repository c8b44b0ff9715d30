"""Mpx/s of outlines as GeoJSON, from strips of a mask: `python -m bench.outlines`.

Process time of one core. Masks: discs of 5 to 12 px in radius, one in 900 px, as nuclei; noise of one half, whose
regions are a few pixels each; lace, noise of three quarters, which is one region with its holes.
"""

from __future__ import annotations

import resource
import time
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from encdec_batch.commit.geojson import PixelSize, feature
from encdec_batch.commit.outline.trace import Tracer

WIDTH = 20_480
ONE = PixelSize(height=1.0, width=1.0)
PROPERTIES = {"objectType": "detection", "classification": {"name": "nucleus", "color": [255, 196, 0]}}


def discs(height: int) -> NDArray[np.bool_]:
    rng = np.random.default_rng(0)
    mask = np.zeros((height, WIDTH), np.bool_)
    rows, cols = np.mgrid[-12:13, -12:13]
    for _ in range(height * WIDTH // 900):
        row, col = rng.integers(0, height - 25), rng.integers(0, WIDTH - 25)
        mask[row : row + 25, col : col + 25] |= rng.uniform(0.7, 1.3) * rows**2 + cols**2 < rng.integers(5, 12) ** 2
    return mask


def noise(height: int, share: float) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.random.default_rng(0).random((height, WIDTH)) < share
    return found


def measure(name: str, mask: NDArray[np.bool_], tolerance: float) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, tracer, num_polygons, num_bytes = time.process_time(), Tracer(WIDTH), 0, 0
    strips = chain.from_iterable(tracer.push(mask[top : top + 512]) for top in range(0, len(mask), 512))
    for polygon in chain(strips, tracer.close()):
        num_polygons += 1
        num_bytes += len(feature(polygon, PROPERTIES, tolerance, ONE))
    took = time.process_time() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{name}, tolerance {tolerance:g}: {mask.size / 1e6:.0f} Mpx, {mask.size / 1e6 / took:.1f} Mpx/s, "
        f"{num_polygons:,} polygons, {num_bytes / 1e6:.0f} MB, cut {len(tracer.cuts)} times, {grown:+.0f} MiB"
    )


def main() -> None:
    measure("discs", discs(2048), 0)
    measure("discs", discs(2048), 0.5)
    measure("noise", noise(128, 0.5), 0)
    measure("lace", noise(256, 0.75), 0)


if __name__ == "__main__":
    main()
