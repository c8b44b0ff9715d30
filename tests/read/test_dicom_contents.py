"""Which frames an object holds, in which order, and where a single one belongs."""

from __future__ import annotations

import math
from typing import Any

import dicoms as made
import numpy as np
import pytest
from dicoms import AXIAL, item, native
from fakes import FakeStore
from hypothesis import given, settings
from hypothesis import strategies as st
from read.test_dicom import FRAMES, GREY, REAL

from encdec_batch.errors import SceneUnreadable, UnsupportedScene
from encdec_batch.read.contents import Contents
from encdec_batch.read.open import contents_of, open_reader
from encdec_batch.read.plane import WHOLE, Plane

SMALL = np.zeros((6, 4, 4), np.uint16)


def contents(data: bytes) -> Contents:
    store = FakeStore()
    store.put("scene.dcm", data)
    return contents_of(store, "scene.dcm")


def group(position: Any, *, orientation: Any = AXIAL, time: int | None = None) -> Any:
    made_of: dict[str, Any] = {"PlaneOrientationSequence": [item(ImageOrientationPatient=orientation)]}
    if position is not None:
        made_of["PlanePositionSequence"] = [item(ImagePositionPatient=[round(one, 4) for one in position])]
    if time is not None:
        made_of["FrameContentSequence"] = [item(TemporalPositionIndex=time)]
    return item(**made_of)


def enhanced(groups: list[Any], **elements: Any) -> bytes:
    pixels = np.zeros((len(groups), 4, 4), np.uint16)
    return native(pixels, SOPClassUID=made.ENHANCED_MR, PerFrameFunctionalGroupsSequence=groups, **elements)


def order(found: Contents) -> list[int]:
    assert all(plane.indices[0][0] == "frame" for plane in found.planes)
    return [plane["frame"] for plane in found.planes]


def test_an_image_of_one_frame_is_whole_and_says_where_it_belongs():
    found = contents(
        native(
            GREY,
            ImagePositionPatient=[1.5, -2, 30],
            ImageOrientationPatient=AXIAL,
            PixelSpacing=[0.7, 0.6],
            IssuerOfPatientID="PLANTED issuer",
        )
    )
    assert (found.planes, found.stacked_along) == ((WHOLE,), None)
    place = found.place
    assert place is not None
    assert (place.shape, place.spacing_mm) == (GREY.shape, (0.7, 0.6))
    assert (place.position_mm, place.orientation) == ((1.5, -2.0, 30.0), tuple(map(float, AXIAL)))
    assert place.number == 7
    assert [place.instance, place.study, place.series, place.frame_of_reference] == [
        f"{made.UIDS}.{number}" for number in (1, 2, 3, 4)
    ]
    assert place.patient == "PLANTED-ID\nPLANTED issuer"
    assert "PLANTED" not in repr(found)
    assert made.UIDS not in repr(found)


def test_what_an_image_does_not_say_of_its_place_is_not_made_up():
    place = contents(native(GREY, PatientID=None, FrameOfReferenceUID=None, InstanceNumber=None)).place
    assert place is not None
    assert (place.patient, place.frame_of_reference, place.number) == ("", "", None)
    assert (place.position_mm, place.orientation, place.spacing_mm) == (None, None, None)
    assert contents(native(GREY, SeriesInstanceUID=None)).place is None
    odd = native(GREY, ImageOrientationPatient=[1, 0, 0, 1, 0, 0], PixelSpacing=[9.75, 9.75])
    slanted = contents(odd.replace(b"9.75", b"Mr X")).place
    assert slanted is not None
    assert (slanted.orientation, slanted.spacing_mm) == (None, None)


@settings(max_examples=25)
@given(
    turn=st.floats(0, 2 * math.pi),
    tilt=st.floats(-1, 1),
    step=st.floats(0.5, 9),
    shuffled=st.permutations(range(6)),
)
def test_frames_are_in_the_order_of_space_whatever_that_of_the_file(turn, tilt, step, shuffled):
    row = np.array([math.cos(turn), math.sin(turn), 0])
    column = np.array([-math.sin(turn) * math.cos(tilt), math.cos(turn) * math.cos(tilt), math.sin(tilt)])
    normal = np.cross(row, column)
    groups = [
        group(normal * step * place + row * 3, orientation=[round(float(one), 6) for one in (*row, *column)])
        for place in shuffled
    ]
    found = contents(enhanced(groups))
    assert [shuffled[frame] for frame in order(found)] == list(range(6))
    assert found.stacked_along == "frame"
    assert found.place is None


