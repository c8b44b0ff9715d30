"""Batches to the device, one ahead of the network: copied while it computes, page-locked on the way to CUDA."""

from __future__ import annotations

import queue
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encdec_batch.train.batch import Batch, Batches, Turn
from encdec_batch.train.learner import Sample
from encdec_batch.train.losses import Truth


class Feed:
    """The batches of one worker, epoch after epoch, made by a thread that is at most two ahead.

    Args:
        batches: where they come from.
        turn: of the first one.
        device: `cpu` or `cuda:n`.
        margin: taken off on each side of the targets, for networks that give less than they take.

    Use it in a `with` block; leaving it ends the thread.
    """

    def __init__(self, batches: Batches, turn: Turn, device: torch.device, *, margin: int = 0) -> None:
        self._batches, self._turn, self._device, self._margin = batches, turn, device, margin
        self._ready: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=2)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="feed", daemon=True)
        self.waited_s = 0.0
        """For how long the network had nothing to do."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        while self._thread.is_alive():
            self._drain()
            self._thread.join(timeout=0.05)

    def next(self) -> Batch:
        """The next batch.

        Raises:
            EncdecError: it could not be made.
        """
        began = time.monotonic()
        found = self._ready.get()
        self.waited_s += time.monotonic() - began
        if isinstance(found, BaseException):
            raise found
        return found

    def to_device(self, batch: Batch, parts: int) -> list[Sample]:
        """The batch in so many parts, of which none is empty; images channels-last."""
        return [self._part(batch, numbers) for numbers in np.array_split(np.arange(len(batch)), parts) if len(numbers)]

    def _part(self, batch: Batch, numbers: NDArray[np.int64]) -> Sample:
        part = slice(int(numbers[0]), int(numbers[-1]) + 1)
        image_NCHW = self._moved(batch.image[part]).contiguous(memory_format=torch.channels_last)
        inside = (..., slice(self._margin, -self._margin or None), slice(self._margin, -self._margin or None))
        target, valid = batch.target[part][inside], batch.valid[part][inside]
        truth = Truth(target=self._moved(target), valid_NHW=self._moved(valid))
        return Sample(image_NCHW=image_NCHW, truth=truth, level_N=self._moved(batch.noise_level[part]))

    def _moved(self, array: NDArray[Any]) -> Tensor:
        with warnings.catch_warnings():
            # Ray's arrays are read-only views of its store; nothing here writes into them.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            host = torch.from_numpy(np.ascontiguousarray(array))
        if self._device.type == "cpu":
            return host
        # The copy runs while the CPU goes on; the allocator of page-locked memory waits for it before it reuses any.
        return host.pin_memory().to(self._device, non_blocking=True)

    def _work(self) -> None:
        try:
            for batch in self._all():
                if not self._put(batch):
                    return
        except BaseException as error:  # noqa: BLE001  (told to the thread that waits, which raises it)
            self._put(error)

    def _all(self) -> Iterator[Batch]:
        turn = self._turn
        while True:
            yield from self._batches.epoch(turn)
            turn = Turn(
                seed=turn.seed,
                epoch=turn.epoch + 1,
                global_batch=turn.global_batch,
                rank=turn.rank,
                world_size=turn.world_size,
            )

    def _put(self, item: Batch | BaseException) -> bool:
        while not self._over.is_set():
            try:
                self._ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def _drain(self) -> None:
        while not self._ready.empty():
            self._ready.get_nowait()
