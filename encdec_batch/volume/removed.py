"""Volumes of which a slice was taken out of the output: their files hold it too, so they go as well."""

from __future__ import annotations

from collections.abc import Collection

from encdec_batch.store.store import Store
from encdec_batch.volume.record import move_record, read_records


def take_out_volumes(store: Store, removed: Collection[str], *, lease_n: int) -> tuple[str, ...]:
    """Takes the files of these volumes out of sight, by records that name none; says which volumes those were.

    Their folders are superseded from then on, and pruned in their time. A volume that is whole again is made anew.

    Args:
        store: the root of the output.
        removed: ids of scenes that have no outputs any more.
        lease_n: of the lease that is held.

    Raises:
        LeaseHeld: another run has taken over.
        CommitError: a record was changed meanwhile, or cannot be read by this version.
    """
    taken = []
    for record, info in list(read_records(store)):
        if record.outputs and any(scene_id in removed for scene_id in record.slices):
            gone = record.model_copy(update={"outputs": {}, "notes": ("removed",)})
            move_record(store, gone, expected_etag=info.etag, lease_n=lease_n)
            taken.append(record.volume_id)
    return tuple(taken)


def take_out_damaged(store: Store, paths: Collection[str], *, lease_n: int) -> tuple[str, ...]:
    """Takes out the volumes that have one of these files, and deletes it: a file is a function of its name, so that the
    next run writes it anew under that very name. Says which volumes those were.

    Args:
        store: the root of the output.
        paths: of files that are not what their records say.
        lease_n: of the lease that is held.

    Raises:
        LeaseHeld, CommitError: as `take_out_volumes`.
    """
    taken = []
    for record, info in list(read_records(store)):
        objects = (one for file in record.outputs.values() for one in file.objects())
        damaged = [one.path for one in objects if one.path in paths]
        if damaged:
            gone = record.model_copy(update={"outputs": {}, "notes": ("damaged",)})
            move_record(store, gone, expected_etag=info.etag, lease_n=lease_n)
            store.delete(damaged)
            taken.append(record.volume_id)
    return tuple(taken)
