from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.train.batch import Turn


def turns(batch: int, world: int, *, start: int = 0) -> list[Turn]:
    return [
        Turn(seed=1, epoch=0, global_batch=batch, rank=rank, world_size=world, start=start) for rank in range(world)
    ]


@given(batch=st.integers(1, 40), world=st.integers(1, 9), samples=st.integers(0, 300), steps=st.integers(0, 5))
def test_all_ranks_together_see_what_one_sees_step_by_step(batch, world, samples, steps):
    if world > batch:
        return
    start = steps * batch
    (alone,) = turns(batch, 1, start=start)
    expected = [list(numbers) for numbers in alone.steps(samples)]
    shares = [list(turn.steps(samples)) for turn in turns(batch, world, start=start)]
    assert [[n for numbers in step for n in numbers] for step in zip(*shares, strict=True)] == expected
    assert all(len(step) == batch for step in expected)
    sizes = {len(turn.share) for turn in turns(batch, world)}
    assert max(sizes) - min(sizes) <= 1


@given(batch=st.integers(1, 20), samples=st.integers(0, 200), done=st.integers(0, 9))
def test_a_run_goes_on_with_what_is_left(batch, samples, done):
    whole, rest = turns(batch, 1)[0], turns(batch, 1, start=done * batch)[0]
    assert list(rest.steps(samples)) == list(whole.steps(samples))[done:]


@pytest.mark.parametrize(
    "wrong",
    [
        {"rank": 1},
        {"rank": -1},
        {"world_size": 9, "rank": 3},
        {"start": 3},
        {"start": -8},
        {"seed": -1},
        {"epoch": -1},
    ],
)
def test_a_turn_that_cannot_be(wrong):
    with pytest.raises(ValueError, match=r"rank|start"):
        Turn(**({"seed": 0, "epoch": 0, "global_batch": 8} | wrong))
