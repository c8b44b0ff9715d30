"""How far a training is: one small value, said by rank 0 after every point of the curve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A snapshot; on Ray `progress.json` holds the last one."""

    step: int
    steps: int
    loss: float | None
    """Mean since the last point of the curve; None: no step was done yet."""
    images_per_s: float
    """Over all workers."""
    waited: float
    """Share of the time in which a network had to wait for data."""
    seconds_left: float | None
    workers: int
    scores: dict[str, float | None]
    """Of the newest evaluation."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


Report = Callable[[Progress], None]
