"""From objects to scenes: planes of one object, slices of many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from plan.test_series import place

from encdec_batch.plan.expand import Expanded, expand
from encdec_batch.plan.scene import Candidate, SetAside
from encdec_batch.read.contents import ONE_IMAGE, Contents
from encdec_batch.read.plane import Plane
from encdec_batch.spec.source import PrefixSource


def candidate(name: str) -> Candidate:
    return Candidate(scene_id=name.partition(".")[0], uri=f"s3://archive/{name}", etag=f"tag {name}", size_bytes=9)


def expanded(holds: dict[str, Contents | None], **source) -> Expanded:
    """Of objects by name; None: it cannot be looked into."""
    looked: list[str] = []

    def look(several):
        looked.extend(one.uri.rpartition("/")[2] for one in several)
        aside = SetAside(scene_id="x", uri="", stage="plan", reason="", hint="")
        return [
            aside if (contents := holds[one.uri.rpartition("/")[2]]) is None else (one, contents) for one in several
        ]

    found = expand(map(candidate, holds), PrefixSource(kind="prefix", uri="s3://archive", **source), look)
    assert "plain.tif" not in looked
    return found


def volume(*planes: Plane) -> Contents:
    return Contents(planes=planes, stacked_along="z")


VOLUME = volume(*(Plane.of(t=t, z=z) for t in range(2) for z in range(3)))


def test_an_image_is_a_scene_and_is_not_looked_into():
    found = expanded({"plain.tif": ONE_IMAGE})
    assert found.candidates == (candidate("plain.tif"),)
    assert found.groups == ()


def test_each_plane_is_a_scene_and_each_point_in_time_a_group():
    found = expanded({"v.zarr": VOLUME, "plain.tif": ONE_IMAGE})
    assert [one.scene_id for one in found.candidates] == [
        *(f"v-t{t:04d}-z{z:04d}" for t in range(2) for z in range(3)),
        "plain",
    ]
    assert [one.plane for one in found.candidates[:2]] == [Plane.of(t=0, z=0), Plane.of(t=0, z=1)]
    assert [(one.group_id, len(one.scene_ids)) for one in found.groups] == [("v-t0000", 3), ("v-t0001", 3)]
    assert not any(one.is_dicom for one in found.groups)


def test_neighbours_are_of_the_same_point_in_time_and_the_last_stands_for_what_is_missing():
    found = expanded({"v.zarr": VOLUME}, context_slices=1)
    assert [[image.plane["z"] for image in one.stack] for one in found.candidates[3:]] == [
        [0, 0, 1],
        [0, 1, 2],
        [1, 2, 2],
    ]
    assert {image.plane["t"] for one in found.candidates[3:] for image in one.stack} == {1}


def test_slices_of_a_series_are_neighbours_in_space_and_not_by_name():
    order = {"b.dcm": 2, "a.dcm": 0, "d.dcm": 1}
    found = expanded({name: Contents(place=place(n)) for name, n in order.items()}, context_slices=1)
    assert [one.scene_id for one in found.candidates] == ["a", "d", "b"]
    assert [image.uri.rpartition("/")[2] for image in found.candidates[1].stack] == ["a.dcm", "d.dcm", "b.dcm"]
    (group,) = found.groups
    assert group.scene_ids == ("a", "d", "b")
    assert group.is_dicom
    # 3 mm from slice to slice, up; DICOM counts to the left and back, NIfTI to the right and forward.
    np.testing.assert_allclose(group.geometry.affine, [[-0.7, 0, 0, 120], [0, -0.7, 0, -80], [0, 0, 3, 10]])


def test_a_faulty_series_is_set_aside_and_the_others_go_on():
    gap = {f"{n}.dcm": Contents(place=place(n)) for n in (0, 1, 2, 4)}
    other = {"x.dcm": Contents(place=replace(place(0), series="other"))}
    found = expanded(gap | other)
    assert [one.scene_id for one in found.candidates] == ["x"]
    assert {one.scene_id for one in found.set_aside} == {"0", "1", "2", "4"}
    assert len({one.reason for one in found.set_aside}) == 1


def test_as_images_each_is_taken_by_itself():
    gap = {f"{n}.dcm": Contents(place=place(n)) for n in (0, 1, 2, 4)}
    found = expanded(gap | {"v.zarr": VOLUME}, series="images")
    assert len(found.candidates) == 4 + 6
    assert found.set_aside == ()
    # Of DICOM each may have a file of its own; nothing is a stack.
    assert [(group.scene_ids, group.is_dicom, group.is_stack) for group in found.groups] == [
        ((name,), True, False) for name in "0124"
    ]


def test_frames_that_are_no_stack_are_one_object():
    frames = tuple(Plane.of(frame=n) for n in (0, 1))
    found = expanded({"us.dcm": Contents(planes=frames), "x.zarr": Contents(planes=(Plane.of(t=0), Plane.of(t=1)))})
    (group,) = found.groups
    assert (group.group_id, group.scene_ids) == ("us", ("us-frame0000", "us-frame0001"))
    assert (group.is_dicom, group.is_stack) == (True, False)


def test_what_cannot_be_looked_into_is_set_aside():
    found = expanded({"bad.nii": None, "v.zarr": VOLUME})
    assert len(found.set_aside) == 1
    assert len(found.candidates) == 6


def test_ids_of_planes_are_those_of_no_other_scene():
    found = expanded({"v.zarr": volume(Plane.of(z=0)), "v-z0000.dcm": ONE_IMAGE})
    ids = [one.scene_id for one in found.candidates]
    assert len(set(ids)) == 2
