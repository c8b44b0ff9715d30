"""Learning without the product: batches that lie in memory as tensors, plain torch, one thread, in its own process."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from encdec_batch.spec.train import TrainSpec
from encdec_batch.train.batch import IGNORE, Batch
from encdec_batch.train.material import Facts

WAIT_S = 900.0
_WARM = 5
"""Steps that are not timed: torch chooses kernels, malloc gets its memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What both loops do."""

    spec: TrainSpec
    """Its only loss is a plain cross-entropy; what else it says of learning is done: clipping, schedule, average."""
    facts: Facts
    batches: tuple[Batch, ...]
    """A few of the training's own; the loop goes round them."""
    steps: int
    """That are timed."""


def images_per_s(task: Task) -> float:
    """Of one thread, with nothing to wait for."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_run, args=(task, queue))
    process.start()
    found: float = queue.get(timeout=WAIT_S)
    process.join()
    return found


def _run(task: Task, queue: Any) -> None:
    from encdec_batch.predict.heap import keep_freed_memory

    # As in a worker (predict/heap.py): without it the bare loop is slower.
    keep_freed_memory()
    import torch
    from torch.nn import functional
    from torch.optim.lr_scheduler import OneCycleLR
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    from encdec_batch.predict.device import choose_device
    from encdec_batch.train.learning.build import build_network
    from encdec_batch.train.learning.loop import AUTOCAST

    torch.set_num_threads(1)
    torch.manual_seed(0)
    learn = task.spec.learn
    dtype = AUTOCAST.get(choose_device("cpu", task.spec.compute.precision, 1).precision)
    network: Any = build_network(task.spec, task.facts)
    network = network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), learn.optimizer.learning_rate)
    schedule = OneCycleLR(optimizer, learn.optimizer.learning_rate, total_steps=task.steps + _WARM)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(learn.ema)) if learn.ema else None
    pairs = [
        (
            torch.from_numpy(batch.image).contiguous(memory_format=torch.channels_last),
            torch.from_numpy(batch.target),
        )
        for batch in task.batches
    ]
    began = 0.0
    for step, (image, target) in zip(range(task.steps + _WARM), cycle(pairs), strict=False):
        if step == _WARM:
            began = time.perf_counter()
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            output = network(image)
        loss = functional.cross_entropy(output.float(), target, ignore_index=IGNORE)
        optimizer.zero_grad()
        loss.backward()
        if learn.clip:
            torch.nn.utils.clip_grad_norm_(network.parameters(), learn.clip)
        optimizer.step()
        schedule.step()
        if average is not None:
            average.update_parameters(network)
        loss.item()
    queue.put(task.steps * learn.batch / (time.perf_counter() - began))
