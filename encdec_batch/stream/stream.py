"""The contract of a stream. tests/contracts/stream.py holds both to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Protocol, Self

from encdec_batch.pipeline import Record
from encdec_batch.plan.item import WorkItem
from encdec_batch.plan.opening import Openers
from encdec_batch.plan.recipe import Recipe, Resolved
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.spec.job import JobSpec


class Host(Protocol):
    """Where a job runs. Used by one thread; `with` starts and ends what it needs."""

    def resolve(self, spec: JobSpec) -> Resolved:
        """What `auto` becomes on a worker of this host; may measure for some seconds."""
        ...

    def openers(self, recipe: Recipe) -> Openers:
        """What reads the headers of scenes here; not by the thread that uses the stream."""
        ...

    def stream(self, recipe: Recipe, *, lease_n: int) -> Stream:
        """The stages, ready for this recipe."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Stream(Protocol):
    """Runs blocks and commits of one job. Used by one thread.

    Each block of each item comes back in exactly one record, in any order; a stage's error is a record. Memory is
    bounded by the blocks in flight, whatever the number of items.
    """

    def records(self, items: Iterable[WorkItem]) -> Iterator[Record]:
        """Reads, predicts and writes the blocks of these items; items are drawn as they are needed.

        Raises:
            LeaseHeld: another run has taken over the output.
        """
        ...

    def commit(self, scene: ScenePlan) -> None:
        """Starts the commit of a scene whose parts all lie in the store."""
        ...

    def commits(self, *, wait: bool) -> Iterator[Record]:
        """Records of the commits that have ended; with `wait`, of all that were started."""
        ...
