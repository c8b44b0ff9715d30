"""Labelled scenes as they lie there tonight, each with what tells its present files from others. None is opened."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from encdec_batch.errors import SceneError
from encdec_batch.nightly.split import AUDIT, HELD_OUT, TRAINING, Side, side_of
from encdec_batch.plan.keys import canonical_json
from encdec_batch.spec.nightly import ColumnGroups, FolderGroups, Groups, NightlySpec
from encdec_batch.spec.train_target import CleanTarget, HighResolutionTarget
from encdec_batch.train.pairs.find import find_pairs
from encdec_batch.train.pairs.open import etag_of
from encdec_batch.train.pairs.pair import Aside, Pair

_LOOK_UPS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A pair of image and target, and where it belongs."""

    pair: Pair
    key: str
    """Of this part of this image, for ever."""
    fingerprint: str
    """Of the etags of both files: another where either was replaced."""
    side: Side
    group: str
    """Empty where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """All that is labelled tonight."""

    scenes: tuple[Labelled, ...]
    aside: tuple[Aside, ...]

    def of(self, side: Side) -> tuple[Labelled, ...]:
        return tuple(one for one in self.scenes if one.side == side)

    def fingerprints(self, *sides: Side) -> dict[str, str]:
        """By key; of all sides where none is named."""
        wanted = sides or (TRAINING, HELD_OUT, AUDIT)
        return {one.key: one.fingerprint for one in self.scenes if one.side in wanted}


def find_labels(spec: NightlySpec) -> Labels:
    """Every labelled scene that the spec names; what cannot be had is set aside.

    Raises:
        SpecError: a source, or a column of it, is not there.
        StoreError: the store does not answer.
    """
    data, groups = spec.train.data, spec.judge.groups
    made = isinstance(data.target, CleanTarget | HighResolutionTarget)
    column = groups.column if isinstance(groups, ColumnGroups) else None
    pairs, aside = find_pairs(data.train, made=made, side=column, option="train.data.train")

    def look(pair: Pair) -> Labelled | Aside:
        try:
            fingerprint = _fingerprint(pair)
        except SceneError as error:
            uri = str(error.context["uri"])
            return Aside(uri=uri, reason=error.message.removeprefix(f"{uri}: "), hint=error.hint)
        return Labelled(
            pair=pair,
            key=key_of(pair),
            fingerprint=fingerprint,
            side=side_of(pair, spec.split),
            group=_group(pair, groups),
        )

    with ThreadPoolExecutor(_LOOK_UPS, thread_name_prefix="labels") as pool:
        found = list(pool.map(look, pairs))
    scenes, twice = _each_once([one for one in found if isinstance(one, Labelled)])
    return Labels(scenes=scenes, aside=(*aside, *(one for one in found if isinstance(one, Aside)), *twice))


def _each_once(found: list[Labelled]) -> tuple[tuple[Labelled, ...], tuple[Aside, ...]]:
    """Scenes that are labelled in one way, and those that are labelled in several: nobody knows which holds."""
    by_key: dict[str, list[Labelled]] = {}
    for one in found:
        others = by_key.setdefault(one.key, [])
        # The same line twice is no contradiction.
        if all(_said_of(one) != _said_of(other) for other in others):
            others.append(one)
    aside = tuple(
        Aside(
            uri=one.pair.image.uri,
            reason=f"it is labelled in {len(several)} ways" + (f", here by {target.uri}" if target else ""),
            hint="name each image once, or give each of its rows a region of its own",
        )
        for several in by_key.values()
        if len(several) > 1
        for one in several
        for target in [one.pair.target]
    )
    return tuple(one for one, *others in by_key.values() if not others), aside


def _said_of(one: Labelled) -> tuple[str, str, str]:
    return one.fingerprint, one.side, one.group


def key_of(pair: Pair) -> str:
    """The image's URI, with the part of it where only a part is labelled."""
    r = pair.region
    return pair.image.uri + (f" [{r.col_off},{r.row_off},{r.width},{r.height}]" if r else "")


def _fingerprint(pair: Pair) -> str:
    files = [pair.image, *([pair.target] if pair.target else [])]
    seen = [[file.uri, etag_of(file)] for file in files]
    return hashlib.sha256(canonical_json(seen)).hexdigest()[:16]


def _group(pair: Pair, groups: Groups) -> str:
    if isinstance(groups, ColumnGroups):
        return pair.side
    if isinstance(groups, FolderGroups):
        return "/".join(pair.scene.split("/")[:-1][: groups.folders])
    return ""
