"""Which pairs are trained on and which are validated on: by scene or by place, never by neighbouring windows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from encdec_batch.errors import SpecError
from encdec_batch.privacy import Pseudonyms
from encdec_batch.spec.privacy import PrivacySpec
from encdec_batch.spec.train_data import DataSpec
from encdec_batch.spec.train_pairs import ColumnSplit, HashSplit, Pairs, PairsSplit
from encdec_batch.spec.train_target import CleanTarget, HighResolutionTarget
from encdec_batch.train.pairs.find import find_pairs
from encdec_batch.train.pairs.pair import Aside, Pair
from encdec_batch.train.pairs.private import names_for, sources_hidden, veiled_aside, veiled_pair
from encdec_batch.train.pairs.slices import slices_of

SHOWN = PrivacySpec(hide="off")
_REMEDY = "name more pairs, or correct data.train or data.split"


class Sides(NamedTuple):
    """Both sides of a split, and what is on neither."""

    train: list[Pair]
    val: list[Pair]
    aside: list[Aside]
    note: str
    """How they were told apart, for the card."""
    lacking: str = ""
    """What is wrong where nothing is left to validate on, and something should be."""
    private: bool = False
    """Names are hidden: those of pairs are keyed hashes."""

    def check(self) -> None:
        """Does nothing where each side has what it should.

        Raises:
            SpecError: there is nothing to validate on.
        """
        if self.lacking:
            raise SpecError(self.lacking, hint=_REMEDY)


def split_pairs(data: DataSpec, privacy: PrivacySpec = SHOWN) -> Sides:
    """Every pair that the spec names, on its side. What may hold several images is looked into, nothing else is opened.

    Raises:
        SpecError: a source is not there, or nothing is left to train on; or names are to be hidden, and there is no
            key.
        StoreError: the store does not answer.
    """
    rule = data.split
    others = rule.pairs if isinstance(rule, PairsSplit) else None
    with sources_hidden(privacy, [data.train, *([others] if others else [])]):
        column = rule.column if isinstance(rule, ColumnSplit) else None
        pairs, aside = images_of(data.train, data, side=column)
        val, more = images_of(others, data, option="data.split.pairs") if others else ([], [])
        names = names_for(privacy, [*pairs, *val], [*aside, *more])
    train, note = pairs, "all to train on"
    if others is not None:
        note = "named apart"
    elif isinstance(rule, ColumnSplit):
        train = [pair for pair in pairs if pair.side in rule.train]
        val = [pair for pair in pairs if pair.side in rule.val]
        note = f"by the table's column {rule.column}"
    elif isinstance(rule, HashSplit):
        # By clear names: a side is not to hang on a key.
        places = {place_of(pair, rule, names) for pair in pairs}
        chosen = {place for place in places if falls_in(place, rule.share, seed=rule.seed)}
        train = [pair for pair in pairs if place_of(pair, rule, names) not in chosen]
        val = [pair for pair in pairs if place_of(pair, rule, names) in chosen]
        note = f"{rule.share:.0%} by a hash of the {rule.by}'s name, seed {rule.seed}"
    if names is not None:
        train, val = ([veiled_pair(pair, names) for pair in side] for side in (train, val))
        aside = [veiled_aside(one, names, data.train) for one in aside]
        more = [veiled_aside(one, names, others or data.train) for one in more]
    aside = [*aside, *more]
    of = f"of {len(pairs)} pairs and {len(aside)} files set aside none is left"
    if not train:
        raise SpecError(f"{of} to train on{_first(aside)}", hint=_REMEDY)
    lacking = "" if val or rule.kind == "none" else f"{of} to validate on{_first(aside)}"
    return Sides(train, val, aside, note, lacking, private=names is not None)


def images_of(
    source: Pairs, data: DataSpec, *, side: str | None = None, option: str = "data.train"
) -> tuple[list[Pair], list[Aside]]:
    """Every image of a source with its target, slice by slice where an object holds several; and what cannot be used.

    Args:
        source: of pairs.
        data: how they are read.
        side: as for `find_pairs`.
        option: as for `find_pairs`.

    Raises:
        SpecError, StoreError: as `find_pairs`.
    """
    made = isinstance(data.target, CleanTarget | HighResolutionTarget)
    pairs, aside = find_pairs(source, made=made, side=side, option=option)
    pairs, more = slices_of(pairs, source, data)
    return pairs, [*aside, *more]


def falls_in(name: str, share: float, *, seed: int) -> bool:
    """Whether a name is among the share: a function of name and seed alone, whatever other names there are."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


def place_of(pair: Pair, rule: HashSplit, names: Pseudonyms | None = None) -> str:
    """What is hashed: all that shares it is on one side.

    Raises:
        SpecError: sides go by what the pair has not.
    """
    if rule.by == "scene":
        return pair.scene
    if rule.by == "folder":
        return "/".join(pair.scene.split("/")[:-1][: rule.folders]) or pair.scene
    found, remedy = (
        (pair.group, "fill the column of train.group") if rule.by == "group" else (pair.patient, "split by folder")
    )
    if not found:
        shown = names.uri(pair.image.uri) if names else pair.image.uri
        raise SpecError(f"{shown} has no {rule.by}", hint=f"{remedy}, or split by scene")
    return found


def _first(aside: Iterable[Aside]) -> str:
    one = next(iter(aside), None)
    return "" if one is None else f" ({one.uri}: {one.reason})"
