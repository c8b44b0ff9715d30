"""A block, or a commit, in a process of its own: what kills that one is to blame, and nothing else is lost with it.

The process is a child (`child.py`) of a task of Ray's, in a local stream of the run itself.
"""

from __future__ import annotations

import logging
import signal
from dataclasses import dataclass, replace

from encdec_batch.errors import EncdecError
from encdec_batch.models.package import Package
from encdec_batch.pipeline import Cost, Record
from encdec_batch.plan.checks import is_check_name
from encdec_batch.plan.recipe import Recipe
from encdec_batch.plan.scene import SetAside
from encdec_batch.stream.child import FROM_OUTSIDE, STARTING, Ended, run_child, signal_name
from encdec_batch.stream.guard import Alone
from encdec_batch.stream.rules import Rules

NOTHING_SAID = "nothing is said against the scene: the next run tries again"
MORE_MEMORY = (
    "lower tiling.core, tiling.budget_gib or the number of workers, or use a machine with more memory; the next run "
    "tries again"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AloneJob:
    """What the process needs to know."""

    recipe: Recipe
    package: Package | None
    """None: for a commit, which needs no network."""
    alone: Alone
    lease_n: int
    rules: Rules


def run_alone(job: AloneJob) -> Record:
    """What became of it: the record of its process, or one that says how that died. Blocks until then."""
    ended = run_child(job, job.rules)
    if isinstance(ended, Record):
        return ended
    log.warning(
        "alone.died",
        extra={"scene": job.alone.scene.scene_id, "block": job.alone.name, "stage": ended.stage, "how": ended.how}
        | {"stderr": ended.said},
    )
    return record_of_death(job.alone, ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a death says of that of which a process died."""

    reason: str
    hint: str
    condemned: bool = False


def verdict_of(ended: Ended) -> Verdict:
    """Condemned, if it was its doing."""
    if ended.no_memory and ended.code == -signal.SIGKILL:
        return _no_memory("the kernel killed it")
    if ended.stage == STARTING:
        return Verdict(
            reason=f"a process of its own {ended.how} before it could do anything with it", hint=NOTHING_SAID
        )
    if -ended.code in FROM_OUTSIDE:
        said = f"a process of its own was ended from outside ({signal_name(-ended.code)})"
        return Verdict(reason=said, hint=NOTHING_SAID)
    return Verdict(
        reason=f"its process died again and again; alone with it, one {ended.how}",
        hint="look at the scene with other tools; mend it or leave it out, then `encdec-batch retry`. "
        "Where many scenes have this, look at drivers, libraries and the machine",
        condemned=True,
    )


def record_of_death(alone: Alone, ended: Ended) -> Record:
    """Condemned, if it was the block's doing."""
    return _record(alone, ended.stage, verdict_of(ended))


def out_of_memory(alone: Alone) -> Record:
    """Of a process that Ray's memory monitor took, alone as it was."""
    return _record(alone, STARTING, _no_memory("Ray's memory monitor took it"))


def lost(alone: Alone, how: str) -> Record:
    """Of a process whose machine was lost under it, again and again."""
    said = f"whatever ran it alone was lost each time: {how}"
    return _record(alone, STARTING, Verdict(reason=said, hint=NOTHING_SAID))


def _no_memory(who: str) -> Verdict:
    return Verdict(reason=f"a process of its own had no memory left: {who}", hint=MORE_MEMORY)


def set_aside(alone: Alone, error: EncdecError) -> Record:
    """The record of something that could not be run even alone: the next run tries again."""
    return _record(alone, STARTING, Verdict(reason=error.message, hint=error.hint))


def _record(alone: Alone, stage: str, verdict: Verdict) -> Record:
    block = None if alone.piece is None else alone.name
    first = "commit" if block is None else "read"
    aside = SetAside(
        scene_id=alone.scene.scene_id,
        uri=alone.scene.uri,
        stage=first if stage == STARTING else stage,
        reason=verdict.reason,
        hint=verdict.hint,
        block=block,
        transient=not verdict.condemned,
        died=verdict.condemned,
    )
    record = Record(scene_id=alone.scene.scene_id, blocks=(), cost=Cost(), trouble=aside)
    if block is None:
        return record
    return replace(record, checks=(block,)) if is_check_name(block) else replace(record, blocks=(block,))
