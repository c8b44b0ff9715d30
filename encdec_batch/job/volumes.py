"""Volumes at the end of a run: those whose slices are all committed get their files; the others wait for theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from encdec_batch.commit.lease import Lease
from encdec_batch.commit.marker import Marker
from encdec_batch.errors import CredentialsExpired, EncdecError, WorkerLost, unexpected
from encdec_batch.plan.expand import Group
from encdec_batch.plan.private import names_of
from encdec_batch.plan.recipe import Order
from encdec_batch.plan.scene import VOLUME, SetAside, SourceImage
from encdec_batch.read.geometry import VolumeGeometry
from encdec_batch.read.resampled import resampled_geometry
from encdec_batch.spec.output import DicomFile, VolumeFile, replaces_patients
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store
from encdec_batch.stream.calls import open_calls
from encdec_batch.volume.build import build_volume
from encdec_batch.volume.record import VolumeRecord, move_record, read_records
from encdec_batch.volume.wanted import CommittedSlice, VolumeOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumesMade:
    """What became of the volumes of a source."""

    done: int = 0
    """With the files that are wanted, by this run or an earlier one."""
    made: int = 0
    """By this run."""
    waiting: tuple[str, ...] = ()
    """Ids of those of which slices are not committed."""
    set_aside: tuple[SetAside, ...] = field(default=())
    """Whose slices are all there, and whose files could not be made."""

    @property
    def notes(self) -> tuple[str, ...]:
        if not self.waiting:
            return ()
        number, first = len(self.waiting), min(self.waiting)
        text = f"{number} volumes wait for slices that were set aside (the first is {first}); files of before stay"
        return (text,)


def volumes_note(order: Order, groups: Sequence[Group]) -> str:
    """Which files of volumes are asked for and can be made of nothing; empty: none."""
    asked = order.spec.output.volume_files
    made = {file.kind for group in groups for file in _files_of(order, group)}
    idle = [file for file in asked if file.kind not in made]
    if not idle:
        return ""
    kinds = " and ".join(file.kind for file in idle)
    what = "an image of DICOM" if all(isinstance(file, DicomFile) for file in idle) else "a slice of a volume"
    return f"output.files asks for {kinds}, and no scene that can be done is {what}: none will be made"


def make_volumes(  # noqa: PLR0913, PLR0917  (all that a run has)
    order: Order,
    groups: Sequence[Group],
    keys: Mapping[str, str],
    markers: Iterable[Marker],
    store: Store,
    lease: Lease,
    told: Callable[[int, int], None],
) -> VolumesMade:
    """Makes the files of each volume that has none of these slices yet, by workers, and their records.

    Args:
        order: what is asked for.
        groups: the volumes of the source.
        keys: scene id to the key that a slice is to have.
        markers: of the output.
        store: its root.
        lease: of the run.
        told: hears how many are through, of how many.

    Raises:
        LeaseHeld: another run has taken over.
        StoreError: the store does not answer.
    """
    groups = [group for group in groups if _files_of(order, group)]
    if not groups:
        return VolumesMade()
    slices = _committed(order, groups, keys, markers)
    wanted, waiting = [], []
    for group in groups:
        volume = _order_of(order, group, slices)
        if volume is None:
            waiting.append(group.group_id)
        else:
            wanted.append(volume)
    there = {record.volume_id: (record, info.etag) for record, info in read_records(store)}
    todo = [one for one in wanted if not _is_done(one, there.get(one.volume_id, (None, ""))[0])]
    aside = []
    for number, (volume, made) in enumerate(_built(order, todo), 1):
        if isinstance(made, SetAside):
            aside.append(made)
        else:
            etag = there[volume.volume_id][1] if volume.volume_id in there else None
            # At once: what is made is not made again, whatever becomes of this run.
            move_record(store, made, expected_etag=etag, lease_n=lease.n)
        told(number, len(todo))
    return VolumesMade(
        done=len(wanted) - len(aside),
        made=len(todo) - len(aside),
        waiting=tuple(waiting),
        set_aside=tuple(aside),
    )


def _committed(
    order: Order, groups: Sequence[Group], keys: Mapping[str, str], markers: Iterable[Marker]
) -> dict[str, CommittedSlice]:
    """The rasters of slices that are committed as they are wanted, by scene id."""
    images: dict[str, SourceImage] = {}
    for group in groups:
        images |= zip(group.scene_ids, group.images, strict=True)
    name = f"{order.products[0].name}.tif"
    return {
        marker.scene_id: CommittedSlice(
            scene_id=marker.scene_id,
            path=marker.outputs[name].path,
            sha256=marker.outputs[name].sha256,
            image=images[marker.scene_id],
        )
        for marker in markers
        if marker.scene_id in images and name in marker.outputs and keys.get(marker.scene_id) == marker.scene_key
    }


def _order_of(order: Order, group: Group, slices: Mapping[str, CommittedSlice]) -> VolumeOrder | None:
    """None: slices are missing."""
    if any(scene_id not in slices for scene_id in group.scene_ids):
        return None
    files = _files_of(order, group)
    return VolumeOrder(
        volume_id=group.group_id,
        slices=tuple(slices[scene_id] for scene_id in group.scene_ids),
        product=order.products[0],
        geometry=_geometry_of(order, group),
        files=files,
        package=order.package_digest,
        pseudonyms=names_of(order.spec.privacy).fingerprint if replaces_patients(files) else "",
        reach=order.spec.source.context_slices if group.is_stack else 0,
    )


def _geometry_of(order: Order, group: Group) -> VolumeGeometry | None:
    """Of the output's voxels."""
    if group.geometry is None:
        return None
    return resampled_geometry(group.geometry, order.spec.source.um_per_px).scaled(order.card.geometry.scale)


def _files_of(order: Order, group: Group) -> tuple[VolumeFile, ...]:
    """The files that this volume is to have: those of DICOM refer to DICOM, others are of several slices."""
    asked = order.spec.output.volume_files
    return tuple(file for file in asked if (group.is_dicom if isinstance(file, DicomFile) else group.is_stack))


def _is_done(volume: VolumeOrder, record: VolumeRecord | None) -> bool:
    return record is not None and record.volume_key == volume.key and bool(record.outputs)


def _built(order: Order, todo: Sequence[VolumeOrder]) -> Iterator[tuple[VolumeOrder, VolumeRecord | SetAside]]:
    """Each as soon as its files are there."""
    if not todo:
        return
    with open_calls(order.spec.compute.stream, "cpu") as calls:
        for volume, made in calls.as_completed(_build, order, todo):
            yield volume, _aside(volume, made) if isinstance(made, WorkerLost) else made


def _build(order: Order, volume: VolumeOrder) -> VolumeRecord | SetAside:
    """The boundary, as in the pipeline: one volume must not stop the others."""
    try:
        output = order.spec.output
        return build_volume(open_store(output.uri, output.storage), volume, order.spec, order.card)
    except CredentialsExpired:
        raise  # no volume's fault, and the same for all of them
    except Exception as error:  # noqa: BLE001
        hidden = order.spec.privacy.hide != "off"
        return _aside(volume, error if isinstance(error, EncdecError) else unexpected(error, "volume", private=hidden))


def _aside(volume: VolumeOrder, said: EncdecError) -> SetAside:
    return SetAside(
        scene_id=volume.volume_id,
        uri=f"volume of {len(volume.slices)} slices",
        stage=VOLUME,
        reason=said.message,
        hint=said.hint,
        transient=said.transient,
    )
