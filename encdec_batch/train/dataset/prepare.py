"""All that is done once, before training: pairs found, split, looked through, compared, and what follows from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from encdec_batch.errors import SpecError, together
from encdec_batch.models.card import Normalization
from encdec_batch.plan.fit import bands_said
from encdec_batch.plan.keys import canonical_json
from encdec_batch.spec.train_data import DataSpec
from encdec_batch.train.dataset.inspect import Inspected, inspect
from encdec_batch.train.dataset.leak import check_leaks, find_leaks, without_leaks
from encdec_batch.train.dataset.normalization import normalization_of, num_bands_of
from encdec_batch.train.dataset.sampling import Cells, make_cells
from encdec_batch.train.dataset.split import Sides, split_pairs
from encdec_batch.train.pairs.pair import Aside, Pair

_THREADS = 8
"""Pairs that are looked through at a time: they wait for the store, and GDAL decodes without Python."""
_MOST_SAID = 3

Look = Callable[[Pair], Inspected | Aside]
Mapper = Callable[[Look, Sequence[Pair]], Iterator[Inspected | Aside]]
"""How many pairs are looked through: in their order, by threads or by whatever else."""
Check = Callable[[int, int], None]
"""Of what else a spec says, by the bands that the network sees and the samples of an epoch. It may raise SpecError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What training knows of its data. Pickles; a few kilobytes a scene."""

    train: tuple[Inspected, ...]
    val: tuple[Inspected, ...]
    aside: tuple[Aside, ...]
    cells: Cells
    normalization: Normalization
    num_bands: int
    """Of what the network sees."""
    dtypes: tuple[str, ...]
    """Of the images."""
    class_pixels: tuple[int, ...]
    """Of each class in the training scenes; one number where there are no classes."""
    class_presence: tuple[int, ...]
    """Of each class: all pixels that count, of the scenes in which it occurs (SegNet's median frequency balancing)."""
    split_note: str
    """For the card: how the sides were told apart."""
    leak_note: str
    """For the card: leaks that the spec allows, and why; empty where there are none."""
    digest: str
    """Of both sides' files, by name and etag, whatever their order."""
    private: bool = False
    """Names are hidden, and pixels are not to be published."""


def prepare(
    data: DataSpec,
    *,
    sides: Sides | None = None,
    leave_out: bool = False,
    check: Check = lambda _bands, _samples: None,
    mapper: Mapper | None = None,
) -> Prepared:
    """Looks through all data.

    Args:
        data: what is asked for.
        sides: found and split already; None: as `data` says.
        leave_out: an image to train on that tells about one to validate on is set aside, in place of an error.
        check: what it finds is said together with what is wrong here.
        mapper: looks through many pairs; None: threads of this process.

    Raises:
        SpecError: nothing to train on; or all at once: nothing to validate on, more files set aside than the spec puts
            up with, constants of other bands, a leak that it does not allow, what `check` says.
        StoreError: the store does not answer.
    """
    sides = sides or split_pairs(data)
    train, val = _looked_through((sides.train, sides.val), data, mapper or _by_threads)
    aside = [*sides.aside, *(one for one in (*train, *val) if isinstance(one, Aside))]
    good, judged = ([one for one in side if isinstance(one, Inspected)] for side in (train, val))
    alike, other = _of_one_kind(good, judged)
    aside += other
    enough = partial(_check_enough, data, alike, tuple(aside), len(sides.train) + len(sides.val) + len(sides.aside))
    kept = {id(one) for one in alike}
    good, judged = ([one for one in side if id(one) in kept] for side in (good, judged))
    if leave_out:
        good, told = without_leaks(good, judged)
        aside += told
    if not good or (sides.val and not judged):
        enough()
        raise SpecError(_nothing_left("train" if not good else "validate", aside), hint=_remedy(aside))
    cells, num_bands = make_cells(good, data.sampling), num_bands_of(data, good[0].bands)
    _, _, normalization, leak_note, _ = together(
        sides.check,
        enough,
        lambda: normalization_of(data, good),
        lambda: check_leaks(find_leaks(good, judged), data.allow_leak),
        lambda: check(num_bands, cells.num_samples),
    )
    return Prepared(
        train=tuple(good),
        val=tuple(judged),
        aside=tuple(aside),
        cells=cells,
        normalization=normalization,
        num_bands=num_bands,
        dtypes=tuple(sorted({one.dtype for one in alike})),
        class_pixels=tuple(int(sum(one.class_pixels[n] for one in good)) for n in range(good[0].counts.shape[2])),
        class_presence=_presence(good),
        split_note=sides.note,
        leak_note=leak_note,
        digest=_digest(good, judged),
        private=sides.private,
    )


def _looked_through(
    sides: tuple[Sequence[Pair], Sequence[Pair]], data: DataSpec, mapper: Mapper
) -> tuple[list[Inspected | Aside], list[Inspected | Aside]]:
    def look(num_bands: int | None, *, learns: bool) -> Look:
        return partial(inspect, data=data, num_bands=num_bands, learns=learns)

    train, val = (list(mapper(look(None, learns=side is sides[0]), side)) for side in sides)
    # What one band stands for is only known once the others were seen.
    most = max((len(one.bands) for one in (*train, *val) if isinstance(one, Inspected)), default=1)
    for found, side in ((train, sides[0]), (val, sides[1])) if data.expand_single_band else ():
        few = [n for n, one in enumerate(found) if isinstance(one, Inspected) and len(one.bands) == 1 < most]
        again = mapper(look(most, learns=side is sides[0]), [side[n] for n in few])
        for number, one in zip(few, again, strict=True):
            found[number] = one
    return train, val


def _by_threads(look: Look, pairs: Sequence[Pair]) -> Iterator[Inspected | Aside]:
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="inspect") as pool:
        yield from pool.map(look, pairs)


