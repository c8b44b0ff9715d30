"""What kind of device this is: part of the key of what it computes. Asks the CPU without torch."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from encdec_batch.errors import SpecError

Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where a network runs and how it computes there."""

    kind: str
    """`cpu-<vendor>-<widest instructions>` or `cuda-<name of the card>`: equal kinds give equal bytes."""
    torch_name: str
    """`cpu` or `cuda`."""
    precision: Precision
    batch: int


def choose_device(wanted: str, precision: str, batch: int | Literal["auto"]) -> Device:
    """The device of this machine that a job asks for, with `auto` resolved.

    Raises:
        SpecError: `cuda` is asked for and there is none.
    """
    on_cuda = wanted == "cuda" or (wanted == "auto" and _has_cuda())
    if on_cuda and not _has_cuda():
        raise SpecError("compute.device is cuda, but torch sees no CUDA device here", hint="say device: auto or cpu")
    kind, native_bf16 = _cuda_kind() if on_cuda else _cpu_kind()
    chosen: Precision = "bfloat16" if native_bf16 else "float32"
    if precision in ("float32", "bfloat16", "float16"):
        chosen = precision  # type: ignore[assignment]  # one of the three, as the line above checks
    # Batching wins nothing on a CPU: small working sets stay in the caches (docs/results.md).
    size = batch if batch != "auto" else (8 if on_cuda else 1)
    return Device(kind=kind, torch_name="cuda" if on_cuda else "cpu", precision=chosen, batch=size)


def _has_cuda() -> bool:
    # Importing torch takes seconds; without a driver's device file it could not find a card either.
    if not any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg")):
        return False
    import torch

    return bool(torch.cuda.is_available())


def _cuda_kind() -> tuple[str, bool]:
    import torch

    return f"cuda-{torch.cuda.get_device_name().replace(' ', '-')}", bool(torch.cuda.is_bf16_supported())


def _cpu_kind() -> tuple[str, bool]:
    vendor, flags = "unknown", set[str]()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"cpu-{platform.machine()}", False
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "vendor_id":
            vendor = value.strip()
        elif key.strip() in ("flags", "Features"):
            flags = set(value.split())
            break
    widest = next(
        (isa for isa in ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "sve", "asimd") if isa in flags), "base"
    )
    return f"cpu-{vendor}-{widest}", bool(flags & {"amx_bf16", "avx512_bf16"})
