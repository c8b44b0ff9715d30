"""What is on both sides of a split: the same scene, the same ground, the same picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from encdec_batch.errors import SpecError
from encdec_batch.train.dataset.footprint import overlap
from encdec_batch.train.dataset.inspect import Inspected
from encdec_batch.train.dataset.perceptual_hash import alike
from encdec_batch.train.pairs.pair import Aside

_ROWS = 4096
"""Pictures that are compared with all others at a time."""
_MOST_SAID = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """Two images, one on each side, of which one tells about the other."""

    train: str
    val: str
    what: str

    def __str__(self) -> str:
        return f"{self.train} (train) and {self.val} (val) have {self.what}"


def find_leaks(train: Sequence[Inspected], val: Sequence[Inspected]) -> list[Leak]:
    """Every pair of images with something in common, each once, by the first thing that was found."""
    found: dict[tuple[str, str], Leak] = {}
    for leak in (*_same(train, val), *_same_ground(train, val), *_same_picture(train, val)):
        found.setdefault((leak.train, leak.val), leak)
    return list(found.values())


def check_leaks(leaks: Sequence[Leak], allowed: str | None) -> str:
    """What the card is to say of leaks; empty where there are none.

    Raises:
        SpecError: there are some, and the spec does not allow them; both files of the first are named.
    """
    if not leaks:
        return ""
    said = "; ".join(str(leak) for leak in leaks[:_MOST_SAID])
    more = f"; and {len(leaks) - _MOST_SAID} more" if len(leaks) > _MOST_SAID else ""
    if allowed is None:
        raise SpecError(
            f"validation would be of what was trained on: {said}{more}",
            hint="keep both on one side (split by group, folder or patient), or say in data.allow_leak why it may be",
        )
    return f"Leak between training and validation, allowed because: {allowed} ({len(leaks)} pairs, such as: {said})"


def without_leaks(train: Sequence[Inspected], val: Sequence[Inspected]) -> tuple[list[Inspected], list[Aside]]:
    """The images to train on that tell about none to validate on, and the others with the reason."""
    found = {leak.train: leak for leak in reversed(find_leaks(train, val))}
    kept = [one for one in train if _named(one) not in found]
    aside = [
        Aside(
            uri=leak.train,
            reason=f"has {leak.what} as {leak.val}, which is validated on",
            hint="it is not learned from; keep both on one side (split by place) to use it",
        )
        for leak in found.values()
    ]
    return kept, aside


def _same(train: Sequence[Inspected], val: Sequence[Inspected]) -> Iterator[Leak]:
    keys: tuple[tuple[str, Callable[[Inspected], Hashable]], ...] = (
        ("the same scene", _scene),
        ("the same group", lambda one: one.pair.group or None),
        ("the same series", lambda one: one.pair.series or None),
        ("the same patient", lambda one: one.pair.patient or None),
        ("the same pixels", _pixels),
    )
    for what, key in keys:
        by_key: dict[Hashable, list[Inspected]] = defaultdict(list)
        for one in train:
            by_key[key(one)].append(one)
        for other in val:
            if key(other) is None:
                continue
            for one in by_key.get(key(other), ()):
                # Two parts of one file that do not meet are places apart, which the spec says by their regions.
                if what != "the same scene" or not _parts_apart(one, other):
                    yield _leak(one, other, what)


def _scene(one: Inspected) -> tuple[str, ...]:
    """A file, or what the table calls the scene; names below two prefixes are not the same for being alike."""
    named = getattr(one.pair.image.source, "scene", None)
    return ("named", one.pair.scene) if named else ("file", one.pair.image.uri)


def _pixels(one: Inspected) -> str | None:
    """Of slices: where there is something to be seen. Beyond the patient all volumes are alike."""
    return None if one.pair.is_slice and one.likeness is None else one.digest


def _parts_apart(one: Inspected, other: Inspected) -> bool:
    a, b = one.region, other.region
    across = a.col_stop <= b.col_off or b.col_stop <= a.col_off
    return one.pair.image.name == other.pair.image.name and (
        across or a.row_stop <= b.row_off or b.row_stop <= a.row_off
    )


def _same_ground(train: Sequence[Inspected], val: Sequence[Inspected]) -> Iterator[Leak]:
    for other in val:
        for one in train:
            if one.footprint is not None and other.footprint is not None:
                shared = overlap(one.footprint, other.footprint)
                if shared is not None:
                    yield _leak(one, other, shared)


def _same_picture(train: Sequence[Inspected], val: Sequence[Inspected]) -> Iterator[Leak]:
    # Not of slices: those of one height are alike in all patients, and what belongs together is known.
    shown, others = (
        [one for one in side if one.likeness is not None and not one.pair.is_slice] for side in (train, val)
    )
    theirs = np.array([other.likeness for other in others], dtype=np.uint64)
    for begin in range(0, len(shown), _ROWS):
        ours = shown[begin : begin + _ROWS]
        for row, col in np.argwhere(alike(np.array([one.likeness for one in ours], dtype=np.uint64), theirs)):
            yield _leak(ours[row], others[col], "the same picture (by its perceptual hash)")


def _leak(one: Inspected, other: Inspected, what: str) -> Leak:
    return Leak(train=_named(one), val=_named(other), what=what)


def _named(one: Inspected) -> str:
    r = one.pair.region
    part = "" if r is None else f" [{r.width} x {r.height} at column {r.col_off}, row {r.row_off}]"
    return one.pair.image.name + part
