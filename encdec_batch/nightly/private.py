"""A night whose scenes nobody may name: its spec as pages and records may show it."""

from __future__ import annotations

from encdec_batch.privacy import Pseudonyms
from encdec_batch.spec.nightly import NightlySpec
from encdec_batch.train.pairs.private import group_name


def as_shown(spec: NightlySpec, names: Pseudonyms | None) -> NightlySpec:
    """With `privacy.hide: auto` decided. Where names are hidden groups have hashes for names, and no scene is shown
    unless that is asked for.
    """
    privacy = spec.privacy.resolved(private=names is not None)
    if names is None:
        return spec.model_copy(update={"privacy": privacy})
    guards = {group_name(group, names): guard for group, guard in spec.judge.group_guards.items()}
    pictures = spec.judge.pictures if privacy.pictures else 0
    judge = spec.judge.model_copy(update={"group_guards": guards, "pictures": pictures})
    return spec.model_copy(update={"privacy": privacy, "judge": judge})
