"""Who is learned from, who is judged on, who is audited: a function of a scene's id or place, and of nothing else.

A scene that is labelled anew, a set that grows, another night: none of them moves a scene to another side.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from encdec_batch.errors import ObjectMissing, PreconditionFailed, SpecError
from encdec_batch.plan.keys import canonical_json
from encdec_batch.spec.nightly import NightSplit
from encdec_batch.spec.text import parse_json
from encdec_batch.store.store import Store
from encdec_batch.train.pairs.pair import Pair

Side = Literal["training", "held_out", "audit"]
TRAINING: Side = "training"
HELD_OUT: Side = "held_out"
AUDIT: Side = "audit"

RULE = "split.json"
_OF_THE_RULE = ("by", "folders", "held_out", "audit", "seed")


def side_of(pair: Pair, split: NightSplit, *, shown: str = "") -> Side:
    """The side of a scene.

    Args:
        pair: by its clear names.
        split: the rule.
        shown: its name for messages; empty: that of its image.

    Raises:
        SpecError: sides go by group, and the scene has none.
    """
    drawn = _draw(place_of(pair, split, shown=shown), split.seed)
    if drawn < split.held_out:
        return HELD_OUT
    return AUDIT if drawn < split.held_out + split.audit else TRAINING


def place_of(pair: Pair, split: NightSplit, *, shown: str = "") -> str:
    """What is hashed: the place where places are named, else the scene's id. All scenes of a place are on one side."""
    if split.by == "group":
        if not pair.group:
            raise SpecError(
                f"{shown or pair.image.uri} has no group",
                hint="fill the column of train.data.train.group, or split by scene",
            )
        return f"group/{pair.group}"
    folders = pair.scene.split("/")[:-1][: split.folders] if split.by == "folder" else []
    return f"folder/{'/'.join(folders)}" if folders else f"scene/{pair.scene}"


def keep_rule(store: Store, split: NightSplit, model: str) -> None:
    """Writes the rule and the model down in the first night, and holds every later one to them.

    Raises:
        SpecError: the spec says another rule than the first night had.
    """
    rule = {key: value for key, value in split.model_dump(mode="json").items() if key in _OF_THE_RULE}
    rule["model"] = model
    try:
        store.create(RULE, canonical_json(rule))
    except PreconditionFailed:
        there = _read(store)
        changed = [f"{key} was {there.get(key)!r}, is {rule[key]!r}" for key in rule if there.get(key) != rule[key]]
        if changed:
            raise SpecError(
                f"{store.uri}: {'; '.join(changed)}: the split is fixed for ever, lest held-out scenes be learned from",
                hint="say it again as it was; another split is another output.uri, and a model trained from scratch",
            ) from None


def _read(store: Store) -> dict[str, Any]:
    try:
        return dict(parse_json(store.get(RULE).decode()))
    except (ValueError, TypeError, ObjectMissing) as error:
        raise SpecError(f"{store.uri}/{RULE}: is damaged", hint="restore it from a copy") from error


def _draw(name: str, seed: int) -> float:
    """In [0, 1), the same for ever."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7]) / 2**56
