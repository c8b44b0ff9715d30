"""The files of one volume, written into their folder; nothing of them is visible yet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata

from encdec_batch.commit.files import write_object
from encdec_batch.commit.marker import OutputFile
from encdec_batch.commit.volume_paths import DICOM_PREFIX, VOLUMES_PREFIX, folder_path
from encdec_batch.models.card import Card
from encdec_batch.plan.keys import canonical_json
from encdec_batch.plan.private import names_of
from encdec_batch.plan.products import ome_zarr_name
from encdec_batch.plan.scene import SourceImage
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.output import DicomSegFile, NiftiFile, OmeZarrVolumeFile
from encdec_batch.store.store import Store
from encdec_batch.volume.dicom_image import derived_objects, write_dicom_image
from encdec_batch.volume.dicom_seg import write_dicom_seg
from encdec_batch.volume.dicom_source import read_source
from encdec_batch.volume.nifti import write_nifti
from encdec_batch.volume.ome_zarr import write_volume_zarr
from encdec_batch.volume.record import VolumeRecord
from encdec_batch.volume.slices import SliceRasters
from encdec_batch.volume.wanted import VolumeOrder
from encdec_batch.write.sink import Sink, Written
from encdec_batch.write.versions import encoder_versions


def build_volume(store: Store, order: VolumeOrder, spec: JobSpec, card: Card) -> VolumeRecord:
    """Writes what is wanted of a volume and says what that is.

    Args:
        store: the root of the output.
        order: what is wanted.
        spec: of the job: how its source is opened.
        card: of the network.

    Raises:
        CommitError: the slices are not those of one volume.
        UnsupportedScene: a format cannot hold it.
        SpecError: its patient is to be replaced, and there is no key.
        SceneError, TransientStoreError: its source cannot be read again.
    """
    rasters, made = SliceRasters(store, order), dict[str, OutputFile]()
    if any(isinstance(file, OmeZarrVolumeFile) for file in order.files):
        path = folder_path(order.volume_id, order.key, _content(), VOLUMES_PREFIX) + ome_zarr_name(order.product)
        made[ome_zarr_name(order.product)] = _folder(store, path, rasters)
    for name, fill in _files(order, rasters, spec, card):
        # What names its patient, as DICOM must, lies apart from all else.
        prefix = DICOM_PREFIX if name.endswith(".dcm") else VOLUMES_PREFIX
        path = folder_path(order.volume_id, order.key, _content(), prefix) + name
        written = write_object(store, path, fill, expected_size=0)
        made[name] = OutputFile(path=path, size=written.size_bytes, sha256=written.sha256)
    return VolumeRecord(
        volume_id=order.volume_id,
        volume_key=order.key,
        slices=tuple(one.scene_id for one in order.slices),
        outputs=made,
    )


def _folder(store: Store, path: str, rasters: SliceRasters) -> OutputFile:
    members = dict[str, Written]()

    def put(member: str, fill: Callable[[Sink], Written]) -> None:
        members[member] = write_object(store, f"{path}/{member}", fill, expected_size=0)

    write_volume_zarr(put, rasters)
    return OutputFile.of_folder(path, members)


def _files(
    order: VolumeOrder, rasters: SliceRasters, spec: JobSpec, card: Card
) -> Iterator[tuple[str, Callable[[Sink], Written]]]:
    for file in order.files:
        if isinstance(file, NiftiFile):
            name = f"{order.product.name}.nii.gz" if file.packed else f"{order.product.name}.nii"
            yield name, partial(write_nifti, rasters=rasters, packed=file.packed)
            continue
        if isinstance(file, OmeZarrVolumeFile):
            continue
        names = names_of(spec.privacy) if file.patient_module == "replace" else None
        sources = [read_source(spec, image, names) for image in _objects(order)]
        if isinstance(file, DicomSegFile):
            headers = [source.header for source in sources]
            yield "seg.dcm", partial(write_dicom_seg, rasters=rasters, file=file, card=card, sources=headers)
            continue
        for number, derived in enumerate(derived_objects(order, sources), 1):
            name = "image.dcm" if len(sources) == 1 else f"image-{number:04d}.dcm"
            yield name, partial(write_dicom_image, rasters=rasters, file=file, card=card, derived=derived)


def _objects(order: VolumeOrder) -> list[SourceImage]:
    """The objects that slices came from, each once: of frames of one it is that one."""
    return list({one.image.uri: one.image for one in order.slices}.values())


def _content() -> str:
    """8 hex digits of what decides bytes beside the order."""
    versions = encoder_versions() | {name: metadata.version(name) for name in ("highdicom", "nibabel", "pydicom")}
    return hashlib.sha256(canonical_json(versions)).hexdigest()[:8]
