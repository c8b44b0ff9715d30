"""The curve of a training: losses and scores by step, on the store and as TensorBoard has them.

curve/<step>.json    the points since the checkpoint before that of <step>; the same step, the same name
tensorboard/         event files, a new one for each process that trained; later ones take the place of earlier
                     points from their first step on
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.plan.keys import canonical_json
from encdec_batch.store.store import Store
from encdec_batch.train.tracking.mlflow import Tracker

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
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        self._folder = Path(mkdtemp(prefix="eb-events-"))
        # Not SummaryWriter, which writes by a thread that its flush does not wait for.
        self._writer = EventsWriter(str(self._folder / "events"), f".{self.start}")
        if self.start:
            self._write(self.start, session_log=SessionLog(status=SessionLog.START))

    def point(self, step: int, values: Mapping[str, float]) -> None:
        """Figures of one step."""
        from tensorboardX.summary import scalar

        self._points.append({"step": step, **values})
        for name, value in values.items():
            self._write(step, summary=scalar(name, value))
        if self.tracker:
            self.tracker.point(step, values)

    def picture(self, step: int, name: str, rows_HWC: NDArray[np.uint8]) -> None:
        from tensorboardX.summary import image

        self._write(step, summary=image(name, rows_HWC, dataformats="HWC"))

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

    def _write(self, step: int, **what: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._writer.write_event(Event(wall_time=time.time(), step=step, **what))

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
