"""Objects looked into side by side: by threads of this process, or by the workers of a cluster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from encdec_batch.errors import CredentialsExpired, EncdecError, unexpected
from encdec_batch.plan.contents_memory import Key
from encdec_batch.plan.daemons import DaemonPool
from encdec_batch.plan.expand import Seen
from encdec_batch.plan.open import look_into
from encdec_batch.plan.plan import aside_from, with_etag
from encdec_batch.plan.scene import Candidate, SetAside
from encdec_batch.read.contents import Contents
from encdec_batch.spec.compute import RayStream
from encdec_batch.spec.job import JobSpec
from encdec_batch.stream.calls import Calls, open_calls

THREADS = 16
"""Objects that are looked into at a time by one process: the store is waited for most of the while."""
LEAVE_S = 10.0
GROUP = 64
"""Objects of one call."""
CALLS_A_WORKER = 4
"""That are handed out at a time: what is said of the progress, and what a cluster holds, is by so many."""

Told = Callable[[int, int], None]
"""Hears how many are through, of how many."""


def untold(done: int, total: int) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    candidates: Sequence[Candidate]
    before: Mapping[Key, Contents] = field(default_factory=dict)
    """What is known of them."""


def look_at(
    spec: JobSpec, before: Mapping[Key, Contents], candidates: Sequence[Candidate], told: Told, *, here: bool
) -> list[Seen]:
    """What objects hold, in their order; those of which nothing is known yet are opened.

    A Ray of this machine is not started for it: it would have no more cores than this process has.

    Args:
        spec: of the job.
        before: what is known.
        candidates: the objects.
        told: hears of the progress.
        here: by threads of this process, wherever the job runs.

    Raises:
        CredentialsExpired: the same for all of them.
        EncdecError: the cluster does not answer.
    """
    stream = spec.compute.stream
    if here or not isinstance(stream, RayStream) or stream.address == "local":
        return _by_threads(spec, _Group(candidates=candidates, before=before), told)
    # What is known costs no call.
    todo = [one for one in candidates if not one.etag or (one.uri, one.etag) not in before]
    if not todo:
        return _by_threads(spec, _Group(candidates=candidates, before=before), told)
    with open_calls(stream, "cpu") as calls:
        seen = _by_workers(spec, _groups(todo, before), calls, told, len(todo))
    found = dict(zip((one.scene_id for one in todo), seen, strict=True))
    return [found.get(one.scene_id) or (one, before[one.uri, one.etag]) for one in candidates]


def _groups(candidates: Sequence[Candidate], before: Mapping[Key, Contents]) -> list[_Group]:
    """Of objects that were named, only a look at the store tells whether they are as they were."""
    by_uri: dict[str, dict[Key, Contents]] = defaultdict(dict)
    for key, contents in before.items():
        by_uri[key[0]][key] = contents
    parts = [candidates[at : at + GROUP] for at in range(0, len(candidates), GROUP)]
    return [
        _Group(
            candidates=part,
            before={key: held for one in part if not one.etag for key, held in by_uri.get(one.uri, {}).items()},
        )
        for part in parts
    ]


def _by_workers(spec: JobSpec, groups: Sequence[_Group], calls: Calls, told: Told, total: int) -> list[Seen]:
    seen: list[Seen] = []
    step = max(1, calls.workers) * CALLS_A_WORKER
    for at in range(0, len(groups), step):
        some = groups[at : at + step]
        try:
            for found in calls(_look_at_group, spec, some):
                seen += found
        except CredentialsExpired:
            raise
        except EncdecError:
            # No object's fault comes out of a call: a worker died of one again and again, or it is the cluster.
            for group in some:
                seen += _one_by_one(spec, group, calls)
        told(len(seen), total)
    return seen


def _one_by_one(spec: JobSpec, group: _Group, calls: Calls) -> list[Seen]:
    """Each in a call of its own, so that what a worker dies of is known."""
    seen: list[Seen] = []
    for one in group.candidates:
        try:
            [[found]] = calls(_look_at_group, spec, [_Group(candidates=[one], before=group.before)])
        except CredentialsExpired:
            raise
        except EncdecError as error:
            hint = "look into it by itself; the next run tries again"
            said = EncdecError(f"the worker that was to look into it was lost: {error.message}", hint=hint)
            aside = aside_from(said, scene_id=one.scene_id, uri=one.uri, stage="plan")
            found = SetAside(
                scene_id=one.scene_id, uri=one.uri, stage="plan", reason=aside.reason, hint=aside.hint, transient=True
            )
        seen.append(found)
    return seen


def _look_at_group(spec: JobSpec, group: _Group) -> list[Seen]:
    return _by_threads(spec, group, untold)


def _by_threads(spec: JobSpec, group: _Group, told: Told) -> list[Seen]:
    pool = DaemonPool(THREADS, "contents")
    try:
        futures = [pool.submit(partial(_look, spec, group.before, found)) for found in group.candidates]
        seen = []
        for future in futures:
            seen.append(future.result())
            told(len(seen), len(futures))
        return seen
    finally:
        pool.close(LEAVE_S)


def _look(spec: JobSpec, before: Mapping[Key, Contents], listed: Candidate) -> Seen:
    found = with_etag(spec, listed)
    if isinstance(found, SetAside):
        return found
    try:
        return found, before.get((found.uri, found.etag)) or look_into(spec, found.images[0])
    except CredentialsExpired:
        raise
    except Exception as error:  # noqa: BLE001  (the boundary: one object must not stop the others)
        # Whether names are private is known when all have been looked into.
        private = spec.privacy.hide != "off"
        said = error if isinstance(error, EncdecError) else unexpected(error, "plan", private=private)
        return aside_from(said, scene_id=found.scene_id, uri=found.uri, stage="plan")
