"""Taking versions out of a registry, in an order in which no alias is left with a name for nothing.

    1. `<name>/retired/<version>.json` is created: a copy of the version's record
    2. `<name>/versions/<version>.json` is deleted: from now on nobody finds the version
    3. half a day later, when whoever had found it before has long ended: if an alias names it after all, the record is
       put back; else its files are deleted, the card first, then its lineage, then the copy of the record

A death between any two leaves a version that is there, or one that is not and whose files the next call deletes.
"""

from __future__ import annotations

from encdec_batch.errors import ObjectMissing, PreconditionFailed
from encdec_batch.models.alias import read_alias
from encdec_batch.models.lineage import lineage_path
from encdec_batch.models.reference import ALIASES
from encdec_batch.models.version import Version, get_record, parse_record, record_bytes, version_path
from encdec_batch.store.store import Store

GRACE_S = 12 * 3600.0
"""No command that moves an alias takes so long from finding a version to naming it."""


def retire(store: Store, version: Version) -> None:
    """Steps 1 and 2 for a version that no alias names. Its files stay until `sweep`."""
    path, data = retired_path(version), record_bytes(version)
    try:
        store.create(path, data)
    except PreconditionFailed:
        # Of an earlier version of this name; the time of this copy is what counts.
        store.put(path, data)
    store.delete([version_path(version.name, version.version)])


def sweep(store: Store, name: str, *, grace_s: float = GRACE_S) -> tuple[str, ...]:
    """Step 3 for every version that was retired long enough ago; the versions whose files are gone now.

    Raises:
        ModelError: a record is damaged.
    """
    found = list(store.list(f"{name}/retired/"))
    if not found:
        return ()
    aliases = [state[0].version for alias in ALIASES if (state := read_alias(store, name, alias))]
    gone = []
    for info in found:
        data = get_record(store, info.path)
        version = parse_record(Version, data, where=f"{store.uri}/{info.path}")
        visible = _record(store, version)
        if version.version in aliases:
            if visible is None:
                store.create(version_path(version.name, version.version), data)
            store.delete([info.path])
        elif visible == data:
            retire(store, version)
        elif visible is not None:
            # Added anew since: another record, and a version like any other.
            store.delete([info.path])
        elif store.now() - info.modified >= grace_s:
            _delete_files(store, version)
            store.delete([info.path])
            gone.append(version.version)
    return tuple(gone)


def retired_path(version: Version) -> str:
    return f"{version.name}/retired/{version.version}.json"


def _record(store: Store, version: Version) -> bytes | None:
    try:
        return get_record(store, version_path(version.name, version.version))
    except ObjectMissing:
        return None


def _delete_files(store: Store, version: Version) -> None:
    card = f"{version.folder}/card.json"
    # Without its card a folder is no package: whoever still has its URI is told so, and reads no half of it.
    store.delete([card])
    store.delete([info.path for info in store.list(f"{version.folder}/")])
    store.delete([lineage_path(version.name, version.digest)])
