"""Faults of tests, planted in every Python that finds this folder first on its path.

`ENCDEC_TEST_FAULTS` names a file of JSON, a list of faults. Each says at which stage it strikes, at which scene (by its
height and width), at which block (by its row and column offset; none: at every one), how, and how often (none: always).
What struck is written to the same name with `.log` behind it: a line a fault, with the process it struck and
the parent of that.
What waits goes on when there is the same name with `.go` behind it.
"""

from __future__ import annotations

import ctypes
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import signal
import sys
import time
from functools import wraps
from pathlib import Path

FAULTS = os.environ.get("ENCDEC_TEST_FAULTS", "")
HOURS = 3600


def planted() -> list[dict]:
    path = Path(FAULTS)
    return json.loads(path.read_text()) if path.exists() else []


def strike(stage: str, shape: tuple[int, int], at: tuple[int, int] | None) -> None:
    """Carries out the fault that is planted here, if there is one."""
    for fault in planted():
        if (fault["stage"], fault["shape"]) != (stage, list(shape)) or fault.get("at") not in (None, at and list(at)):
            continue
        line = f"{stage} {shape[0]}x{shape[1]} {fault['how']}"
        log = Path(f"{FAULTS}.log")
        if fault.get("times") is not None:
            before = log.read_text().splitlines() if log.exists() else []
            if sum(said.startswith(line) for said in before) >= fault["times"]:
                continue
        alone = "alone" if any("encdec_batch.stream.alone" in word for word in sys.orig_argv) else "among others"
        with log.open("a") as file:
            file.write(f"{line} {os.getpid()} {os.getppid()} {alone}\n")
        HOW[fault["how"]]()


def wait() -> None:
    while not Path(f"{FAULTS}.go").exists():
        time.sleep(0.02)


def fail() -> None:
    raise RuntimeError("planted")


HOW = {
    "raise": fail,
    "exit": lambda: os._exit(3),
    "system exit": lambda: sys.exit(4),
    "segv": lambda: ctypes.string_at(0),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "sleep": lambda: time.sleep(HOURS),
    "a second": lambda: time.sleep(1),
    "wait": wait,
    "note": lambda: None,
    # A call through PyDLL keeps the interpreter's lock.
    "hold the lock": lambda: ctypes.PyDLL(None).sleep(HOURS),
}


def wrap(module, name, where):
    """Lets `where` see the arguments of a call before it is carried out."""
    holder, _, attribute = name.rpartition(".")
    owner = getattr(module, holder) if holder else module
    real = getattr(owner, attribute)

    @wraps(real)
    def wrapped(*arguments, **named):
        strike(*where(*arguments))
        return real(*arguments, **named)

    setattr(owner, attribute, wrapped)


def opening(_, candidate, *__):
    if not any(fault["stage"] == "plan" for fault in planted()):
        # Its shape is looked up by a reader of its own, which knows files alone.
        return "plan", (0, 0), None
    from rasterio import open as opened

    with opened(candidate.uri) as scene:
        return "plan", scene.shape, None


def reading(reader, grid, block, *_):
    return "read", (grid.rows.size, grid.cols.size), (block.window.row_off, block.window.col_off)


def predicting(_, scene, block, *__):
    height, width = scene.header.height, scene.header.width
    return "predict", (height, width), (block.window.row_off, block.window.col_off)


def writing(_, layout):
    return "write", layout.scene_shape, (layout.out_window.row_off, layout.out_window.col_off)


def committing(_, order, *__):
    return "commit", (order.scene.header.height, order.scene.header.width), None


def loading(*_):
    return "load", (0, 0), None


PLACES = {
    "encdec_batch.plan.plan": {"open_candidate": opening},
    "encdec_batch.read.block": {"read_block": reading},
    "encdec_batch.predict.stage": {"BlockPredictor.__init__": loading, "BlockPredictor.predict": predicting},
    "encdec_batch.write.encode": {"encode_part": writing},
    "encdec_batch.commit.scene": {"commit_scene": committing},
}


class Planter(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Wraps functions as their modules are imported."""

    def find_spec(self, name, path, target=None):
        if name not in PLACES:
            return None
        self.real = importlib.machinery.PathFinder.find_spec(name, path, target)
        spec = importlib.machinery.ModuleSpec(name, self, origin=self.real.origin)
        spec.has_location = True
        return spec

    def create_module(self, spec):
        return importlib.util.module_from_spec(self.real)

    def exec_module(self, module):
        self.real.loader.exec_module(module)
        for name, where in PLACES[module.__name__].items():
            wrap(module, name, where)


if FAULTS:
    sys.meta_path.insert(0, Planter())
