"""Folders of volumes that no record names any more."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, groupby

from encdec_batch.commit.prune import PrunableFolder
from encdec_batch.commit.volume_paths import DICOM_PREFIX, VOLUMES_PREFIX, folder_of
from encdec_batch.store.store import Store
from encdec_batch.volume.record import read_records


def find_superseded(store: Store, keep_s: float) -> Iterator[PrunableFolder]:
    """What `prune` may delete now: idle for `keep_s`, as its volume's record is, in which a reader of the record before
    may want it. A run that makes the volume again writes it anew.
    """
    now, named, moved = store.now(), set[str | None](), dict[str, float]()
    for record, info in read_records(store):
        named |= {folder_of(file.path) for file in record.outputs.values()}
        moved[record.volume_id] = info.modified
    listed_all = chain(store.list(VOLUMES_PREFIX), store.list(DICOM_PREFIX))
    for folder, listed in groupby(listed_all, key=lambda info: folder_of(info.path)):
        objects = tuple(listed)
        since = max(info.modified for info in objects)
        if folder is not None:
            # Whoever read the record before it was moved may still want them.
            since = max(since, moved.get(folder.split("/")[1], since))
        idle_s = now - since
        if folder is not None and folder not in named and idle_s >= keep_s:
            yield PrunableFolder(
                path=folder,
                reason="superseded",
                objects=tuple(info.path for info in objects),
                size_bytes=sum(info.size for info in objects),
            )
