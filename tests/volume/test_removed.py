"""Volumes whose slices were taken out, files that are damaged, and the table of what there is."""

from __future__ import annotations

import hashlib
from io import BytesIO

import pyarrow.parquet as pq
import pytest
from fakes import FakeStore, fake_marker

from encdec_batch.commit.lease import HolderInfo, acquire_lease
from encdec_batch.commit.marker import OutputFile, marker_path
from encdec_batch.commit.volume_paths import VOLUMES_TABLE, record_path
from encdec_batch.job.status import verify
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store
from encdec_batch.volume.prune import find_superseded
from encdec_batch.volume.record import VolumeRecord, read_records
from encdec_batch.volume.removed import take_out_damaged, take_out_volumes
from encdec_batch.volume.table import write_volumes_table


def put(store: Store, volume_id: str, *slices: str) -> VolumeRecord:
    """A volume with one file."""
    path = f"dicom/{volume_id}/{'0' * 16}-{'1' * 8}/seg.dcm"
    data = volume_id.encode()
    store.put(path, data)
    file = OutputFile(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    record = VolumeRecord(volume_id=volume_id, volume_key="a" * 64, slices=slices, outputs={"seg.dcm": file})
    store.put(record_path(volume_id), record.to_json())
    return record


@pytest.fixture
def store() -> FakeStore:
    store = FakeStore()
    put(store, "whole", "a", "b")
    put(store, "parted", "c", "d")
    return store


@pytest.fixture
def lease_n(store) -> int:
    with acquire_lease(store, HolderInfo.current("r")) as lease:
        yield lease.n


def test_a_volume_goes_with_any_of_its_slices_and_its_files_in_their_time(store, lease_n):
    assert list(find_superseded(store, 0)) == []
    assert take_out_volumes(store, {"d", "x"}, lease_n=lease_n) == ("parted",)
    assert take_out_volumes(store, {"d", "x"}, lease_n=lease_n) == ()
    records = {record.volume_id: record for record, _ in read_records(store)}
    assert (records["parted"].outputs, records["parted"].notes) == ({}, ("removed",))
    assert records["whole"].outputs
    store.clock += 3600
    assert list(find_superseded(store, 2 * 3600)) == []
    (folder,) = find_superseded(store, 3600)
    assert folder.path.startswith("dicom/parted/")


def test_the_table_has_a_row_for_each_file(store, lease_n):
    take_out_volumes(store, {"d"}, lease_n=lease_n)
    write_volumes_table(store, [record for record, _ in read_records(store)])
    (row,) = pq.read_table(BytesIO(store.get(VOLUMES_TABLE))).to_pylist()
    assert (row["volume_id"], row["slices"], row["output"]) == ("whole", ["a", "b"], "seg.dcm")
    empty = FakeStore()
    write_volumes_table(empty, [])
    assert list(empty.list()) == []


def test_a_damaged_file_is_found_and_makes_room_for_a_new_one(tmp_path):
    store = open_store(str(tmp_path))
    marker = fake_marker("a")
    store.put(marker_path("a"), marker.to_json())
    record = put(store, "v", "a")
    path = record.outputs["seg.dcm"].path
    digest = verify(str(tmp_path)).digest
    (tmp_path / path).write_bytes(b"X")
    found = verify(str(tmp_path))
    assert (found.bad_volume_files, found.volume_files, found.digest) == ((path,), 1, digest)
    with acquire_lease(store, HolderInfo.current("r")) as lease:
        assert take_out_damaged(store, found.bad_volume_files, lease_n=lease.n) == ("v",)
    assert not (tmp_path / path).exists()
    (tmp_path / record_path("v")).write_text("{}")
    assert "volumes/" in verify(str(tmp_path)).why
