"""What steps came to, as the curve shows it: mean losses, speed, waiting for data, time left."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from math import isfinite

from encdec_batch.train.learning.loop import Done


@dataclass
class Mean:
    """What is remembered of the steps since the last point of the curve."""

    sums: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    seconds: float = 0.0
    waited_s: float = 0.0

    def add(self, done: Done) -> None:
        self.sums.update(done.losses | {"gradient": done.gradient})
        self.steps, self.seconds = self.steps + 1, self.seconds + done.seconds
        self.waited_s += done.waited_s

    def values(self, done: Done, batch: int) -> dict[str, float]:
        means = {name: value / self.steps for name, value in self.sums.items() if isfinite(value)}
        rate, waited = batch * self.steps / self.seconds, self.waited_s / self.seconds
        return {**means, "learning_rate": done.learning_rate, "images_per_s": rate, "waited": waited}


class Pace:
    """Time left, by the steps since this process began; evaluations are among them."""

    def __init__(self, steps: int) -> None:
        self._steps, self._began = steps, time.monotonic()
        self._first: int | None = None

    def left(self, step: int) -> float | None:
        now = time.monotonic()
        if self._first is None:
            # What came before the first point is more start than step.
            self._first, self._began = step, now
            return None
        return (now - self._began) / (step - self._first) * (self._steps - step) if step > self._first else None
