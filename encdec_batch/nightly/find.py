"""Labelled scenes as they lie there tonight, each with what tells its present files from others. None is opened."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from encdec_batch.errors import SceneError
from encdec_batch.nightly.split import AUDIT, HELD_OUT, TRAINING, Side, side_of
from encdec_batch.plan.keys import canonical_json
from encdec_batch.privacy import Pseudonyms
from encdec_batch.spec.nightly import ColumnGroups, FolderGroups, Groups, NightlySpec
from encdec_batch.train.dataset.split import images_of
from encdec_batch.train.pairs.open import etag_of
from encdec_batch.train.pairs.pair import Aside, Pair
from encdec_batch.train.pairs.private import group_name, names_for, veiled_aside, veiled_pair

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
    """Empty where there are none; where names are private, what stands for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """All that is labelled tonight."""

    scenes: tuple[Labelled, ...]
    aside: tuple[Aside, ...]
    names: Pseudonyms | None = field(default=None, repr=False)
    """By which names are hidden; None: they are shown."""

    def of(self, side: Side) -> tuple[Labelled, ...]:
        return tuple(one for one in self.scenes if one.side == side)

    def fingerprints(self, *sides: Side) -> dict[str, str]:
        """By key; of all sides where none is named."""
        wanted = sides or (TRAINING, HELD_OUT, AUDIT)
        return {one.key: one.fingerprint for one in self.scenes if one.side in wanted}


def find_labels(spec: NightlySpec) -> Labels:
    """Every labelled scene that the spec names; what cannot be had is set aside. Sides and groups go by clear names:
    they hang on no key.

    Raises:
        SpecError: a source, or a column of it, is not there; names are to be hidden, and there is no key.
        StoreError: the store does not answer.
    """
    data, groups = spec.train.data, spec.judge.groups
    column = groups.column if isinstance(groups, ColumnGroups) else None
    pairs, aside = images_of(data.train, data, side=column, option="train.data.train")
    names = names_for(spec.privacy, pairs, aside)
    if names is not None:
        aside = [veiled_aside(one, names, data.train) for one in aside]

    def look(found: Pair) -> Labelled | Aside:
        pair = veiled_pair(found, names) if names else found
        try:
            fingerprint = _fingerprint(pair)
        except SceneError as error:
            uri = str(error.context["uri"])
            return Aside(uri=uri, reason=error.message.removeprefix(f"{uri}: "), hint=error.hint)
        group = _group(found, groups)
        return Labelled(
            pair=pair,
            key=key_of(pair),
            fingerprint=fingerprint,
            side=side_of(found, spec.split, shown=pair.image.name),
            group=group_name(group, names) if names else group,
        )

    with ThreadPoolExecutor(_LOOK_UPS, thread_name_prefix="labels") as pool:
        found = list(pool.map(look, pairs))
    scenes, twice = _each_once([one for one in found if isinstance(one, Labelled)])
    aside += [one for one in found if isinstance(one, Aside)]
    return Labels(scenes=scenes, aside=(*aside, *twice), names=names)


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
            reason=f"it is labelled in {len(several)} ways" + (f", here by {target.name}" if target else ""),
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
    """The image's URI, with the slice where it is one, and the part of it where only a part is labelled."""
    r = pair.region
    return pair.image.name + (f" [{r.col_off},{r.row_off},{r.width},{r.height}]" if r else "")


def unit_of(pair: Pair) -> str:
    """What counts as one scene: slices of a volume are no more independent of each other than pixels of a slice."""
    return f"volume {pair.scene}" if pair.is_slice else key_of(pair)


def number_of(pairs: Iterable[Pair]) -> int:
    """How many scenes they are, each volume one."""
    return len({unit_of(pair) for pair in pairs})


def _fingerprint(pair: Pair) -> str:
    files = [pair.image, *([pair.target] if pair.target else [])]
    seen = [[file.name, etag_of(file)] for file in files]
    return hashlib.sha256(canonical_json(seen)).hexdigest()[:16]


def _group(pair: Pair, groups: Groups) -> str:
    if isinstance(groups, ColumnGroups):
        return pair.side
    if isinstance(groups, FolderGroups):
        return "/".join(pair.scene.split("/")[:-1][: groups.folders])
    return ""
