"""Batches on the device before the network wants them: made, cut and copied by a thread while it computes."""

from __future__ import annotations

import queue
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encdec_batch.train.batch import Batch, Batches, Turn
from encdec_batch.train.learning.learner import Sample
from encdec_batch.train.learning.losses import Truth

_AHEAD = 2
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """One batch, ready."""

    batch: Batch
    parts: tuple[Sample, ...]
    """The batch on the device, in as many parts as were asked for; images channels-last."""
    copied: torch.cuda.Event | None
    """On CUDA: when the copies are there."""

    def tensors(self) -> Iterator[Tensor]:
        for part in self.parts:
            yield from (part.image_NCHW, part.truth.target, part.truth.valid_NHW, part.level_N)


class Feed:
    """The batches of one worker, epoch after epoch, made by a thread that is at most two ahead.

    Args:
        batches: where they come from.
        turn: of the first one.
        device: `cpu` or `cuda:n`.
        parts: that each is cut into; none is empty, so a small batch may have fewer.
        margin: taken off on each side of the targets, for networks that give less than they take.

    Use it in a `with` block; leaving it ends the thread.
    """

    def __init__(self, batches: Batches, turn: Turn, device: torch.device, *, parts: int = 1, margin: int = 0) -> None:
        self._batches, self._turn, self._device = batches, turn, device
        self._parts, self._margin = parts, margin
        # Copies run on a stream of their own, beside the kernels of the step before.
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._ready: queue.Queue[Loaded | BaseException] = queue.Queue(maxsize=_AHEAD)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="feed", daemon=True)
        self.waited_s = 0.0
        """For how long the network had nothing to do."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        # One that waits for a batch that never comes is left: it is a daemon, and the process is at its end.
        patience = time.monotonic() + _PATIENCE_S
        while self._thread.is_alive() and time.monotonic() < patience:
            self._drain()
            self._thread.join(timeout=0.05)

    def next(self) -> Loaded:
        """The next batch.

        Raises:
            EncdecError: it could not be made.
        """
        began = time.monotonic()
        found = self._ready.get()
        self.waited_s += time.monotonic() - began
        if isinstance(found, BaseException):
            raise found
        if found.copied is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_event(found.copied)
            for tensor in found.tensors():
                # The allocator must not hand this memory out again before the current stream is through with it.
                tensor.record_stream(current)
        return found

    def _work(self) -> None:
        try:
            for batch in self._all():
                if not self._put(self._loaded(batch)):
                    return
        except BaseException as error:  # noqa: BLE001  (told to the thread that waits, which raises it)
            self._put(error)

    def _all(self) -> Iterator[Batch]:
        turn = self._turn
        while True:
            yield from self._batches.epoch(turn)
            turn = replace(turn, epoch=turn.epoch + 1, start=0)

    def _loaded(self, batch: Batch) -> Loaded:
        cuts = np.array_split(np.arange(len(batch)), self._parts)
        on_stream: AbstractContextManager[Any] = torch.cuda.stream(self._stream) if self._stream else nullcontext()
        with on_stream:
            parts = tuple(self._part(batch, slice(int(cut[0]), int(cut[-1]) + 1)) for cut in cuts if len(cut))
            copied = self._stream.record_event() if self._stream else None
        return Loaded(batch=batch, parts=parts, copied=copied)

    def _part(self, batch: Batch, part: slice) -> Sample:
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
        # The allocator of page-locked memory waits for the copy before it uses the memory again.
        return host.pin_memory().to(self._device, non_blocking=True)

    def _put(self, item: Loaded | BaseException) -> bool:
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
