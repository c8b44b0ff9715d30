"""Calls by tasks of a Ray, each on a node that has what a worker of the training or job asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from encdec_batch.errors import EncdecError, SpecError, WorkerLost, unexpected
from encdec_batch.spec.compute import RayStream
from encdec_batch.spec.train_compute import RayTraining
from encdec_batch.stream.calls import Device, R, S, T
from encdec_batch.stream.cluster_fit import check_node_fits
from encdec_batch.stream.ray_session import ray_session

AHEAD = 2
"""Calls that are handed out, for each that is made."""
TRIES = 4
"""Machines that may be lost under a call, less one."""
_STORE_GIB = 1.0


class RayCalls:
    """Each call a task; Ray repeats one whose machine was lost."""

    def __init__(self, place: dict[str, Any], device: Device, workers: int) -> None:
        self._place, self.device, self.workers = place, device, workers

    def __call__(self, work: Callable[[S, T], R], shared: S, things: Sequence[T]) -> list[R]:
        import ray

        task: Any = ray.remote(max_retries=TRIES - 1, **self._place)(work)
        shared_ref = ray.put(shared)
        tasks = [task.remote(shared_ref, thing) for thing in things]
        try:
            done: list[R] = ray.get(tasks)
        except ray.exceptions.RayError as error:
            raise _ours(error) from error
        return done

    def as_completed(
        self, work: Callable[[S, T], R], shared: S, things: Sequence[T]
    ) -> Iterator[tuple[T, R | WorkerLost]]:
        import ray

        task: Any = ray.remote(max_retries=TRIES - 1, **self._place)(work)
        shared_ref, left, running = ray.put(shared), iter(things), dict[Any, T]()
        while True:
            # No more than are soon begun: what waits in Ray is kept there, argument and all.
            for thing in islice(left, AHEAD * self.workers - len(running)):
                running[task.remote(shared_ref, thing)] = thing
            if not running:
                return
            [ref], _ = ray.wait(list(running), num_returns=1)
            thing = running.pop(ref)
            try:
                yield thing, ray.get(ref)
            except ray.exceptions.RayTaskError as error:
                raise _ours(error) from error
            except ray.exceptions.RayError as error:
                yield thing, WorkerLost(f"its worker was lost {TRIES} times: {type(error).__name__}")


@contextmanager
def ray_calls(stream: RayTraining | RayStream, device: Device, *, verbose: bool) -> Iterator[RayCalls]:
    """Calls by a Ray of their own, or a cluster.

    Args:
        stream: whose workers are asked for.
        device: `compute.device`.
        verbose: let Ray talk.

    Raises:
        EncdecError: the cluster does not answer.
        SpecError: a GPU is asked for and none is given; no node has room for a worker, and none will come.
    """
    most = stream.most_workers if isinstance(stream, RayTraining) else stream.max_workers or 1
    memory = int((stream.object_store_gib or _STORE_GIB) * 2**30)
    with ray_session(stream.address, object_store_bytes=memory, processes=most + 2, verbose=verbose):
        place = _place(stream, device)
        if device == "cuda" and "num_gpus" not in place:
            raise SpecError(
                "compute.device is cuda, but the workers are given no GPU",
                hint="set compute.stream.gpus_per_worker, or start Ray where it sees the GPUs",
            )
        check_node_fits(place, stream.address, what="a worker that judges", hint="ask for less in compute.stream")
        # Ray hides no GPU from a task that was given none: it must not find one by itself.
        import ray

        at_a_time = calls_at_a_time(stream, place, ray.cluster_resources())
        yield RayCalls(place, device if "num_gpus" in place else "cpu", at_a_time)


def calls_at_a_time(stream: RayTraining | RayStream, place: Mapping[str, Any], resources: Mapping[str, float]) -> int:
    """As many as the spec allows; where it says nothing, as many as the Ray has room for.

    Args:
        stream: whose workers are asked for.
        place: what each call takes of a node.
        resources: of all nodes.
    """
    if isinstance(stream, RayTraining):
        return stream.most_workers
    if stream.max_workers is not None:
        return stream.max_workers
    rooms = (("CPU", "num_cpus"), ("GPU", "num_gpus"))
    return max(1, min(int(resources.get(name, 0) / place[key]) for name, key in rooms if place.get(key)))


def _place(stream: RayTraining | RayStream, device: Device) -> dict[str, Any]:
    import ray

    gpus = stream.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if device != "cpu" and ray.cluster_resources().get("GPU", 0) else 0.0
    place: dict[str, Any] = {"num_cpus": stream.cpus_per_worker}
    if gpus:
        place["num_gpus"] = gpus
    if isinstance(stream, RayStream) and stream.labels:
        place["label_selector"] = dict(stream.labels)
    return place


def _ours(error: Exception) -> EncdecError:
    """An error of ours that a task raised is not its process's death."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, EncdecError):
        return cause
    return unexpected(cause if isinstance(cause, Exception) else error, "a worker")
