"""Objects below a prefix that are images by their names, and how many look like one and were not asked for.

One rule for the scenes of a job and the pairs of a training.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

from encdec_batch.plan.confine import confined
from encdec_batch.read.folder import FolderVersion, folder_of
from encdec_batch.spec.source import SCENE_SUFFIXES, GlobSource, PrefixSource
from encdec_batch.store.object import ObjectInfo
from encdec_batch.store.open import open_store

_OTHER = "jp2 j2k jpx img vrt nc h5 hdf bmp gif nitf ntf ndpi mrxs czi"
RASTERS = frozenset([*SCENE_SUFFIXES, *(f".{ending}" for ending in _OTHER.split())])
"""Endings of names that somebody may take for images."""


class Listed(NamedTuple):
    """An object that was asked for, or a folder that is one scene."""

    uri: str
    info: ObjectInfo


def images_below(source: PrefixSource | GlobSource, passed_over: Counter[str]) -> Iterator[Listed]:
    """Every object that the source asks for, in the order of the listing; nothing is opened.

    Args:
        source: a prefix with suffixes, or with a pattern.
        passed_over: counts, by ending, what looks like an image and was not asked for.

    Raises:
        SpecError: the store is not there.
        StoreError: it does not answer.
    """
    store = confined(open_store(source.uri, source.storage), source, source.uri)
    # First contact has a short patience of its own: a mistyped endpoint is said in seconds, not after every retry.
    store.now()
    fits = _glob(source.pattern).fullmatch if isinstance(source, GlobSource) else _suffix_test(source.suffixes)
    for item in _with_folders(item for item in store.list() if item.size >= 0):
        if fits(item.path):
            yield Listed(uri=f"{store.uri.rstrip('/')}/{item.path}", info=item)
        else:
            ending = posixpath.splitext(item.path.lower().removesuffix(".gz"))[1]
            passed_over.update([ending] if ending in RASTERS else [])


def passed_over_note(passed_over: Mapping[str, int], option: str) -> str:
    """A line on what looks like an image and was not asked for; empty where there is none.

    Args:
        passed_over: ending to number.
        option: of the spec, by which it would be asked for.
    """
    if not passed_over:
        return ""
    kinds = ", ".join(f"{number} {ending}" for ending, number in sorted(passed_over.items()))
    return f"objects that look like images were not asked for and passed over: {kinds}; {option} can ask for them"


def _with_folders(listed: Iterable[ObjectInfo]) -> Iterator[ObjectInfo]:
    """The objects of a listing; those of a scene that is a folder (*.zarr) as one, with the etag its reader finds."""
    for folder, objects in groupby(listed, key=lambda item: folder_of(item.path)):
        if folder is None:
            yield from objects
            continue
        version = FolderVersion()
        for item in objects:
            version.add(item.path.removeprefix(f"{folder}/"), item)
        yield ObjectInfo(path=folder, size=version.size, etag=version.etag, modified=version.modified)


def _suffix_test(suffixes: tuple[str, ...]) -> Callable[[str], object]:
    endings = tuple(suffix.lower() for suffix in suffixes)
    return lambda path: path.lower().endswith(endings)


def _glob(pattern: str) -> re.Pattern[str]:
    """`*` and `?` within a folder, `**/` across folders."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    regex = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(regex.get(part, re.escape(part)) for part in parts))
