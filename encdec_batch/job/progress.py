"""How far a run is: one small value, counted by the driver from records."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

State = Literal["planning", "running", "complete", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A snapshot; `progress.json` holds the last one."""

    run_id: str
    state: State = "planning"
    started: float = 0.0
    updated: float = 0.0
    """Seconds since the epoch."""
    scenes_total: int = 0
    scenes_done: int = 0
    """Committed by this run or found committed."""
    scenes_aside: int = 0
    blocks_total: int = 0
    """Planned so far."""
    blocks_done: int = 0
    """Of this run."""
    pixels_total: int = 0
    """Planned so far."""
    pixels_done: int = 0
    """Scene pixels computed by this run."""
    streaming_since: float = 0.0
    headers: tuple[int, int] = (0, 0)
    """Scenes that are planned, and that are to be."""
    message: str = ""

    @property
    def mpx_per_s(self) -> float:
        seconds = self.updated - self.streaming_since
        return self.pixels_done / 1e6 / seconds if self.streaming_since and seconds > 0 else 0.0

    @property
    def planned(self) -> bool:
        """Totals are those of the whole run; before, they grow."""
        return self.headers[0] >= self.headers[1]

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far, scenes that are not planned yet taken for as large as the others; None before there is a
        rate.
        """
        rate, (read, total) = self.mpx_per_s, self.headers
        expected = self.pixels_total * total / read if read and not self.planned else self.pixels_total
        return (expected - self.pixels_done) / 1e6 / rate if rate > 0 else None

    def to_dict(self) -> dict[str, object]:
        rates = {"mpx_per_s": self.mpx_per_s, "seconds_left": self.seconds_left}
        return asdict(self) | {"planned": self.planned} | rates


@dataclass(slots=True)
class Watch:
    """Holds the present snapshot and tells it to whoever shows it."""

    show: Callable[[Progress], None]
    now: Progress
    clock: Callable[[], float] = field(default=time.time)

    def update(self, **changes: object) -> None:
        self.now = replace(self.now, updated=self.clock(), **changes)  # type: ignore[arg-type]
        self.show(self.now)

    def add(self, *, blocks: int = 0, pixels: int = 0, done: int = 0, aside: int = 0) -> None:
        self.update(
            blocks_done=self.now.blocks_done + blocks,
            pixels_done=self.now.pixels_done + pixels,
            scenes_done=self.now.scenes_done + done,
            scenes_aside=self.now.scenes_aside + aside,
        )


@dataclass(frozen=True, slots=True)
class Counted:
    """Tells a watch of things that are no blocks, before the first of these or after the last."""

    watch: Watch
    said: str
    """With a place for `3/12`."""

    def __call__(self, done: int, total: int) -> None:
        self.watch.update(message=self.said.format(f"{done:,}/{total:,}") if done < total else "")


def looking(watch: Watch) -> Counted:
    """Of objects that are looked into before a scene is planned."""
    return Counted(watch, "planning, {} objects looked into")


def making_volumes(watch: Watch) -> Counted:
    """Of volumes whose slices are all committed."""
    return Counted(watch, "writing the files of volumes, {}")
