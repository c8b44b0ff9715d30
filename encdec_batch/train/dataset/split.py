"""Which pairs are trained on and which are validated on: by scene or by place, never by neighbouring windows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from encdec_batch.errors import SpecError
from encdec_batch.spec.train_data import DataSpec
from encdec_batch.spec.train_pairs import ColumnSplit, HashSplit, PairsSplit
from encdec_batch.spec.train_target import CleanTarget, HighResolutionTarget
from encdec_batch.train.pairs.find import find_pairs
from encdec_batch.train.pairs.pair import Aside, Pair

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

    def check(self) -> None:
        """Does nothing where each side has what it should.

        Raises:
            SpecError: there is nothing to validate on.
        """
        if self.lacking:
            raise SpecError(self.lacking, hint=_REMEDY)


def split_pairs(data: DataSpec) -> Sides:
    """Every pair that the spec names, on its side. Nothing is opened.

    Raises:
        SpecError: a source is not there, or nothing is left to train on.
        StoreError: the store does not answer.
    """
    rule = data.split
    made = isinstance(data.target, CleanTarget | HighResolutionTarget)
    column = rule.column if isinstance(rule, ColumnSplit) else None
    pairs, aside = find_pairs(data.train, made=made, side=column)
    train, note = pairs, "all to train on"
    val: list[Pair] = []
    if isinstance(rule, PairsSplit):
        val, more = find_pairs(rule.pairs, made=made, option="data.split.pairs")
        aside, note = aside + more, "named apart"
    elif isinstance(rule, ColumnSplit):
        train = [pair for pair in pairs if pair.side in rule.train]
        val = [pair for pair in pairs if pair.side in rule.val]
        note = f"by the table's column {rule.column}"
    elif isinstance(rule, HashSplit):
        names = {_name(pair, rule) for pair in pairs}
        chosen = {name for name in names if falls_in(name, rule.share, seed=rule.seed)}
        train = [pair for pair in pairs if _name(pair, rule) not in chosen]
        val = [pair for pair in pairs if _name(pair, rule) in chosen]
        note = f"{rule.share:.0%} by a hash of the {rule.by}'s name, seed {rule.seed}"
    of = f"of {len(pairs)} pairs and {len(aside)} files set aside none is left"
    if not train:
        raise SpecError(f"{of} to train on{_first(aside)}", hint=_REMEDY)
    lacking = "" if val or rule.kind == "none" else f"{of} to validate on{_first(aside)}"
    return Sides(train, val, aside, note, lacking)


def falls_in(name: str, share: float, *, seed: int) -> bool:
    """Whether a name is among the share: a function of name and seed alone, whatever other names there are."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


def _name(pair: Pair, rule: HashSplit) -> str:
    if rule.by == "scene":
        return pair.scene
    if not pair.group:
        raise SpecError(f"{pair.image.uri} has no group", hint="fill the column of train.group, or split by scene")
    return pair.group


def _first(aside: Iterable[Aside]) -> str:
    one = next(iter(aside), None)
    return "" if one is None else f" ({one.uri}: {one.reason})"
