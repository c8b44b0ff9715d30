"""Folders of volumes that no record names any more."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, groupby

from encdec_batch.commit.prune import PrunableFolder
from encdec_batch.commit.volume_paths import DICOM_PREFIX, VOLUMES_PREFIX, folder_of
from encdec_batch.store.store import Store
from encdec_batch.volume.record import read_records


def find_superseded(store: Store, keep_s: float) -> Iterator[PrunableFolder]:
    """What `prune` may delete now: idle for `keep_s`, in which a reader of the record before may want it. A run that
    makes the volume again writes it anew.
    """
    now = store.now()
    named = {folder_of(file.path) for record, _ in read_records(store) for file in record.outputs.values()}
    listed_all = chain(store.list(VOLUMES_PREFIX), store.list(DICOM_PREFIX))
    for folder, listed in groupby(listed_all, key=lambda info: folder_of(info.path)):
        objects = tuple(listed)
        idle_s = now - max(info.modified for info in objects)
        if folder is not None and folder not in named and idle_s >= keep_s:
            yield PrunableFolder(
                path=folder,
                reason="superseded",
                objects=tuple(info.path for info in objects),
                size_bytes=sum(info.size for info in objects),
            )
