"""A source's store that links of a disk, names and redirects of a network lead nowhere but where the spec says."""

from __future__ import annotations

from encdec_batch.plan.trust import LOCAL, is_below, scheme_of
from encdec_batch.spec.source import ListSource, Source, Table
from encdec_batch.store.generic import GenericStore
from encdec_batch.store.local import LocalStore
from encdec_batch.store.store import Store


def confined(store: Store, source: Source | Table, uri: str) -> Store:
    """The store of a scene, or of all scenes, as far as this source may lead.

    Scenes of a list are the spec's own words, and lead anywhere.
    """
    if isinstance(source, ListSource):
        return store
    if isinstance(store, LocalStore):
        root = None if source.follow_links else _root(source, uri)
        return store if root is None else store.confined(root)
    if isinstance(source, Table) and isinstance(store, GenericStore):
        return store.confined(frozenset(host.lower().rstrip(".") for host in source.hosts))
    return store


def _root(source: Source | Table, uri: str) -> str | None:
    """The folder that links may not leave; None where the spec names none."""
    if not isinstance(source, Table):
        return _path(source.uri) if not isinstance(source, ListSource) else None
    local = (prefix for prefix in source.prefixes or () if scheme_of(prefix) == LOCAL)
    return next((_path(prefix) for prefix in local if is_below(uri, prefix)), None)


def _path(uri: str) -> str:
    return uri.partition("://")[2] if "://" in uri else uri
