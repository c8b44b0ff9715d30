"""The ledger of a run on Ray: an actor on the driver's node, which every worker asks before it starts something."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from functools import cached_property
from typing import Any

from encdec_batch.commit.attempts import Place, read_attempts, try_to_count
from encdec_batch.errors import EncdecError
from encdec_batch.spec.base import StorageOptions
from encdec_batch.store.open import open_store
from encdec_batch.store.retry import RetryPolicy
from encdec_batch.stream.ledger import Book, Start, Work, Worker, process_name
from encdec_batch.stream.rules import Rules

NOTE_S = 20.0
"""How long the store may take to take the note of a death: every worker waits for that."""
LOADING = "start"
"""The stage of an actor that loads its network."""


class _LedgerActor:
    """The book, behind Ray. Where it is restarted it knows what was noted, and not what was open."""

    def __init__(self, uri: str, options: StorageOptions, rules: Rules) -> None:
        self._store = open_store(uri, options, policy=RetryPolicy().shortened(NOTE_S))
        before = {place: attempts.deaths for place, attempts in read_attempts(self._store).items()}
        self._book = Book(rules, before, alive=_is_alive, note=self._note)

    def held(self, works: Collection[Work], worker: Worker) -> frozenset[Place]:
        return self._book.held(works, worker)

    def start(self, work: Work, worker: Worker) -> Start:
        return self._book.start(work, worker)

    def end(self, work: Work, worker: Worker, seconds: float) -> None:
        self._book.end(work, worker, seconds)

    def _note(self, work: Work) -> None:
        if work.stage != LOADING:
            try_to_count(self._store, work.place, scene_id=work.scene_id, stage=work.stage)


def _is_alive(node: str) -> bool:
    import ray

    return any(known["NodeID"] == node and known["Alive"] for known in ray.nodes())


class RayLedger:
    """A worker's side; travels to workers, and finds out there who it is."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def held(self, works: Collection[Work]) -> frozenset[Place]:
        import ray

        found: frozenset[Place] = ray.get(self._actor.held.remote(list(works), self._worker))
        return found

    def start(self, work: Work) -> Start:
        import ray

        # Waited for: what is sent and not yet away is lost with a process that dies at once.
        start: Start = ray.get(self._actor.start.remote(work, self._worker))
        return start

    def end(self, work: Work, seconds: float) -> None:
        # Not waited for: it arrives before the next start of the same process.
        self._actor.end.remote(work, self._worker, seconds)

    @cached_property
    def _worker(self) -> Worker:
        import ray

        return Worker(node=ray.get_runtime_context().get_node_id(), name=process_name())

    def __reduce__(self) -> tuple[Any, ...]:
        return RayLedger, (self._actor,)


def start_ledger(uri: str, options: StorageOptions, rules: Rules, *, lease_n: int) -> RayLedger:
    """The ledger of one stream; it ends with the last handle to it.

    Raises:
        StoreError: what earlier runs noted cannot be read.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = ray.get_runtime_context().get_node_id()
    actor = (
        ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_LedgerActor)
        .options(
            name=f"encdec-ledger-{lease_n}-{secrets.token_hex(4)}",
            scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False),
        )
        .remote(uri, options, rules)
    )
    return RayLedger(actor)


def loading(actor_id: str) -> Work:
    """An actor that loads its network; one that was restarted has the same id."""
    return Work(place=("", actor_id), scene_id="", stage=LOADING, mpx=0.0)


def cannot_load(deaths: int) -> EncdecError:
    return EncdecError(
        f"the process that holds the network died {deaths} times while it loaded it",
        hint="run `encdec-batch plan`, or compute.stream: {kind: local}, to see it die; look at driver and memory",
    )
