"""Several images at each position of a series: which of them are one stack, where the images say so.

Points in time, echoes and repeated acquisitions have one series in many archives. So have two series that were given
one UID, and copies under new names: of those nothing says which slices belong together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from encdec_batch.read.contents import SlicePlace


def told_apart(places: Sequence[SlicePlace], levels: Sequence[Sequence[int]]) -> list[list[int]] | None:
    """The stacks, each a number of an image for each position; None: nothing tells them apart.

    Args:
        places: of all images of a series.
        levels: numbers of the images at each position, as many at each.
    """
    if len(levels[0]) == 1:
        return [[level[0] for level in levels]]
    ordered = _by_attributes(places, levels) or _by_numbers(places, levels)
    return None if ordered is None else [list(stack) for stack in zip(*ordered, strict=True)]


def _by_attributes(places: Sequence[SlicePlace], levels: Sequence[Sequence[int]]) -> list[list[int]] | None:
    """By those attributes that have the same values at every position: together they name each image of one."""

    def values(level: Sequence[int], at: int) -> list[float]:
        return sorted(known for number in level if (known := places[number].acquired[at]) is not None)

    useful = []
    for at in range(min(len(place.acquired) for place in places)):
        first = values(levels[0], at)
        if len(first) == len(levels[0]) and all(values(level, at) == first for level in levels):
            useful.append(at)

    def key(number: int) -> list[float]:
        return [places[number].acquired[at] or 0.0 for at in useful]

    ordered = [sorted(level, key=key) for level in levels]
    names = [[key(number) for number in level] for level in ordered]
    is_told = all(found == names[0] for found in names) and all(one != other for one, other in pairwise(names[0]))
    return ordered if is_told else None


def _by_numbers(places: Sequence[SlicePlace], levels: Sequence[Sequence[int]]) -> list[list[int]] | None:
    """By Instance Number, which is to differ by as much at every position."""
    numbers = [place.number for place in places]
    if None in numbers:
        return None
    ordered = [sorted(level, key=lambda number: places[number].number or 0) for level in levels]
    offsets = [[(numbers[n] or 0) - (numbers[level[0]] or 0) for n in level] for level in ordered]
    is_told = all(found == offsets[0] for found in offsets) and all(a != b for a, b in pairwise(offsets[0]))
    return ordered if is_told else None
