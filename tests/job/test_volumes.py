"""One volume that cannot be made stops neither the others nor the end of a run."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from fakes import FakeStore
from plan.recipes import card, order

from encdec_batch.commit.marker import OutputFile
from encdec_batch.errors import CredentialsExpired, TransientStoreError, UnsupportedScene
from encdec_batch.job import volumes
from encdec_batch.plan.expand import Group
from encdec_batch.plan.product import Product
from encdec_batch.plan.scene import SetAside, SourceImage
from encdec_batch.read.geometry import VolumeGeometry
from encdec_batch.spec.output import NiftiFile
from encdec_batch.volume.record import VolumeRecord, read_records
from encdec_batch.volume.wanted import CommittedSlice, VolumeOrder

VOLUME = VolumeOrder(
    volume_id="v",
    slices=(),
    product=Product(name="mask", kind="classes", dtype="uint8", band_names=("class",), nodata=255),
    geometry=None,
    files=(NiftiFile(kind="nifti"),),
)


def build(monkeypatch, error: Exception):
    def fails(*_):
        raise error

    monkeypatch.setattr(volumes, "build_volume", fails)
    return volumes._build(order(), VOLUME)


@pytest.mark.parametrize(
    ("error", "transient"),
    [(TransientStoreError("no answer"), True), (UnsupportedScene("too large"), False), (ValueError("odd"), False)],
)
def test_it_is_set_aside_and_what_may_pass_is_taken_up_again(monkeypatch, error, transient):
    made = build(monkeypatch, error)
    assert isinstance(made, SetAside)
    assert (made.scene_id, made.stage, made.transient) == ("v", "volume", transient)


def test_credentials_that_have_expired_end_the_run(monkeypatch):
    with pytest.raises(CredentialsExpired):
        build(monkeypatch, CredentialsExpired("expired"))


def test_slices_that_are_resampled_lie_where_they_lay():
    geometry = VolumeGeometry(affine=((1.0, 0, 0, 0), (0, 1.0, 0, 0), (0, 0, 3.0, 0)), shape=(40, 40))
    asked = order(card(scale=2), source={"kind": "prefix", "uri": "/archive", "um_per_px": 2000.0})
    found = volumes._geometry_of(asked, Group(group_id="v", geometry=geometry))
    # Twice as large as they were, then two for each one again.
    assert found == geometry
    plain = volumes._geometry_of(replace(asked, card=card()), Group(group_id="v", geometry=geometry))
    assert (plain.shape, plain.affine[0]) == ((20, 20), (2.0, 0.0, 0.0, 0.5))


@pytest.mark.parametrize(("is_dicom", "kinds"), [(True, ["nifti", "dicom_seg"]), (False, ["nifti"])])
def test_a_segmentation_is_made_of_dicom_alone(is_dicom, kinds):
    files = [{"kind": "cog"}, {"kind": "nifti"}, {"kind": "dicom_seg"}]
    asked = order(output={"uri": "/out", "files": files})
    group = Group(group_id="v", is_dicom=is_dicom)
    assert [file.kind for file in volumes._files_of(asked, group)] == kinds


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (None, "dicom_seg, and no scene that can be done is an image of DICOM"),
        (Group(group_id="v"), "dicom_seg, and no scene that can be done is an image of DICOM"),
        (Group(group_id="v", is_dicom=True, is_stack=False), ""),
    ],
)
def test_files_that_nothing_can_have_are_said(group, said):
    asked = order(output={"uri": "/out", "files": [{"kind": "cog"}, {"kind": "dicom_seg"}]})
    note = volumes.volumes_note(asked, [group] if group else [])
    assert said in note
    assert bool(note) == bool(said)


def test_what_is_made_is_visible_at_once_whatever_becomes_of_the_run(monkeypatch):
    """Of two volumes the second ends the run: the first has its record, and the next run makes the other alone."""
    files = [{"kind": "cog"}, {"kind": "nifti"}]
    asked = order(output={"uri": "/out", "files": files}, compute={"stream": {"kind": "local"}})
    image = SourceImage(uri="s3://archive/v.nii", etag="1")
    groups = [Group(group_id=name, scene_ids=(name,), images=(image,)) for name in ("a", "b")]
    slices = {name: CommittedSlice(scene_id=name, path="p", sha256="0" * 64, image=image) for name in ("a", "b")}
    store, made, told = FakeStore(), [], []

    def build(_store, volume, *_):
        if volume.volume_id == "b" and "b" not in made:
            made.append("b")
            raise CredentialsExpired("expired")
        made.append(volume.volume_id)
        file = OutputFile(path=f"volumes/{volume.volume_id}/x", size=1, sha256="1" * 64)
        outputs = {"mask.nii.gz": file}
        return VolumeRecord(volume_id=volume.volume_id, volume_key=volume.key, slices=("a",), outputs=outputs)

    monkeypatch.setattr(volumes, "build_volume", build)
    monkeypatch.setattr(volumes, "open_store", lambda *_: store)
    monkeypatch.setattr(volumes, "_committed", lambda *_: slices)

    def run():
        return volumes.make_volumes(
            asked, groups, {}, (), store, SimpleNamespace(n=1), lambda *numbers: told.append(numbers)
        )

    with pytest.raises(CredentialsExpired):
        run()
    assert [record.volume_id for record, _ in read_records(store)] == ["a"]
    assert (run().made, run().made) == (1, 0)
    assert made == ["a", "b", "b"]
    assert told == [(1, 2), (1, 1)]
