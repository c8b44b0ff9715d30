"""Series of slices: put in the order of space whatever the files are called, or set aside with the reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encdec_batch.plan.series import Faulty, Stack, geometry_of, group_by_series, stacks_of
from encdec_batch.read.contents import SlicePlace

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
OBLIQUE = (0.8, 0.6, 0.0, 0.0, 0.0, -1.0)


def place(number: int, *, step: float = 3.0, orientation=AXIAL, instance: str | None = None) -> SlicePlace:
    normal = np.cross(orientation[:3], orientation[3:])
    x, y, z = (float(value) for value in np.array([-120.0, 80.0, 10.0]) + number * step * normal)
    return SlicePlace(
        series="1.2.3",
        study="1.2",
        patient="p",
        instance=instance or f"1.2.3.{number}",
        frame_of_reference="1.9",
        shape=(64, 80),
        spacing_mm=(0.7, 0.7),
        orientation=orientation,
        position_mm=(x, y, z),
        number=number,
    )


def stack_of(places: list[SlicePlace]) -> tuple[Stack, ...]:
    found = stacks_of(places)
    assert not isinstance(found, Faulty), found
    return found


def fault_of(places: list[SlicePlace]) -> str:
    found = stacks_of(places)
    assert isinstance(found, Faulty)
    assert found.hint
    return found.reason


@given(st.permutations(range(9)), st.sampled_from([AXIAL, OBLIQUE]), st.sampled_from([0.5, 3.0, -2.0]))
def test_slices_are_put_in_the_order_of_space(numbers, orientation, step):
    (stack,) = stack_of([place(n, step=step, orientation=orientation) for n in numbers])
    in_order = [numbers[member] for member in stack.members]
    assert in_order == sorted(numbers, reverse=step < 0)
    assert stack.step_mm == pytest.approx(abs(step))


@given(st.integers(4, 12), st.data())
def test_a_slice_that_is_missing_is_noticed(length, data):
    gone = data.draw(st.integers(1, length - 2))
    reason = fault_of([place(n) for n in range(length) if n != gone])
    assert "1 gaps: about 1 slices are missing" in reason
    assert f"after slice {gone}" in reason


def test_positions_may_be_written_with_few_decimals():
    rounded = [
        replace(one, position_mm=tuple(round(value, 1) for value in one.position_mm))
        for one in (place(n, step=0.625 * 4) for n in range(20))
    ]
    assert stack_of(rounded)[0].members == tuple(range(20))


@given(st.integers(2, 5), st.integers(2, 4), st.randoms(use_true_random=False))
def test_several_images_at_each_position_are_as_many_stacks(length, times, random):
    """Points in time, in the order of their numbers."""
    images = [(t, n) for t in range(times) for n in range(length)]
    random.shuffle(images)
    places = [replace(place(n, instance=f"1.{t}.{n}"), number=t * 100 + n) for t, n in images]
    stacks = stack_of(places)
    assert [[images[member] for member in stack.members] for stack in stacks] == [
        [(t, n) for n in range(length)] for t in range(times)
    ]


@pytest.mark.parametrize(
    "numbering",
    [lambda _, n: n, lambda s, n: n if s else 9 - n, lambda *_: None],
    ids=["copies", "the other way round", "not numbered"],
)
def test_two_series_with_one_uid_at_the_same_positions(numbering):
    places = [replace(place(n, instance=f"1.{s}.{n}"), number=numbering(s, n)) for n in range(5) for s in range(2)]
    assert "2 images at each of 5 positions, and nothing tells which belong together" in fault_of(places)


@pytest.mark.parametrize(
    "acquired",
    [lambda t, _: (t, 7.0), lambda t, n: (float(n), t), lambda t, _: (t % 2, t // 2)],
    ids=["the first", "the second", "both"],
)
def test_stacks_at_the_same_positions_are_told_apart_by_what_was_acquired(acquired):
    images = [(t, n) for n in (2, 0, 1) for t in (3, 1, 0, 2)]
    places = [replace(place(n, instance=f"1.{t}.{n}"), number=None, acquired=acquired(t, n)) for t, n in images]
    stacks = [[images[member] for member in stack.members] for stack in stack_of(places)]
    assert all(len({t for t, _ in stack}) == 1 and [n for _, n in stack] == [0, 1, 2] for stack in stacks)
    assert len(stacks) == 4


def shifted(numbers: range, shift: np.ndarray, **more) -> list[SlicePlace]:
    """Slices that lie aside by this much (mm, in their plane) for each one before."""
    places = [place(n, **more) for n in numbers]
    return [replace(one, position_mm=tuple(np.add(one.position_mm, one.number * shift))) for one in places]


@settings(max_examples=20)
@given(st.floats(-4, 4), st.sampled_from([AXIAL, OBLIQUE]), st.integers(2, 40))
def test_slices_of_a_tilted_gantry_lie_where_they_say(tilt, orientation, length):
    places = shifted(range(length), tilt * np.array(orientation[3:]), orientation=orientation)
    (stack,) = stack_of(places)
    affine = np.array(geometry_of([places[member] for member in stack.members], stack.step_mm).affine)
    for k, member in enumerate(stack.members):
        np.testing.assert_allclose(affine @ [0, 0, k, 1], np.multiply(places[member].position_mm, [-1, -1, 1]))


@pytest.mark.parametrize("axis", [0, 3])
def test_slices_that_are_shifted_are_no_stack(axis):
    places = [place(n) for n in range(6)]
    aside = np.array(AXIAL[axis : axis + 3])
    every_other = [replace(one, position_mm=tuple(one.position_mm + 100 * (one.number % 2) * aside)) for one in places]
    assert "4 of 6 slices that are shifted" in fault_of(every_other)
    places[3] = replace(places[3], position_mm=tuple(places[3].position_mm + 0.4 * aside))
    assert "1 of 6 slices that are shifted" in fault_of(places)
    places[3] = replace(places[3], position_mm=tuple(places[3].position_mm - 0.1 * aside))
    assert len(stack_of(places)) == 1


def test_steps_that_drift_are_no_stack():
    """Each is as long as its neighbours, and in the middle slices are off by a step."""
    heights = np.cumsum([0.0, *([3.0] * 40), *([3.1] * 40)])
    assert "slices that are shifted" in fault_of(
        [replace(place(n), position_mm=(0.0, 0.0, float(z))) for n, z in enumerate(heights)]
    )


def test_spacings_may_differ_in_the_last_digits():
    places = [replace(place(n), spacing_mm=(0.7 + n * 1e-6, 0.7)) for n in range(4)]
    assert len(stack_of(places)) == 1


def test_one_image_too_many_at_a_position():
    assert "1 of 4 positions with more than one image" in fault_of(
        [*(place(n) for n in range(4)), place(2, instance="1.9.9")]
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"patient": "q"}, "2 patients"),
        ({"study": "9"}, "2 studies"),
        ({"frame_of_reference": "8"}, "2 frames of reference"),
        ({"shape": (64, 64)}, "2 image sizes"),
        ({"spacing_mm": (0.7, 0.8)}, "2 pixel spacings"),
        ({"orientation": OBLIQUE}, "several orientations"),
        ({"orientation": None}, "with and without a place"),
        ({"instance": "1.2.3.0"}, "more than once"),
    ],
)
def test_what_does_not_belong_together(change, said):
    places = [*(place(n) for n in range(3)), replace(place(3), **change)]
    reason = fault_of(places)
    assert said in reason
    assert "1.2" not in reason  # no UID


def test_images_without_a_place_in_space_stand_by_themselves():
    flat = [
        replace(place(n), orientation=None, position_mm=None, number=number) for n, number in enumerate([5, None, 2])
    ]
    assert [stack.members for stack in stack_of(flat)] == [(2,), (0,), (1,)]


def test_series_are_told_apart_by_their_uid():
    places = [replace(place(n), series=uid) for n, uid in enumerate("abacb")]
    assert group_by_series(places) == [[0, 2], [1, 4], [3]]
