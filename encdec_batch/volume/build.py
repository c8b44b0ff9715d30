"""The files of one volume, written into their folder; nothing of them is visible yet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from importlib import metadata

from encdec_batch.commit.marker import OutputFile
from encdec_batch.commit.volume_paths import folder_path
from encdec_batch.plan.keys import canonical_json
from encdec_batch.spec.output import NiftiFile
from encdec_batch.store.store import Store
from encdec_batch.volume.nifti import write_nifti
from encdec_batch.volume.order import VolumeOrder
from encdec_batch.volume.record import VolumeRecord
from encdec_batch.volume.slices import SliceRasters
from encdec_batch.write.sink import Sink, Written
from encdec_batch.write.versions import encoder_versions


def build_volume(store: Store, order: VolumeOrder) -> VolumeRecord:
    """Writes what is wanted of a volume and says what that is.

    Raises:
        CommitError: the slices are not those of one volume.
        UnsupportedScene: a format cannot hold it.
    """
    folder = folder_path(order.volume_id, order.key, _content())
    rasters, made = SliceRasters(store, order), {}
    for name, fill in _files(order, rasters):
        path = folder + name
        with store.open_writer(path, expected_size=0) as writer:
            written = fill(writer)
            # False: the file is there already. Its bytes are a function of its name, so it is this one.
            writer.finish()
        made[name] = OutputFile(path=path, size=written.size_bytes, sha256=written.sha256)
    return VolumeRecord(
        volume_id=order.volume_id,
        volume_key=order.key,
        slices=tuple(one.scene_id for one in order.slices),
        outputs=made,
    )


def _files(order: VolumeOrder, rasters: SliceRasters) -> Iterator[tuple[str, Callable[[Sink], Written]]]:
    for file in order.files:
        if isinstance(file, NiftiFile):
            name = f"{order.product.name}.nii.gz" if file.packed else f"{order.product.name}.nii"
            yield name, lambda sink, f=file: write_nifti(sink, rasters, packed=f.packed)  # type: ignore[misc]


def _content() -> str:
    """8 hex digits of what decides bytes beside the order."""
    versions = encoder_versions() | {name: metadata.version(name) for name in ("nibabel",)}
    return hashlib.sha256(canonical_json(versions)).hexdigest()[:8]
