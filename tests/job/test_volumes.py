"""One volume that cannot be made stops neither the others nor the end of a run."""

from __future__ import annotations

import pytest
from plan.recipes import order

from encdec_batch.errors import CredentialsExpired, TransientStoreError, UnsupportedScene
from encdec_batch.job import volumes
from encdec_batch.plan.expand import Group
from encdec_batch.plan.product import Product
from encdec_batch.plan.scene import SetAside
from encdec_batch.spec.output import NiftiFile
from encdec_batch.volume.order import VolumeOrder

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


@pytest.mark.parametrize(("is_dicom", "kinds"), [(True, ["nifti", "dicom_seg"]), (False, ["nifti"])])
def test_a_segmentation_is_made_of_dicom_alone(is_dicom, kinds):
    files = [{"kind": "cog"}, {"kind": "nifti"}, {"kind": "dicom_seg"}]
    asked = order(output={"uri": "/out", "files": files})
    group = Group(group_id="v", is_dicom=is_dicom)
    assert [file.kind for file in volumes._files_of(asked, group)] == kinds


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (None, "dicom_seg, and no scene of the source is an image of DICOM"),
        (Group(group_id="v"), "dicom_seg, and no scene of the source is an image of DICOM"),
        (Group(group_id="v", is_dicom=True, is_stack=False), ""),
    ],
)
def test_files_that_nothing_can_have_are_said(group, said):
    asked = order(output={"uri": "/out", "files": [{"kind": "cog"}, {"kind": "dicom_seg"}]})
    note = volumes.volumes_note(asked, [group] if group else [])
    assert said in note
    assert bool(note) == bool(said)
