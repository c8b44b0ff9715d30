"""One function, called for each of some things: in this process, or by workers of a Ray.

For work whose results are few and small, and which is no stream of blocks: candidates that are judged, samples of an
archive. What comes back is what the function returns, in the order of the things, the same wherever it ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, Protocol, TypeVar

from encdec_batch.errors import WorkerLost
from encdec_batch.spec.compute import LocalStream, RayStream
from encdec_batch.spec.train_compute import LocalTraining, RayTraining

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")
Device = Literal["auto", "cpu", "cuda"]


class Calls(Protocol):
    """Who makes the calls."""

    @property
    def workers(self) -> int:
        """How many calls are made at a time, at most."""

    @property
    def device(self) -> Device:
        """What a call may compute on."""

    def __call__(self, work: Callable[[S, T], R], shared: S, things: Sequence[T]) -> list[R]:
        """`work(shared, thing)` of each thing, in their order.

        Args:
            work: a function of a module; both of its arguments and its result can be pickled.
            shared: what every call has; it is sent once.
            things: one for each call.

        Raises:
            EncdecError: of any call, or a worker died again and again.
        """

    def as_completed(
        self, work: Callable[[S, T], R], shared: S, things: Sequence[T]
    ) -> Iterator[tuple[T, R | WorkerLost]]:
        """The same, each as soon as it is done. Of a thing whose worker died again and again there is that; the others
        are done all the same.

        Args:
            work: as above, and so are the others.
            shared: what every call has.
            things: one for each call, different from each other.

        Raises:
            EncdecError: of any call.
        """


class CallsHere:
    """In this process, one after the other."""

    workers = 1

    def __init__(self, device: Device) -> None:
        self.device: Device = device

    def __call__(self, work: Callable[[S, T], R], shared: S, things: Sequence[T]) -> list[R]:
        return [work(shared, thing) for thing in things]

    def as_completed(
        self, work: Callable[[S, T], R], shared: S, things: Sequence[T]
    ) -> Iterator[tuple[T, R | WorkerLost]]:
        return ((thing, work(shared, thing)) for thing in things)


@contextmanager
def open_calls(
    stream: RayTraining | LocalTraining | RayStream | LocalStream, device: Device, *, verbose: bool = False
) -> Iterator[Calls]:
    """Calls by workers such as a training or a job would have.

    Args:
        stream: `compute.stream` of its spec.
        device: `compute.device` of its spec.
        verbose: let Ray talk.

    Raises:
        EncdecError: the cluster does not answer.
        SpecError: no node of it has room for such a worker, and none will come.
    """
    if not isinstance(stream, RayTraining | RayStream):
        yield CallsHere(device)
        return
    from encdec_batch.stream.ray_calls import ray_calls

    with ray_calls(stream, device, verbose=verbose) as calls:
        yield calls
