"""Headers under guard, by the rule for blocks: one that took its process down twice is read in a process of its own.

In a local stream threads of the run read them, and its ledger is told. On Ray tasks do, which need none: Ray says of a
task that its process died.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from encdec_batch.errors import EncdecError
from encdec_batch.plan.opening import Wanted, open_wanted
from encdec_batch.plan.plan import Planned
from encdec_batch.plan.recipe import Recipe
from encdec_batch.plan.scene import SetAside
from encdec_batch.stream.alone import verdict_of
from encdec_batch.stream.child import Ended, run_child
from encdec_batch.stream.deadline import Timer
from encdec_batch.stream.guard import Guard
from encdec_batch.stream.ledger import Work
from encdec_batch.stream.rules import Rules

HEADER = "header"
"""Stands for a block's name in the ledger; the key is the scene's, since no part is planned yet."""
PLAN = "plan"
"""The stage."""
CHILDREN = 2
"""Processes that read a header alone, at a time: all that were being read when a run died are read so, its threads' 16,
and each process takes some 200 MB."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderJob:
    """What a process needs to know that reads one header."""

    recipe: Recipe
    wanted: Wanted
    rules: Rules


class GuardedOpening:
    """An `Opening` of a local stream. Used by many threads.

    Args:
        guard: of the stream.
        rules: deadlines.
    """

    def __init__(self, guard: Guard, rules: Rules) -> None:
        self._guard, self._rules = guard, rules
        self._children = threading.Semaphore(CHILDREN)

    def __call__(self, recipe: Recipe, wanted: Wanted) -> Planned | SetAside:
        with self._guard.doing(header_work(recipe, wanted)) as may:
            if may:
                return open_wanted(recipe, wanted)
        with self._children:
            return open_alone(HeaderJob(recipe=recipe, wanted=wanted, rules=self._rules))


@dataclass(frozen=True, slots=True)
class TimedOpening:
    """An `Opening` of a process that is ours to end, and whose death somebody else notices."""

    rules: Rules
    timer: Timer

    def __call__(self, recipe: Recipe, wanted: Wanted) -> Planned | SetAside:
        with self.timer.within(header_deadline_s(self.rules)):
            return open_wanted(recipe, wanted)


def header_deadline_s(rules: Rules) -> float:
    """How long the header of one scene may take."""
    return rules.deadline_s(PLAN, 0.0, pace=None, first=True)


def header_work(recipe: Recipe, wanted: Wanted) -> Work:
    one = wanted.candidate
    key = recipe.order.scene_key(one.images, one.bands)
    return Work(place=(key, HEADER), scene_id=one.scene_id, stage=PLAN, mpx=0.0)


def open_alone(job: HeaderJob) -> Planned | SetAside:
    """The scene cut and keyed by a process of its own, or set aside: condemned, if that died of it. Blocks until then.

    Raises:
        EncdecError: as `open_wanted`; no scene's fault.
    """
    answer = run_child(job, job.rules)
    if isinstance(answer, EncdecError):
        raise answer
    if not isinstance(answer, Ended):
        made: Planned | SetAside = answer
        return made
    one = job.wanted.candidate
    log.warning(
        "alone.died",
        extra={"scene": one.scene_id, "block": HEADER, "stage": answer.stage, "how": answer.how, "stderr": answer.said},
    )
    verdict = verdict_of(answer)
    return SetAside(
        scene_id=one.scene_id,
        uri=one.uri,
        stage=PLAN,
        reason=verdict.reason,
        hint=verdict.hint,
        transient=not verdict.condemned,
        died=verdict.condemned,
    )
