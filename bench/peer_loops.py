"""Other people's ways through a scene: MONAI's sliding window, and the rasterio loop that everybody writes once."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import torch
from rasterio.windows import Window

from bench.packages import MEAN, STD

if TYPE_CHECKING:
    from torch import nn

    from bench.peers import Task

CORE, OVERLAP, STRIDE = 512, 64, 16


def network_of(task: Task) -> nn.Module:
    from encdec_batch.models.network import build_network
    from encdec_batch.models.package import load_package
    from encdec_batch.predict.device import choose_device
    from encdec_batch.predict.eager import PRECISIONS

    network = build_network(load_package(str(task.package)))
    if task.low:
        network = network.to(PRECISIONS[choose_device("cpu", "auto", 1).precision])
        network = network.to(memory_format=torch.channels_last)
    return network


def monai_loop(task: Task, network: nn.Module) -> tuple[int, float]:
    """Whole scene in memory, as MONAI wants it. Gives pixels, and seconds of the inference alone."""
    sys.path.append(str(task.monai))
    from monai.inferers import sliding_window_inference

    with rasterio.open(task.scene) as file:
        window = Window(0, 0, task.crop or file.width, task.crop or file.height)
        image, profile = file.read(window=window), file.profile
    x_NCHW = (torch.from_numpy(image).float()[None] - MEAN) / STD
    if task.low:
        x_NCHW = x_NCHW.to(next(network.parameters()).dtype, memory_format=torch.channels_last)
    clock = time.perf_counter()
    y_NCHW = sliding_window_inference(x_NCHW, (task.roi, task.roi), task.batch, network, overlap=0.25)
    seconds = time.perf_counter() - clock
    mask = y_NCHW[0].argmax(0).to(torch.uint8).numpy()
    with rasterio.open(task.output, "w", **_profile(profile, *mask.shape)) as file:
        file.write(mask, 1)
    return mask.size, seconds


def rasterio_loop(task: Task, network: nn.Module) -> tuple[int, float]:
    """Read a window, forward, write the middle; pixels, and seconds of the forward passes alone."""
    dtype, seconds = next(network.parameters()).dtype, 0.0
    with rasterio.open(task.scene) as scene:
        height, width = task.crop or scene.height, task.crop or scene.width
        with rasterio.open(task.output, "w", **_profile(scene.profile, height, width)) as out:
            for top in range(0, height, CORE):
                for left in range(0, width, CORE):
                    rows = (max(0, top - OVERLAP), min(height, top + CORE + OVERLAP))
                    cols = (max(0, left - OVERLAP), min(width, left + CORE + OVERLAP))
                    image = scene.read(window=Window.from_slices(rows, cols))
                    pad = [(0, 0), (0, -image.shape[1] % STRIDE), (0, -image.shape[2] % STRIDE)]
                    x_NCHW = (torch.from_numpy(np.pad(image, pad, mode="reflect")).float()[None] - MEAN) / STD
                    if task.low:
                        x_NCHW = x_NCHW.to(dtype, memory_format=torch.channels_last)
                    clock = time.perf_counter()
                    y_NCHW = network(x_NCHW)
                    seconds += time.perf_counter() - clock
                    mask = y_NCHW[0].argmax(0).to(torch.uint8).numpy()
                    core = mask[top - rows[0] :, left - cols[0] :][: min(CORE, height - top), : min(CORE, width - left)]
                    out.write(core, 1, window=Window(left, top, core.shape[1], core.shape[0]))
    return height * width, seconds


def _profile(profile: dict[str, Any], height: int, width: int) -> dict[str, Any]:
    kept = {key: profile[key] for key in ("crs", "transform")}
    made = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint8", "compress": "DEFLATE"}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512} if min(height, width) >= 512 else {}
    return kept | made | tiles
