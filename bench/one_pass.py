"""One forward pass of a network with random weights, in a process of its own: how long, and how much memory."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

BANDS = 3
WAIT_S = 900.0
_PEAK = "5"
"""Written to clear_refs, it makes the peak of a process its memory now: proc(5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A network on an image, in one precision, by one thread."""

    architecture: str
    arguments: Mapping[str, Any]
    height: int
    width: int
    precision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    seconds: float
    """CPU time of the median pass, by one thread, with memory that was touched before: other work on the machine
    disturbs it less than the clock's."""
    peak_mib: float
    """What the first pass takes beyond a process that holds weights and image: activations, and what kernels and malloc
    add."""
    crossing_mib: float
    """What the encoder keeps for the decoder, besides its deepest level; 0 for networks that have no `encoders`."""


def measure(case: Case, rounds: int) -> Cost:
    """Costs of one pass: the first one's memory, and the time of `rounds` more."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_run, args=(case, rounds, queue))
    process.start()
    made = queue.get(timeout=WAIT_S)
    process.join()
    return Cost(**made)


def _run(case: Case, rounds: int, queue: Any) -> None:
    from encdec_batch.predict.heap import keep_freed_memory

    # As in a worker (predict/heap.py).
    keep_freed_memory()
    import torch

    from encdec_batch.models.architectures import construct
    from encdec_batch.models.forward import placement, prepare

    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = prepare(construct(case.architecture, case.arguments), precision=case.precision)  # type: ignore[arg-type]
    bands = int(case.arguments["in_channels"])
    image = torch.randn(1, bands, case.height, case.width).to(placement(network)[1])
    image = image.contiguous(memory_format=torch.channels_last)
    crossing = _count_what_crosses(network)
    # What building left free would take the first activations, and they would not be seen.
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with torch.inference_mode():
        Path("/proc/self/clear_refs").write_text(_PEAK)
        before = _status("VmRSS")
        network(image)
        peak = _status("VmHWM") - before
        kept = sum(crossing)
        seconds = []
        for _ in range(rounds):
            clock = time.process_time()
            network(image)
            seconds.append(time.process_time() - clock)
    queue.put({"seconds": median(seconds), "peak_mib": peak / 1024, "crossing_mib": kept / 2**20})


def _count_what_crosses(network: Any) -> list[float]:
    """Filled in each pass: the bytes of skips (a U-Net), or of places of largest values (a SegNet)."""
    kept: list[float] = []
    encoders = list(getattr(network, "encoders", ()))
    by_places = type(network).__name__.startswith("SegNet")

    def note(_module: Any, _inputs: Any, out_NCHW: Any) -> None:
        kept.append(out_NCHW.numel() / 4 if by_places else out_NCHW.nbytes)

    # A U-Net's last encoder is its deepest level, which goes on as it is.
    for encoder in encoders if by_places else encoders[:-1]:
        encoder.register_forward_hook(note)
    return kept


def _status(key: str) -> int:
    """KiB, from /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise KeyError(key)
