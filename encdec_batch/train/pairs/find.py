"""The pairs that a spec names: one table, or listings matched by name; no image is opened."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from encdec_batch.errors import SpecError, StoreError
from encdec_batch.plan.confine import confined
from encdec_batch.plan.discover import bands_of, beside, read_table
from encdec_batch.plan.identity import path_id
from encdec_batch.plan.trust import Rules, refusal, rules_of
from encdec_batch.spec.base import StorageOptions
from encdec_batch.spec.source import PrefixSource
from encdec_batch.spec.train_pairs import FolderPairs, ImagesAlone, Pairs, Region, TablePairs
from encdec_batch.store.object import join_uri
from encdec_batch.store.open import locate, open_store
from encdec_batch.train.pairs.pair import Aside, File, Pair
from encdec_batch.uri import public_uri
from encdec_batch.window import Window

_REGION = ("col_off", "row_off", "width", "height")


def find_pairs(source: Pairs, *, made: bool, side: str | None = None) -> tuple[list[Pair], list[Aside]]:
    """Every pair in the order of the table or of the images' names, and what cannot be one.

    Args:
        source: where they are.
        made: targets are made from the images: those that a table names are not looked at.
        side: the table's column of the split, where there is one.

    Raises:
        SpecError: a table or prefix is not there, or holds nothing of the kind.
        StoreError: the store does not answer.
    """
    aside: list[Aside] = []
    if isinstance(source, TablePairs):
        pairs = list(_tabled(source, aside, made=made, side=side))
        where = source.uri
    elif isinstance(source, FolderPairs):
        pairs, where = list(_matched(source, aside)), source.images
    else:
        pairs, where = list(_alone(source)), source.uri
    if not pairs and not aside:
        raise SpecError(f"{where} holds no images to learn from", hint="correct data.train, or its suffixes")
    return pairs, aside


def _alone(source: ImagesAlone) -> Iterator[Pair]:
    folder = _prefix(source.uri, source)
    for path in _listed(folder):
        yield Pair(
            image=File(uri=join_uri(open_store(folder.uri).uri, path), source=folder),
            target=None,
            scene=path_id(path),
            bands=source.bands,
            region=_window(source.region),
        )


def _matched(source: FolderPairs, aside: list[Aside]) -> Iterator[Pair]:
    images, targets = _prefix(source.images, source), _prefix(source.targets, source)
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in _listed(targets):
        by_name[path_id(path)].append(path)
    paths = [path for path in _listed(images) if images.uri != targets.uri or _is_image(path, source, by_name)]
    counted = Counter(path_id(path) for path in paths)
    for path in paths:
        uri, name = join_uri(open_store(images.uri).uri, path), path_id(path)
        found = by_name[name + source.target_ending]
        if counted[name] > 1 or len(found) > 1:
            what = "images" if counted[name] > 1 else "targets"
            aside.append(Aside(uri=uri, reason=f"several {what} have its name", hint="keep one of them"))
        elif not found:
            wanted = f"{source.targets.rstrip('/')}/{name}{source.target_ending}.*"
            aside.append(Aside(uri=uri, reason=f"it has no target: there is no {wanted}", hint="add or remove one"))
        else:
            yield Pair(
                image=File(uri=uri, source=images),
                target=File(uri=join_uri(open_store(targets.uri).uri, found[0]), source=targets),
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
        where = f"row {number} of {source.uri}"
        image = _admitted(row[source.image], source, rules, where, aside)
        label = _admitted(row[target], source, rules, where, aside) if target is not None and image else None
        if image is None or (target is not None and label is None):
            continue
        yield Pair(
            image=image,
            target=label,
            scene=_text(row[source.scene]) if source.scene else path_id(str(row[source.image])),
            group=_text(row[source.group]) if source.group else "",
            side=_text(row[side]) if side else "",
            bands=bands_of(row.get("bands"), source.uri) or source.bands,
            region=_region(row, where) or _window(source.region),
        )


def _rows(source: TablePairs) -> list[dict[str, Any]]:
    if not source.uri.lower().endswith((".txt", ".lst")):
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
        aside.append(Aside(uri=where, reason=f"names no file: {value!r}", hint="write a uri for image and target"))
        return None
    uri = beside(source.uri, value)
    refused = refusal(uri, rules)
    if refused is None:
        return File(uri=uri, source=source)
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
        kind="prefix", uri=uri, storage=storage, suffixes=source.suffixes, follow_links=source.follow_links
    )


def _listed(source: PrefixSource) -> list[str]:
    store = confined(open_store(source.uri, source.storage), source, source.uri)
    # First contact has a short patience of its own.
    store.now()
    endings = tuple(suffix.lower() for suffix in source.suffixes)
    return sorted(item.path for item in store.list() if item.size >= 0 and item.path.lower().endswith(endings))
