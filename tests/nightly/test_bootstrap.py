"""The paired bootstrap: its laws, its figures by another way, and how often it is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from encdec_batch.nightly.bootstrap import differences, interval, level_of, resamples_for
from encdec_batch.nightly.scores import Scale, scores_of
from encdec_batch.train.evaluation.metrics import Confusion, Fidelity

NAMES = ("other", "water", "forest")
COUNTS = arrays(np.float64, st.tuples(st.integers(1, 12), st.just(9)), elements=st.integers(0, 50))


def mean(rows):
    """Of the second number for each of the first: a figure of rows that add up."""
    return np.divide(rows[:, 1], rows[:, 0], out=np.full(len(rows), np.nan), where=rows[:, 0] > 0)


def values(array):
    """Scenes of one number each."""
    return np.stack([np.ones(len(array)), array], axis=1)


@given(rows=COUNTS)
def test_figures_are_those_of_an_evaluation(rows):
    figures = [Confusion(counts=row.reshape(3, 3).astype(np.int64)).figures(NAMES) for row in rows]
    for metric in ("mean_iou", "mean_dice", "accuracy", "iou/water", "dice/forest"):
        found = scores_of(rows, metric, Scale(classes=NAMES))
        np.testing.assert_allclose(found, [one[metric] for one in figures], rtol=1e-12)


@given(rows=arrays(np.float64, (4, 5), elements=st.integers(0, 40)))
def test_figures_of_images_are_those_of_an_evaluation(rows):
    for metric in ("psnr", "ssim"):
        made = [
            Fidelity(span=2.0, squared=s, absolute=a, values=int(v), similarity=m, windows=int(w)).figures()[metric]
            for s, a, v, m, w in rows
        ]
        np.testing.assert_allclose(scores_of(rows, metric, Scale(span=2.0)), made)


@given(array=arrays(np.float64, st.integers(1, 30), elements=st.floats(-5, 5)), shift=st.floats(-1, 1))
def test_what_is_the_same_for_all_scenes_is_known_exactly(array, shift):
    """Pairing: however much scenes differ from each other, who is always so much better is so much better."""
    found = differences((values(array + shift), mean), (values(array), mean), resamples=200, seed=1)
    np.testing.assert_allclose(found, shift, atol=1e-9)


@given(a=COUNTS, seed=st.integers(0, 9))
def test_who_is_who_changes_the_sign_alone(a, seed):
    b = a[::-1]
    scale = Scale(classes=NAMES)

    def score(rows):
        return scores_of(rows, "mean_iou", scale)

    one = differences((a, score), (b, score), resamples=100, seed=seed)
    other = differences((b, score), (a, score), resamples=100, seed=seed)
    np.testing.assert_allclose(one, -other)
    assert not differences((a, score), (a, score), resamples=100, seed=seed).any()


@given(
    found=arrays(np.float64, 500, elements=st.floats(-1, 1)),
    levels=st.tuples(st.floats(0.5, 0.999), st.floats(0.5, 0.999)),
)
def test_who_wants_to_be_surer_can_count_on_less(found, levels):
    low, high = sorted(levels)
    assert interval(found, high).lower <= interval(found, low).lower
    assert interval(found, high).upper >= interval(found, low).upper
    bound = interval(found, high).lower
    assert np.mean(found < bound) <= 1 - high + 1e-9


@given(confidence=st.floats(0.5, 0.99), nights=st.integers(1, 400))
def test_all_nights_together_err_no_oftener_than_one_may(confidence, nights):
    level = level_of(confidence, nights)
    assert nights * (1 - level) == pytest.approx(1 - confidence)
    assert (1 - level) * resamples_for(level, 100) >= 19.99


def test_equal_seeds_draw_equal_scenes():
    rng = np.random.default_rng(0)
    a, b = values(rng.normal(size=20)), values(rng.normal(size=20))
    whole = differences((a, mean), (b, mean), resamples=300, seed=4)
    np.testing.assert_array_equal(differences((a, mean), (b, mean), resamples=300, seed=4), whole)
    assert np.any(differences((a, mean), (b, mean), resamples=300, seed=5) != whole)


def test_a_draw_without_a_figure_says_nothing():
    rows = np.array([[0.0, 0.0], [1.0, 3.0]])
    found = differences((rows, mean), (values(np.zeros(2)), mean), resamples=400, seed=0)
    assert set(found) == {0.0, 3.0}


def test_pairs_are_of_the_same_scenes():
    with pytest.raises(ValueError, match="no pairs"):
        differences((values(np.zeros(3)), mean), (values(np.zeros(2)), mean), resamples=10, seed=0)


@pytest.mark.parametrize(("nights", "trials"), [(1, 1000), (5, 200)])
def test_of_two_networks_that_are_as_good_the_newer_is_seldom_promoted(nights, trials):
    """Nights of 40 scenes, of differences that are skewed as those of scenes are. A percentile interval of 40
    scenes errs somewhat oftener than it says; twice as often would be too much.
    """
    rng, level = np.random.default_rng(7), level_of(0.95, nights)
    promoted = 0
    for night in range(trials):
        gain = rng.exponential(size=40) - 1
        found = differences((values(gain), mean), (values(np.zeros(40)), mean), resamples=400 * nights, seed=night)
        promoted += interval(found, level).lower > 0
    assert promoted <= trials * 2 * (1 - level)
    better = differences((values(gain + 1.5), mean), (values(np.zeros(40)), mean), resamples=4000, seed=0)
    assert interval(better, level).lower > 0
