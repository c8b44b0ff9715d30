"""Planning while the stream works: a thread that keeps a bounded number of blocks planned before they are asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from encdec_batch.plan.plan import Planned
from encdec_batch.plan.scene import SetAside

FIRST_BLOCKS = 128
"""Of the first segment: work begins early, and many workers have some."""
GROWTH = 4
LARGEST_BLOCKS = 10_000
"""Of a segment, and of what is planned before it is asked for: some 4 KB a block at most. A scene is not divided: the
last one may exceed it. On Ray a segment is an execution of its own, which costs about 3 s."""
PATIENCE_S, LONGEST_PATIENCE_S = 2.0, 60.0
"""Then a segment begins with less than it should have: headers come slowly. It doubles from segment to segment: where
planning is what takes the time, few long segments are no later than many short ones, and cost less."""
BEAT_S = 0.5
LEAVE_S = 10.0
"""How long a scene that is being planned is waited for when nobody wants it any more: one that hangs is left behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Scenes that are streamed together, and what was set aside between them."""

    planned: tuple[Planned, ...] = ()
    set_aside: tuple[SetAside, ...] = ()


class Planner:
    """Draws from `results` in a thread of its own; `with` starts it, and waits at its end for no scene that hangs.

    Args:
        results: of `plan_scenes`.
        clock: seconds, for tests.
    """

    def __init__(self, results: Iterator[Planned | SetAside], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._results, self._clock = results, clock
        self._state = threading.Condition()
        self._ready: list[Planned | SetAside] = []
        self._blocks = 0
        self._read = 0
        self._ended = self._stopped = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._draw, name="planner", daemon=True)

    @property
    def num_planned(self) -> int:
        """Scenes that are planned, handed out or not."""
        return self._read

    def segments(self) -> Iterator[Segment]:
        """What is planned, in order, in segments that grow. An empty one comes every half second while there is nothing
        yet, so that who waits can do something else.

        Raises:
            SpecError: no block of any scene fits the budget.
        """
        wanted, patience, since = FIRST_BLOCKS, PATIENCE_S, self._clock()
        while True:
            impatient = self._clock() - since > patience
            segment = self._take(1 if impatient else wanted)
            if segment is None:
                return
            yield segment
            if segment.planned:
                wanted, patience = min(GROWTH * wanted, LARGEST_BLOCKS), min(2 * patience, LONGEST_PATIENCE_S)
                since = self._clock()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._state:
            self._stopped = True
            self._state.notify_all()
        self._thread.join(LEAVE_S)

    def _take(self, wanted: int) -> Segment | None:
        """All that is ready, once that is `wanted` blocks; an empty segment after a beat, None after the last."""
        with self._state:
            enough = self._state.wait_for(lambda: self._ended or self._blocks >= wanted, BEAT_S)
            if self._error is not None:
                raise self._error
            if not enough:
                return Segment()
            if not self._ready:
                return None
            ready, self._ready, self._blocks = self._ready, [], 0
            self._state.notify_all()
        return Segment(
            planned=tuple(one for one in ready if isinstance(one, Planned)),
            set_aside=tuple(one for one in ready if isinstance(one, SetAside)),
        )

    def _draw(self) -> None:
        try:
            for one in self._results:
                if not self._put(one):
                    return
        except BaseException as error:  # noqa: BLE001  (it is raised by who takes)
            self._error = error
        finally:
            with self._state:
                self._ended = True
                self._state.notify_all()

    def _put(self, one: Planned | SetAside) -> bool:
        """Waits for room; False: nobody wants any more."""
        with self._state:
            self._state.wait_for(lambda: self._stopped or self._blocks < LARGEST_BLOCKS)
            if self._stopped:
                return False
            self._ready.append(one)
            self._blocks += _weight(one)
            self._read += 1
            self._state.notify_all()
        return True


def _weight(one: Planned | SetAside) -> int:
    """Blocks to be computed, and one at least: a scene of which all is there takes room as well."""
    if isinstance(one, SetAside):
        return 1
    return max(1, one.scene.grid().num_blocks - len(one.scene.blocks_done))
