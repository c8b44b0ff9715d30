"""What a night learns from: the labelled scenes of the moment it began. A second try of the same night takes these,
whatever arrived meanwhile, so that it goes on with the training that it finds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from encdec_batch.errors import ObjectMissing, PreconditionFailed, SpecError
from encdec_batch.models.card import CardModel
from encdec_batch.models.version import record_bytes
from encdec_batch.nightly.find import Labelled, Labels, number_of
from encdec_batch.nightly.production import ProductionState
from encdec_batch.nightly.records import Counts, read_record, record_or_none
from encdec_batch.nightly.split import AUDIT, HELD_OUT, TRAINING
from encdec_batch.plan.keys import canonical_json
from encdec_batch.plan.public_spec import public_data
from encdec_batch.spec.nightly import NightlySpec
from encdec_batch.store.store import Store

AUDIT_SET = "audit.json"
SAID = 20
"""Files set aside that are named."""


class NightPlan(CardModel):
    """Fixed when a night begins to learn."""

    night: str
    parent: str
    """The version that it begins with; empty: none."""
    parent_digest: str
    scenes: dict[str, str]
    """Key to fingerprint, of all sides."""


class FrozenAudit(CardModel):
    """The scenes of the audit, for ever."""

    night: str
    """That froze it."""
    scenes: dict[str, str]


def make_plan(spec: NightlySpec, night: str, labels: Labels, state: ProductionState) -> NightPlan:
    """What a night that began now would learn from."""
    package = state.package if spec.begin == "production" else None
    return NightPlan(
        night=night,
        parent=package.card.version if package else "",
        parent_digest=package.digest if package else "",
        scenes=labels.fingerprints(),
    )


def fix_plan(store: Store, spec: NightlySpec, night: str, labels: Labels, state: ProductionState) -> NightPlan:
    """The plan of this night: as it was fixed before, or now."""
    plan, path = make_plan(spec, night, labels, state), _path(night)
    try:
        store.create(path, record_bytes(plan))
    except PreconditionFailed:
        return read_record(NightPlan, store, path)
    return plan


def read_plan(store: Store, night: str) -> NightPlan | None:
    """The plan of a night that began before; None: it did not."""
    return record_or_none(NightPlan, store, _path(night))


def _path(night: str) -> str:
    return f"nights/{night}/plan.json"


def as_planned(labels: Labels, plan: NightPlan) -> Labels:
    """Of what lies there now, that which the plan means. What was replaced since is another night's."""
    kept = tuple(one for one in labels.scenes if plan.scenes.get(one.key) == one.fingerprint)
    return replace(labels, scenes=kept)


def counts_of(labels: Labels, state: ProductionState) -> Counts:
    """How many there are of each, and how many are news; each volume is one."""

    def number(scenes: Iterable[Labelled]) -> int:
        return number_of(one.pair for one in scenes)

    training = labels.of(TRAINING)
    return Counts(
        labelled=number(labels.scenes),
        training=number(training),
        held_out=number(labels.of(HELD_OUT)),
        audit=number(labels.of(AUDIT)),
        new=number(one for one in training if state.known.get(one.key) != one.fingerprint),
        aside=tuple(str(one) for one in labels.aside[:SAID]),
        num_aside=len(labels.aside),
    )


def question_of(spec: NightlySpec, labels: Labels, parent_digest: str, against_digest: str) -> str:
    """Digest of all that decides the answer: who was asked this before knows it."""
    training = spec.train
    asked = {
        "data": labels.fingerprints(TRAINING, HELD_OUT),
        "parent": parent_digest,
        "against": against_digest,
        "training": {
            # A table whose link is signed anew is the same table.
            "data": public_data(training.data, spec.privacy),
            "network": training.network.model_dump(mode="json", exclude={"storage"}),
            "learn": training.learn.model_dump(mode="json"),
        },
        "judge": spec.judge.model_dump(mode="json", exclude={"pictures"}),
    }
    return hashlib.sha256(canonical_json(asked)).hexdigest()


def frozen_audit(store: Store, spec: NightlySpec, night: str, labels: Labels) -> tuple[frozenset[str], str]:
    """Keys of the frozen audit scenes that are as they were, and a note where some are not, or it is not frozen yet."""
    found = labels.of(AUDIT)
    if not spec.split.audit:
        return frozenset(), "none is asked for (split.audit: 0)"
    try:
        frozen = read_record(FrozenAudit, store, AUDIT_SET)
    except ObjectMissing:
        if len(found) < spec.split.audit_scenes:
            return frozenset(), f"not frozen yet: {len(found)} of {spec.split.audit_scenes} scenes are there"
        frozen = FrozenAudit(night=night, scenes={one.key: one.fingerprint for one in found})
        store.create(AUDIT_SET, record_bytes(frozen))
    same = frozenset(one.key for one in found if frozen.scenes.get(one.key) == one.fingerprint)
    lost = len(frozen.scenes) - len(same)
    return same, f"{lost} of {len(frozen.scenes)} frozen scenes were replaced or are gone, and left out" if lost else ""


def check_groups(spec: NightlySpec, labels: Labels) -> None:
    """Guards are of groups that there are.

    Raises:
        SpecError: a guard names a group that no labelled scene is of.
    """
    there = {one.group for one in labels.scenes}
    for name in spec.judge.group_guards:
        if name not in there:
            shown = ", ".join(sorted(filter(None, there))[:10]) or "none"
            raise SpecError(
                f"judge.group_guards: no labelled scene is of the group {name!r}", hint=f"there are {shown}"
            )
