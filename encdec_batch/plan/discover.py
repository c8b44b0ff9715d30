"""The scenes a source names: one listing, or one table; nothing is opened."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from encdec_batch.errors import SpecError, StoreError
from encdec_batch.plan.identity import distinct_id, path_id, settle_ids
from encdec_batch.plan.listing import images_below
from encdec_batch.plan.scene import Candidate, SetAside
from encdec_batch.plan.trust import refusal, rules_of
from encdec_batch.read.folder import is_folder
from encdec_batch.spec.source import LOCAL_SCHEMES, GlobSource, ListSource, PrefixSource, Source, Table, TableSource
from encdec_batch.store.open import locate
from encdec_batch.uri import public_uri, without_query


class Found(NamedTuple):
    """What a source names."""

    candidates: list[Candidate]
    """Each with its id, in the order of the listing."""
    unnamed: list[SetAside]
    """What cannot have an id."""
    passed_over: Mapping[str, int]
    """Ending of a name to the number of listed objects that look like images and were not asked for."""


def find_scenes(source: Source) -> Found:
    """Every candidate with its id; nothing is opened.

    Raises:
        SpecError: the source does not exist, or a table lacks its column.
        StoreError: the store does not answer.
    """
    if isinstance(source, PrefixSource | GlobSource):
        passed_over = Counter[str]()
        return Found(*settle_ids(_listed(source, passed_over)), passed_over)
    if isinstance(source, ListSource):
        named = ((_name_of(uri), _unseen(uri)) for uri in source.uris)
        return Found(*settle_ids(named), {})
    return Found(*_trusted(source, list(_tabled(source))), {})


def _listed(source: PrefixSource | GlobSource, passed_over: Counter[str]) -> Iterator[tuple[str, Candidate]]:
    scheme, separator, rest = source.uri.partition("://")
    is_file = (not separator or scheme in LOCAL_SCHEMES) and Path(rest if separator else source.uri).is_file()
    if is_file or is_folder(source.uri):
        raise SpecError(
            f"{source.uri} is {'a file, no folder' if is_file else 'one scene, no folder of scenes'}",
            hint=f"for one scene write source: {{kind: list, uris: [{source.uri}]}}",
        )
    for uri, item in images_below(source, passed_over):
        yield path_id(item.path), Candidate(scene_id="", uri=uri, etag=item.etag, size_bytes=item.size)


def _trusted(source: TableSource, rows: list[tuple[str, Candidate]]) -> tuple[list[Candidate], list[SetAside]]:
    """What a table may name, and its other rows set aside.

    Raises:
        SpecError: no row may be opened, which is a fault of the spec or the table, and no row's.
    """
    rules = rules_of(source)
    refusals = [refusal(candidate.opened, rules) for _, candidate in rows]
    kept, aside = settle_ids(row for row, refused in zip(rows, refusals, strict=True) if refused is None)
    taken = {candidate.scene_id.casefold() for candidate in kept}
    for number, ((name, candidate), refused) in enumerate(zip(rows, refusals, strict=True), 1):
        if refused is None:
            continue
        if not kept and not aside:
            raise SpecError(f"{source.uri}: no row may be opened; row {number}: {refused.reason}", hint=refused.hint)
        scene_id = distinct_id(name, f"{number} {candidate.uri}", taken)
        taken.add(scene_id.casefold())
        # Its number is left out: rows that are refused for one reason are told of together, and its URI finds it.
        reason = f"a row of {public_uri(source.uri)}: {refused.reason}"
        aside.append(SetAside(scene_id=scene_id, uri=candidate.uri, stage="plan", reason=reason, hint=refused.hint))
    return kept, aside


def _tabled(source: TableSource) -> Iterator[tuple[str, Candidate]]:
    table = read_table(source)
    if "uri" not in table.column_names:
        raise SpecError(f"{source.uri} has no column uri", hint=f"its columns are {', '.join(table.column_names)}")
    for number, row in enumerate(table.to_pylist(), 1):
        uri, wanted = row["uri"], row.get("scene_id")
        # Arrow gives bytes for what is no UTF-8.
        if not isinstance(uri, str) or not uri or isinstance(wanted, bytes):
            raise SpecError(
                f"{source.uri}: row {number} has no uri, or one that is not text",
                hint="write a uri and, where wanted, a scene_id in UTF-8 in each row",
            )
        scene_id = str(wanted) if wanted not in (None, "") else _name_of(uri)
        yield scene_id, _unseen(beside(source.uri, uri), bands_of(row.get("bands"), source.uri))


def beside(table: str, uri: str) -> str:
    """A uri of a row: one that is relative lies beside the table, whichever folder a process is in."""
    if "://" in uri or uri.startswith("/"):
        return uri
    scheme, separator, path = without_query(table).rpartition("://")
    # A bucket or host is no folder: what climbs out of it keeps its "..", and is refused.
    place, slash, path = path.partition("/") if separator else ("", "", os.path.abspath(path))  # noqa: PTH100 - resolve() follows links
    folder = f"/{posixpath.dirname(path)}" if scheme in ("file", "local") else posixpath.dirname(path)
    joined = posixpath.normpath(posixpath.join(folder, uri))
    return f"{scheme}{separator}{place}{slash}{joined.removeprefix('/') if separator else joined}"


def read_table(source: Table) -> pa.Table:
    """All rows of the table.

    Raises:
        SpecError: it cannot be had, or is neither CSV nor Parquet.
    """
    try:
        store, path = locate(source.uri, source.storage)
        data = store.get(path)
    except StoreError as error:
        raise SpecError(f"cannot read the table {source.uri}: {error.message}", hint=error.hint) from error
    try:
        is_csv = without_query(source.uri).lower().endswith(".csv")
        table = pyarrow.csv.read_csv(BytesIO(data)) if is_csv else pq.read_table(BytesIO(data))
        _ = table.column_names  # which need not be UTF-8
    except (pa.ArrowException, OSError, ValueError) as error:
        # Arrow's words quote the row, and persons may be named there.
        raise SpecError(f"{source.uri} is neither Parquet nor CSV ({type(error).__name__})") from None
    return table


def bands_of(value: object, where: str) -> tuple[int, ...] | None:
    """`1;2;3`, a list, or nothing."""
    if value is None or value == "":
        return None
    items = value if isinstance(value, list) else str(value).split(";")
    try:
        bands = tuple(int(item) for item in items)
    except (TypeError, ValueError):
        bands = (0,)
    if min(bands, default=0) < 1:
        raise SpecError(f"{where}: bands {value!r}", hint="write band numbers from 1, as 1;2;3")
    return bands


def _unseen(uri: str, bands: tuple[int, ...] | None = None) -> Candidate:
    shown = public_uri(uri)
    return Candidate(scene_id="", uri=shown, etag="", size_bytes=-1, bands=bands, link=uri if uri != shown else "")


def _name_of(uri: str) -> str:
    """The wanted id of a scene that was named by its URI alone."""
    return path_id(PurePosixPath(public_uri(uri)).name)