def _of_one_kind(train: Sequence[Inspected], val: Sequence[Inspected]) -> tuple[list[Inspected], list[Aside]]:
    """Those with as many bands as most have, of image and target; the others set aside."""
    shapes = [(len(one.bands), one.target_bands) for one in (*train, *val)]
    usual = max(sorted(set(shapes)), key=shapes.count) if shapes else (0, 0)
    kept, aside = [], []
    for one, shape in zip((*train, *val), shapes, strict=True):
        if shape == usual:
            kept.append(one)
            continue
        what, has, others = ("image", shape[0], usual[0]) if shape[0] != usual[0] else ("target", shape[1], usual[1])
        aside.append(
            Aside(
                uri=one.pair.image.uri,
                reason=f"its {what} has {bands_said(has)}, those of most others {others}",
                hint="name the bands (data.train.bands, or a column bands), or set data.expand_single_band",
            )
        )
    return kept, aside


def _check_enough(data: DataSpec, kept: Sequence[Inspected], aside: Sequence[Aside], total: int) -> None:
    if kept and len(aside) > data.most_aside * total:
        raise SpecError(
            f"{len(aside)} of {total} files cannot be used: {_said(aside)}",
            hint=f"{_remedy(aside)}, or raise data.most_aside",
        )


def _nothing_left(use: str, aside: Sequence[Aside]) -> str:
    return f"no file is left to {use} on: {_said(aside)}"


def _remedy(aside: Sequence[Aside]) -> str:
    """For the first of them, where it has one: what is wrong with many is most often the same."""
    return next((one.hint for one in aside if one.hint), "correct these files")


def _said(aside: Sequence[Aside]) -> str:
    more = f"; and {len(aside) - _MOST_SAID} more" if len(aside) > _MOST_SAID else ""
    return "; ".join(f"{one.uri}: {one.reason}" for one in aside[:_MOST_SAID]) + more


def _presence(train: Sequence[Inspected]) -> tuple[int, ...]:
    counts = [one.class_pixels for one in train]
    return tuple(int(sum(pixels.sum() for pixels in counts if pixels[number])) for number in range(len(counts[0])))


def _digest(train: Sequence[Inspected], val: Sequence[Inspected]) -> str:
    rows = {
        name: sorted(
            (
                one.pair.image.name,
                "".join(file.etag for file in one.pair.stack) or one.version.etag,
                one.pair.target.name if one.pair.target else "",
                one.version.target_etag,
                (one.region.col_off, one.region.row_off, one.region.width, one.region.height),
            )
            for one in side
        )
        for name, side in (("train", train), ("val", val))
    }
    return hashlib.sha256(canonical_json(rows)).hexdigest()