@pytest.mark.parametrize("tilt", [0.0, 1.5])
def test_frames_say_where_their_stack_lies(tilt):
    groups = [group((-3, 8 + tilt * n, 5 * n)) for n in (2, 0, 1, 3)]
    found = contents(enhanced(groups, PixelSpacing=[0.5, 0.25]))
    assert found.stacked_along == "frame"
    assert found.geometry is not None
    assert found.geometry.shape == (4, 4)
    np.testing.assert_allclose(found.geometry.affine, [[-0.25, 0, 0, 3], [0, -0.5, -tilt, -8], [0, 0, 5, 0]])


def test_frames_that_are_shifted_are_no_stack():
    groups = [group((9 * (n % 2), 0, 5 * n)) for n in range(4)]
    found = contents(enhanced(groups, PixelSpacing=[0.5, 0.25]))
    assert (found.stacked_along, found.geometry) == (None, None)


def test_frames_of_one_place_are_in_the_order_of_time_and_no_stack():
    groups = [group((0, 0, z), time=time) for time in (2, 1) for z in (5, 0)]
    found = contents(enhanced(groups))
    assert order(found) == [3, 1, 2, 0]
    assert found.stacked_along is None


@pytest.mark.parametrize(
    "groups",
    [
        [group((0, 0, 0)), group((0, 0, 1), orientation=[0, 1, 0, 0, 0, 1])],
        [group((0, 0, 2)), group(None)],
        [item(), item()],
    ],
    ids=["of two directions", "one without a place", "none with a place"],
)
def test_frames_that_share_no_normal_are_as_the_file_has_them(groups):
    found = contents(enhanced(groups))
    assert order(found) == [0, 1]
    assert found.stacked_along is None


def test_a_stack_with_a_gap_is_in_order_and_no_stack():
    found = contents(enhanced([group((0, 0, z)) for z in (9, 0, 3, 12)]))
    assert order(found) == [1, 2, 0, 3]
    assert found.stacked_along is None


def test_frames_of_a_film_are_no_stack():
    found = contents(native(SMALL, ImagePositionPatient=[0, 0, 5], ImageOrientationPatient=AXIAL))
    assert order(found) == list(range(6))
    assert found.stacked_along is None


@pytest.mark.parametrize("offsets", [[0, 2, 4, 6, 8, 10], [50, 48, 46, 44, 42, 40]], ids=["relative", "absolute"])
def test_frames_of_a_dose_lie_in_steps(offsets):
    found = contents(
        native(SMALL, ImagePositionPatient=[0, 0, 50], ImageOrientationPatient=AXIAL, GridFrameOffsetVector=offsets)
    )
    assert order(found) == sorted(range(6), key=lambda frame: offsets[frame])
    assert found.stacked_along == "frame"


def test_every_plane_that_is_told_can_be_opened_and_no_other():
    store = FakeStore()
    store.put("scene.dcm", native(FRAMES))
    for plane in contents_of(store, "scene.dcm").planes:
        open_reader(store, "scene.dcm", plane=plane).close()
    for wrong in (WHOLE, Plane.of(frame=3), Plane.of(slice=0), Plane.of(frame=0, t=0)):
        with pytest.raises(UnsupportedScene, match="asked for, and it has 3 frames") as caught:
            open_reader(store, "scene.dcm", plane=wrong)
        assert caught.value.hint == "name one, from frame=0 on"
    store.put("one.dcm", native(GREY))
    with pytest.raises(UnsupportedScene, match="frame=0 is asked for, and it has 1 frame"):
        open_reader(store, "one.dcm", plane=Plane.of(frame=0))


def test_groups_of_another_number_of_frames_are_a_fault():
    with pytest.raises(SceneUnreadable, match="3 frames, and has groups of 2"):
        contents(native(FRAMES, PerFrameFunctionalGroupsSequence=[item(), item()]))


@pytest.mark.skipif(not REAL.is_dir(), reason="no real files here")
def test_a_real_series_can_be_put_in_order():
    found = []
    for path in (REAL.parent / "dicom_ct_series").glob("*.dcm"):
        place = contents(path.read_bytes()).place
        assert place is not None
        assert place.position_mm is not None
        found.append(place)
    assert len({place.series for place in found}) == 1
    assert len({place.instance for place in found}) == 10
    heights = sorted(place.position_mm[2] for place in found)
    assert np.diff(heights).tolist() == [3.0] * 9
