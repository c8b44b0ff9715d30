"""The pairs that a spec names: one table, or listings matched by name; no image is opened."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from encdec_batch.errors import SpecError, StoreError
from encdec_batch.plan.discover import bands_of, beside, read_table
from encdec_batch.plan.identity import path_id
from encdec_batch.plan.listing import images_below, passed_over_note
from encdec_batch.plan.trust import Rules, refusal, rules_of
from encdec_batch.spec.base import StorageOptions
from encdec_batch.spec.source import PrefixSource, Reading
from encdec_batch.spec.train_pairs import FolderPairs, ImagesAlone, Pairs, Region, TablePairs
from encdec_batch.store.open import locate
from encdec_batch.train.pairs.pair import Aside, File, Pair
from encdec_batch.uri import public_uri, without_query
from encdec_batch.window import Window

_REGION = ("col_off", "row_off", "width", "height")

log = logging.getLogger(__name__)


def find_pairs(
    source: Pairs, *, made: bool, side: str | None = None, option: str = "data.train"
) -> tuple[list[Pair], list[Aside]]:
    """Every pair in the order of the table or of the images' names, and what cannot be one.

    Args:
        source: where they are.
        made: targets are made from the images: those that a table names are not looked at.
        side: the table's column of the split, where there is one.
        option: of the spec that names the source.

    Raises:
        SpecError: a table or prefix is not there, or holds nothing of the kind.
        StoreError: the store does not answer.
    """
    aside: list[Aside] = []
    passed_over = Counter[str]()
    if isinstance(source, TablePairs):
        pairs = _told_apart(list(_tabled(source, aside, made=made, side=side)), aside)
        where = source.uri
    elif isinstance(source, FolderPairs):
        pairs, where = list(_matched(source, aside, passed_over)), source.images
    else:
        pairs, where = list(_alone(source, passed_over)), source.uri
    note = passed_over_note(passed_over, f"{option}.suffixes")
    if not pairs and not aside:
        said = "; ".join(filter(None, [f"{where} holds no images to learn from", note]))
        raise SpecError(said, hint=f"correct {option}, or its suffixes")
    if note:
        log.warning("train.passed_over", extra={"note": note})
    return pairs, aside


def _told_apart(pairs: list[Pair], aside: list[Aside]) -> list[Pair]:
    """Without images whose links, which may be signed, are not one link and yet have one name."""
    links: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        links[pair.image.uri].add(pair.image.opened)
    kept = []
    for pair in pairs:
        if (number := len(links[pair.image.uri])) == 1:
            kept.append(pair)
            continue
        aside.append(
            Aside(
                uri=pair.image.uri,
                reason=f"{number} links are this one but for queries that may be signatures, and cannot be told apart",
                hint="write one link in all rows of an image, and images that differ under paths that differ",
            )
        )
    return kept


def _alone(source: ImagesAlone, passed_over: Counter[str]) -> Iterator[Pair]:
    folder = _prefix(source.uri, source)
    for path, uri in _listed(folder, passed_over).items():
        yield Pair(
            image=File.of(uri, folder),
            target=None,
            scene=path_id(path),
            bands=source.bands,
            region=_window(source.region),
        )


def _matched(source: FolderPairs, aside: list[Aside], passed_over: Counter[str]) -> Iterator[Pair]:
    images, targets = _prefix(source.images, source), _prefix(source.targets, source)
    by_name: dict[str, list[str]] = defaultdict(list)
    other = Counter[str]()
    for path, uri in _listed(targets, other).items():
        by_name[path_id(path)].append(uri)
    # One folder of both is listed twice, and counted once.
    uris = _listed(images, passed_over)
    if images.uri != targets.uri:
        passed_over.update(other)
    else:
        uris = {path: uri for path, uri in uris.items() if _is_image(path, source, by_name)}
    counted = Counter(map(path_id, uris))
    for path, uri in uris.items():
        name = path_id(path)
        found = by_name[name + source.target_ending]
        if counted[name] > 1 or len(found) > 1:
            what = "images" if counted[name] > 1 else "targets"
            aside.append(Aside(uri=uri, reason=f"several {what} have its name", hint="keep one of them"))
        elif not found:
            wanted = f"{source.targets.rstrip('/')}/{name}{source.target_ending}.*"
            # Of the endings that count; one that does not may be there.
            hint = "add or remove one" + (", or name the ending of targets in suffixes" if other else "")
            aside.append(Aside(uri=uri, reason=f"it has no target: there is no {wanted}", hint=hint))
        else:
            yield Pair(
                image=File.of(uri, images),
                target=File.of(found[0], targets),
                scene=name,
                bands=source.bands,
                region=_window(source.region),
            )


def _is_image(path: str, source: FolderPairs, by_name: Mapping[str, list[str]]) -> bool:
    """In a folder that holds both, targets are told by their ending."""
    if not source.target_ending:
        raise SpecError(
            f"{source.images} is the folder of images and of targets",
            hint="say in target_ending what the names of targets have at their end",
        )
    name = path_id(path)
    return not (name.endswith(source.target_ending) and name.removesuffix(source.target_ending) in by_name)


def _tabled(source: TablePairs, aside: list[Aside], *, made: bool, side: str | None) -> Iterator[Pair]:
    rules = rules_of(source)
    target = None if made else source.target
    rows = _rows(source)
    wanted = [name for name in (source.image, target, source.scene, source.group, side) if name is not None]
    missing = [name for name in wanted if rows and name not in rows[0]]
    if missing:
        raise SpecError(f"{source.uri} has no column {missing[0]}", hint=f"its columns are {', '.join(rows[0])}")
    for number, row in enumerate(rows, 1):
        where = f"row {number} of {public_uri(source.uri)}"
        image = _admitted(row[source.image], source, rules, where, aside)
        label = _admitted(row[target], source, rules, where, aside) if target is not None and image else None
        if image is None or (target is not None and label is None):
            continue
        yield Pair(
            image=image,
            target=label,
            # By its name: a link that is signed anew is of the same scene, and on the same side of a split.
            scene=_text(row[source.scene]) if source.scene else path_id(public_uri(str(row[source.image]))),
            group=_text(row[source.group]) if source.group else "",
            side=_text(row[side]) if side else "",
            bands=bands_of(row.get("bands"), source.uri) or source.bands,
            region=_region(row, where) or _window(source.region),
        )


def _rows(source: TablePairs) -> list[dict[str, Any]]:
    if not without_query(source.uri).lower().endswith((".txt", ".lst")):
        rows: list[dict[str, Any]] = read_table(source).to_pylist()
        return rows
    try:
        store, path = locate(source.uri, source.storage)
        lines = store.get(path).decode().splitlines()
    except (StoreError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot read the list {source.uri}: {error}", hint="it is to be text in UTF-8") from error
    named = [line.split() for line in lines if line.strip()]
    if any(len(words) > 2 for words in named):
        raise SpecError(f"{source.uri} has lines of more than two words", hint="write names with blanks in a CSV table")
    columns = [source.image] + ([source.target] if source.target is not None else [])
    return [dict(zip(columns, words, strict=False)) for words in named]


def _admitted(value: object, source: TablePairs, rules: Rules, where: str, aside: list[Aside]) -> File | None:
    """The object that a cell names, if this table may lead there."""
    if not isinstance(value, str) or not value:
        aside.append(Aside(uri=where, reason="names no file", hint="write a uri for image and target"))
        return None
    uri = beside(source.uri, value)
    refused = refusal(uri, rules)
    if refused is None:
        return File.of(uri, source)
    aside.append(Aside(uri=public_uri(uri), reason=f"{where}: {refused.reason}", hint=refused.hint))
    return None


def _region(row: Mapping[str, Any], where: str) -> Window | None:
    values = [row.get(name) for name in _REGION]
    if all(value in (None, "") for value in values):
        return None
    try:
        col, line, width, height = (int(str(value)) for value in values)
        if min(col, line) >= 0 and min(width, height) >= 1:
            return Window(col, line, width, height)
    except ValueError:
        pass
    raise SpecError(f"{where}: {', '.join(_REGION)} are {values}", hint="give all four in whole pixels, or none")


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _window(region: Region | None) -> Window | None:
    return None if region is None else Window(region.col_off, region.row_off, region.width, region.height)


def _prefix(uri: str, source: FolderPairs | ImagesAlone) -> PrefixSource:
    storage: StorageOptions = source.storage
    return PrefixSource(
        kind="prefix",
        uri=uri,
        storage=storage,
        suffixes=source.suffixes,
        follow_links=source.follow_links,
        **source.model_dump(include=set(Reading.model_fields)),
    )


def _listed(source: PrefixSource, passed_over: Counter[str]) -> dict[str, str]:
    """Path to URI of every image, in the order of their paths."""
    return dict(sorted((item.path, uri) for uri, item in images_below(source, passed_over)))
