"""How many threads a local stream has; which scenes are small enough for another process, and how many processes there
is room for.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from encdec_batch.plan.budget import NETWORK_COPIES, PROCESS_BYTES
from encdec_batch.plan.item import is_small
from encdec_batch.plan.recipe import Recipe
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.process import usable_bytes, usable_cpus

DOUBLE_BUFFER = 2
"""Threads that share the network on a GPU: one computes while the other copies."""
PIXELS = 2**20
"""Of a scene, at most: larger ones take so long that Python does not matter, and memory that counts."""
AFTER = 256
"""Small scenes that are through before processes are started: each takes some seconds to begin, and 0.4 GB."""
THREADS = 2
"""Of a process: while one waits for the disk, another computes."""
SHARE = 0.5
"""Of the memory that there is, for all processes together: the rest is for the run, its threads and the system."""
_BLOCK = 512
"""With a tile round it larger than any small scene."""


def num_threads(asked: int | None, torch_device: str) -> int:
    """Threads that run the network; None was asked: one for each core that the process may use, two on a GPU."""
    return asked or (usable_cpus() if torch_device == "cpu" else DOUBLE_BUFFER)


def can_help(scene: ScenePlan, output_uri: str) -> bool:
    """Whether another process could take this scene, and is worth it."""
    in_here = any(uri.startswith("memory:") for uri in (scene.uri, output_uri))
    out_pixels = scene.num_pixels * scene.geometry.scale**2
    return is_small(scene) and out_pixels <= PIXELS and not scene.staged and not in_here


def process_bytes(recipe: Recipe) -> int:
    """Memory of one process, at most: itself, and for each of its threads the network and a scene."""
    network = NETWORK_COPIES * 4 * recipe.card.memory.parameters
    itemsize = max(np.dtype(name).itemsize for name in recipe.card.dtypes)
    scene = recipe.burden(itemsize).block_bytes(recipe.geometry, recipe.tiling(_BLOCK))
    return PROCESS_BYTES + THREADS * (network + scene)


def num_processes(recipe: Recipe, workers: int, *, memory: int | None = None) -> int:
    """How many processes help, once many small scenes are through: one for each worker, as far as memory goes.

    Args:
        recipe: of the job.
        workers: threads of the run; with one alone, nothing is divided.
        memory: bytes that there are; None: of this machine, or of its container.
    """
    if workers == 1 or recipe.resolved.torch_device != "cpu":
        return 0
    room = SHARE * (usable_bytes() if memory is None else memory)
    number = min(workers, int(room // process_bytes(recipe)))
    # One alone would do no more than the threads of the run, which have nothing to do meanwhile.
    return number if number > 1 else 0


def num_processes_for(recipe: Recipe, workers: int, scenes: Iterable[ScenePlan]) -> int:
    """How many processes these scenes will be given."""
    small = sum(can_help(scene, recipe.spec.output.uri) for scene in scenes)
    return num_processes(recipe, workers) if small > AFTER else 0
