"""Which machine this is, with what software, and how busy it is."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("encdec-batch", "torch", "ray", "rasterio", "tifffile", "imagecodecs", "numpy", "pyarrow")


def describe() -> dict[str, Any]:
    """Everything a number needs beside it."""
    from encdec_batch.predict.device import choose_device
    from encdec_batch.process import usable_bytes, usable_cpus

    device = choose_device("cpu", "auto", "auto")
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": _cpu_name(),
        "cores": usable_cpus(),
        "memory_gib": round(usable_bytes() / 2**30, 1),
        "device_kind": device.kind,
        "precision": device.precision,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "load": load(),
    }


def load() -> float:
    """Mean number of runnable processes over the last minute: what else runs here disturbs every figure."""
    return os.getloadavg()[0]


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
