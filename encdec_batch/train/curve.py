"""The curve of a training: losses and scores by step, on the store and as TensorBoard has them.

curve/<step>.json    the points since the checkpoint before that of <step>; the same step, the same name
tensorboard/         event files, a new one for each process that trained; later ones take the place of earlier
                     points from their first step on
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.plan.keys import canonical_json
from encdec_batch.store.store import Store
from encdec_batch.train.tracking import Tracker

CURVE = "curve/"
EVENTS = "tensorboard/"


@dataclass
class Curve:
    """Takes points and brings them to the store when a checkpoint is made.

    Args:
        store: of the training's folder.
        start: steps that were done before this process began.
    """

    store: Store
    start: int
    tracker: Tracker | None = None
    """Gets the points too."""
    _points: list[Mapping[str, Any]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        # Takes half a second, and half of all processes write none.
        from tensorboardX import SummaryWriter

        self._folder = Path(mkdtemp(prefix="eb-events-"))
        self._writer = SummaryWriter(str(self._folder), purge_step=self.start or None, filename_suffix=f".{self.start}")

    def point(self, step: int, values: Mapping[str, float]) -> None:
        """Figures of one step."""
        self._points.append({"step": step, **values})
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        if self.tracker:
            self.tracker.point(step, values)

    def picture(self, step: int, name: str, rows_HWC: NDArray[np.uint8]) -> None:
        self._writer.add_image(name, rows_HWC, step, dataformats="HWC")

    def flush(self, step: int) -> None:
        """Bring what is new to the store.

        Raises:
            StoreError: it did not take it.
        """
        self.store.put(f"{CURVE}{step:09d}.json", canonical_json(list(self._points)))
        self._points = []
        self._writer.flush()
        for path in sorted(self._folder.iterdir()):
            self.store.put(f"{EVENTS}{path.name}", path.read_bytes())

    def close(self, *, finished: bool = False) -> None:
        """Removes its own folder; what is not on the store is lost."""
        self._writer.close()
        if self.tracker:
            self.tracker.close(finished=finished)
        for path in self._folder.iterdir():
            path.unlink()
        self._folder.rmdir()


def read_curve(store: Store) -> list[dict[str, Any]]:
    """All points that checkpoints have brought to the store, in order."""
    points: list[dict[str, Any]] = []
    for info in sorted(store.list(CURVE), key=lambda info: info.path):
        points += json.loads(store.get(info.path))
    return points
