"""Many scenes opened and cut, in the order of the listing, a bounded number at a time.

Where headers are read is the caller's: by threads of this process (`HeaderThreads`), or by workers of a cluster. A
header that an earlier plan of the same output holds is not read again.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Protocol

from encdec_batch.errors import HeaderTooLarge
from encdec_batch.plan.daemons import DaemonPool
from encdec_batch.plan.plan import (
    Committed,
    Known,
    Plan,
    Planned,
    Seen,
    Sorted,
    cut_candidate,
    open_candidate,
    with_etag,
)
from encdec_batch.plan.recipe import Recipe
from encdec_batch.plan.scene import Candidate, ScenePlan, SetAside

THREADS = 16
"""Headers that a process reads at a time: they wait for the store most of the while."""
SMALL_HEADER_BYTES = 2**20
"""Enough for 65,000 tiles. Larger headers, up to the limit of 64 MiB, are read one at a time: parsed, they weigh many
times what they weigh in the file."""
AHEAD = 64
"""Scenes that are opened, or about to be, before the first of them is asked for."""
LONG_S = 300.0
"""A header that takes longer is spoken of. What ends it is not here."""
LEAVE_S = 10.0
"""How long headers that are being read are waited for when nobody wants them any more."""

_large_header = threading.Lock()
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A scene to be planned, and its marker: all that a process needs which opens it."""

    candidate: Candidate
    marker: Committed | None
    parts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Part key to blocks that are done, which are not counted among the bytes to read; where they are known."""

    def known(self) -> Known:
        committed = {self.candidate.scene_id: self.marker} if self.marker else {}
        return Known(committed=committed, quarantined={}, parts=self.parts)


Opening = Callable[[Recipe, Wanted], Planned | SetAside]
"""How one header is read: `open_wanted`, or that with a guard round it."""


class Openers(Protocol):
    """Whatever opens scenes for a job. Used by one thread."""

    @property
    def group(self) -> int:
        """Scenes that are handed out together."""

    @property
    def ahead(self) -> int:
        """Groups that are under way at a time."""

    def start(self, wanted: Sequence[Wanted]) -> Callable[[], list[Planned | SetAside]]:
        """Begins to open some scenes; what comes back waits for them, and gives them in their order.

        Raises:
            SpecError: (what comes back) no block of any scene fits the budget.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A header that an earlier plan read of the very same object."""

    seen: Seen
    part_key: str
    """Of the scene as it was cut then: where it is cut so again, the rest holds as well."""
    bytes_to_read: int
    """Of all its blocks."""
    staged: bool


class Memory(Protocol):
    """Headers that were read before."""

    def find(self, candidate: Candidate) -> Remembered | None:
        """What is known of this very version of an object."""


class NoMemory:
    """A `Memory` of nothing."""

    def find(self, candidate: Candidate) -> Remembered | None:  # noqa: ARG002
        return None


class HeaderThreads:
    """`Openers` of this process; `close` ends them, but waits for none that hangs.

    Args:
        recipe: of the job.
        opening: what each thread does with a scene.
    """

    group = 1
    ahead = AHEAD

    def __init__(self, recipe: Recipe, opening: Opening | None = None) -> None:
        self._recipe, self._opening = recipe, opening or open_wanted
        self._pool = DaemonPool(THREADS, "header")

    def start(self, wanted: Sequence[Wanted]) -> Callable[[], list[Planned | SetAside]]:
        futures = [self._pool.submit(partial(self._opening, self._recipe, one)) for one in wanted]
        return lambda: [_result(future, one) for future, one in zip(futures, wanted, strict=True)]

    def close(self) -> None:
        self._pool.close(LEAVE_S)


def _result(future: Future[Planned | SetAside], wanted: Wanted) -> Planned | SetAside:
    while not wait([future], LONG_S).done:
        log.warning("header.slow", extra={"scene": wanted.candidate.scene_id, "uri": wanted.candidate.uri})
    return future.result()


def open_wanted(recipe: Recipe, wanted: Wanted) -> Planned | SetAside:
    """Reads the header of one scene and cuts it. A process holds one large header at a time.

    Args:
        recipe: of the job.
        wanted: the scene.

    Raises:
        SpecError: no block of any scene fits the budget.
    """
    known = wanted.known()
    try:
        return open_candidate(recipe, wanted.candidate, known, max_header_bytes=SMALL_HEADER_BYTES)
    except HeaderTooLarge:
        with _large_header:
            return open_candidate(recipe, wanted.candidate, known)


def wanted_of(work: Sorted, known: Known) -> Iterator[Wanted]:
    """The scenes that are to be done, in the order of the listing."""
    return (Wanted(candidate=found, marker=known.committed.get(found.scene_id)) for found in work.todo)


def plan_scenes(
    recipe: Recipe,
    wanted: Iterable[Wanted],
    openers: Openers,
    *,
    parts: Mapping[str, frozenset[str]],
    memory: Memory,
) -> Iterator[Planned | SetAside]:
    """Each scene cut and keyed, or set aside, in their order; opens no more than `openers` take at a time.

    Raises:
        SpecError: no block of any scene fits the budget.
    """
    left = iter(wanted)
    under_way: deque[_Group] = deque()
    while group := list(islice(left, openers.group)):
        under_way.append(_Group(recipe, group, openers, memory))
        if len(under_way) > openers.ahead:
            yield from under_way.popleft().results(parts)
    while under_way:
        yield from under_way.popleft().results(parts)


class _Group:
    """Scenes that are opened together, without those whose headers are known."""

    def __init__(self, recipe: Recipe, wanted: Sequence[Wanted], openers: Openers, memory: Memory) -> None:
        self._recipe, self._wanted, self._openers = recipe, wanted, openers
        self._known = [_from_memory(recipe, one, memory) for one in wanted]
        unknown = [one for one, found in zip(wanted, self._known, strict=True) if found is None]
        self._opened = openers.start(unknown) if unknown else list

    def results(self, parts: Mapping[str, frozenset[str]]) -> Iterator[Planned | SetAside]:
        opened = iter(self._opened())
        for wanted, known in zip(self._wanted, self._known, strict=True):
            yield self._less_done(wanted, known or next(opened), parts)

    def _less_done(
        self, wanted: Wanted, planned: Planned | SetAside, parts: Mapping[str, frozenset[str]]
    ) -> Planned | SetAside:
        """Without the blocks and checks that lie in the store. What is left of a scene that was begun costs what its
        tiles say: it is opened once more.
        """
        done = None if isinstance(planned, SetAside) else parts.get(planned.scene.part_key)
        if isinstance(planned, SetAside) or not done:
            return planned
        scene = planned.scene
        if done.issuperset((*(block.name for block in scene.grid().blocks()), *scene.checks.names)):
            return Planned(scene=replace(scene.with_done(done), staged=False), bytes_to_read=0)
        [once_more] = self._openers.start([replace(wanted, parts={scene.part_key: done})])()
        return once_more


def _from_memory(recipe: Recipe, wanted: Wanted, memory: Memory) -> Planned | SetAside | None:
    found = memory.find(wanted.candidate)
    if found is None:
        return None
    scene = cut_candidate(recipe, wanted.candidate, found.seen, wanted.known())
    if isinstance(scene, SetAside):
        return scene
    # Cut in another way, it costs other bytes: only its tiles tell how many.
    if scene.part_key != found.part_key:
        return None
    return Planned(scene=replace(scene, staged=found.staged), bytes_to_read=found.bytes_to_read, remembered=True)


def replan_scene(recipe: Recipe, scene: ScenePlan, known: Known, openers: Openers) -> Planned | SetAside:
    """A scene whose object was replaced while it was read, planned once more from the object as it is now.

    Args:
        recipe: of the job.
        scene: as it was planned.
        known: what lies in the output of it now.
        openers: read its header.

    Raises:
        SpecError: no block of any scene fits the budget.
    """
    if scene.stack:
        # Its neighbours may be others by now: only the source tells.
        return SetAside(
            scene_id=scene.scene_id,
            uri=scene.uri,
            stage="plan",
            reason="it, or a slice beside it, was replaced while it was read",
            hint="the next run takes it up again",
            transient=True,
        )
    candidate = Candidate(
        scene_id=scene.scene_id,
        uri=scene.uri,
        etag="",
        size_bytes=-1,
        bands=scene.asked_bands,
        link=scene.link,
        plane=scene.plane,
    )
    found = with_etag(recipe.spec, candidate)
    if isinstance(found, SetAside):
        return found
    marker = known.committed.get(scene.scene_id)
    [planned] = openers.start([Wanted(candidate=found, marker=marker, parts=known.parts)])()
    return planned


def make_plan(
    recipe: Recipe, work: Sorted, known: Known, openers: Openers | None = None, memory: Memory | None = None
) -> Plan:
    """The whole plan at once: every scene that is to be done, opened or remembered.

    Args:
        recipe: of the job.
        work: the candidates, sorted.
        known: what lies in the output.
        openers: None: threads of this process.
        memory: of earlier plans.

    Raises:
        SpecError: no block of any scene fits the budget.
    """
    aside, planned = list(work.set_aside), list[Planned]()
    own = HeaderThreads(recipe)
    with closing(own):
        found = plan_scenes(
            recipe, wanted_of(work, known), openers or own, parts=known.parts, memory=memory or NoMemory()
        )
        for one in found:
            if isinstance(one, SetAside):
                aside.append(one)
            else:
                planned.append(one)
    return Plan(
        recipe=recipe,
        scenes=tuple(one.scene for one in planned),
        bytes_to_read={one.scene.scene_id: one.bytes_to_read for one in planned},
        done=work.done,
        set_aside=tuple(aside),
        keys=work.keys,
    )
