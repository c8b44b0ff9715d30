"""Who is at what, and which blocks took their process down: the book that a ledger keeps, in memory.

Nothing is asked of the store for a healthy block. A start over an open start of another process is a death: the one
before never came to an end. It counts as long as the node it happened on is alive; a node that is lost takes blocks
with it that have done nothing.
"""

from __future__ import annotations

import os
import secrets
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Protocol

from encdec_batch.commit.attempts import Place
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.stream.rules import Rules

REMEMBERED = 101
"""Items of a stage that its median is of: the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One stage of one block, or a commit."""

    place: Place
    scene_id: str
    stage: str
    mpx: float
    """Scene pixels, in millions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process on a node; one that was restarted is another."""

    node: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a ledger answers to who wants to start."""

    held: bool
    """It must not start: the block is to be run alone."""
    pace: float | None = None
    """Median seconds per Mpx of the stage, once it is known."""


class Ledger(Protocol):
    """What is told of starts and ends. Thread-safe; `start` and `held` have taken effect when they return."""

    def held(self, works: Collection[Work]) -> frozenset[Place]:
        """Which of these, none of which has been started, are to be run alone."""
        ...

    def start(self, work: Work) -> Start:
        """Asks to start; where it is not held it is open from here on."""
        ...

    def end(self, work: Work, seconds: float) -> None:
        """It came to an end, well or not; may return before that is known."""
        ...


class Book:
    """The memory of a ledger. Used by one thread at a time.

    Args:
        rules: how many deaths, and when a median is believed.
        before: deaths that earlier runs counted.
        alive: whether the node of this id is.
        note: told of every death that is counted.
    """

    def __init__(
        self,
        rules: Rules,
        before: Mapping[Place, int],
        *,
        alive: Callable[[str], bool] = lambda _: True,
        note: Callable[[Work], None] = lambda _: None,
    ) -> None:
        self._rules, self._before, self._alive, self._note = rules, dict(before), alive, note
        self._open: dict[tuple[Place, str], Worker] = {}
        self._deaths: dict[Place, list[str]] = {}
        self._paces: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=REMEMBERED))

    def held(self, works: Collection[Work], worker: Worker) -> frozenset[Place]:
        return frozenset(work.place for work in works if self._is_held(work, worker))

    def start(self, work: Work, worker: Worker) -> Start:
        if self._is_held(work, worker):
            return Start(held=True)
        self._open[work.place, work.stage] = worker
        return Start(held=False, pace=self._pace(work.stage))

    def end(self, work: Work, worker: Worker, seconds: float) -> None:
        # A worker that was taken for dead and is not must not close what its successor has open.
        if self._open.get((work.place, work.stage)) == worker:
            del self._open[work.place, work.stage]
        if work.mpx > 0:
            self._paces[work.stage].append(seconds / work.mpx)

    def died(self, works: Collection[Work], worker: Worker) -> None:
        """The process of this worker is gone, and whoever watched it says what it was at: nobody need start that again
        to find out.
        """
        for work in works:
            if self._open.get((work.place, work.stage)) == worker:
                self._count(work)

    def deaths(self, place: Place) -> int:
        """Those of nodes that are alive; a node may be known to be lost only after its death was counted here."""
        return self._before.get(place, 0) + sum(map(self._alive, self._deaths.get(place, ())))

    def _is_held(self, work: Work, worker: Worker) -> bool:
        before = self._open.get((work.place, work.stage))
        if before is not None and before != worker:
            self._count(work)
        return self.deaths(work.place) >= self._rules.deaths

    def _count(self, work: Work) -> None:
        before = self._open.pop((work.place, work.stage))
        if self._alive(before.node):
            self._deaths.setdefault(work.place, []).append(before.node)
            self._note(work)

    def _pace(self, stage: str) -> float | None:
        paces = self._paces[stage]
        return median(paces) if len(paces) >= self._rules.known_after else None


def block_work(scene: ScenePlan, block: str, stage: str, pixels: int) -> Work:
    return Work(place=(scene.part_key, block), scene_id=scene.scene_id, stage=stage, mpx=pixels / 1e6)


@cache
def process_name() -> str:
    """Of this process; two that have the same number, one after the other, have different names."""
    return f"{os.getpid()}-{secrets.token_hex(4)}"
