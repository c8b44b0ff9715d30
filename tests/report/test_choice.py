"""Which scenes the page shows."""

from __future__ import annotations

from random import Random

from fakes import fake_marker
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.commit.marker import Marker
from encdec_batch.report.choice import choose, severity_of


def marker(number: int, *, side: int = 100, worst: float | None = None, outputs: tuple[str, ...] = ("mask.tif",)):
    certificate = None if worst is None else {"result": "passed", "worst": worst, "tolerance": 0.5}
    made = fake_marker(f"s{number}", outputs=outputs)
    return made.model_copy(update={"certificate": certificate, "summary": {"height": side, "width": side}})


def test_a_third_by_certificate_a_third_by_size_the_rest_drawn():
    markers = [marker(n, side=n + 1, worst=None if n % 3 else n / 1000) for n in range(300)]
    chosen = choose(markers, 24)
    by = {why: [choice.marker.scene_id for choice in chosen if choice.why == why] for why in {c.why for c in chosen}}
    assert by["worst certificate"] == [f"s{n}" for n in (297, 294, 291, 288, 285, 282, 279, 276)]
    assert by["largest"] == [f"s{n}" for n in (299, 298, 296, 295, 293, 292, 290, 289)]
    assert len(by["drawn"]) == 8
    assert choose(markers, 24, seed="other") != chosen


def test_without_certificates_the_others_share_their_third():
    chosen = choose([marker(n) for n in range(100)], 12)
    assert [choice.why for choice in chosen] == ["largest"] * 6 + ["drawn"] * 6


def test_scenes_where_nothing_differed_or_that_were_removed_are_not_the_worst():
    markers = [marker(1, worst=0.0), marker(2, worst=0.1), marker(3, worst=9.0, outputs=())]
    assert [(c.marker.scene_id, c.why) for c in choose(markers, 1)] == [("s2", "worst certificate")]
    assert {c.marker.scene_id for c in choose(markers, 24)} == {"s1", "s2"}


def test_a_certificate_without_a_figure_is_harmless_and_one_that_is_not_finite_is_the_worst():
    assert severity_of({"result": "not drawn"}) == 0.0
    assert severity_of({"worst": None, "tolerance": None}) == float("inf")
    assert severity_of({"worst": 2.0}) == 2.0
    assert severity_of({"worst": 2.0, "tolerance": 4.0}) == 0.5


@given(
    st.lists(st.tuples(st.integers(1, 9), st.none() | st.floats(0, 10), st.booleans()), max_size=30),
    st.integers(0, 24),
    st.integers(0, 99),
)
def test_as_many_as_are_wanted_each_once_whatever_the_order(scenes, wanted, seed):
    markers: list[Marker] = [
        marker(n, side=side, worst=worst, outputs=("mask.tif",) if there else ())
        for n, (side, worst, there) in enumerate(scenes)
    ]
    chosen = choose(markers, wanted)
    ids = [choice.marker.scene_id for choice in chosen]
    assert len(ids) == len(set(ids)) == min(wanted, sum(there for _, _, there in scenes))
    shuffled = Random(seed).sample(markers, len(markers))
    assert choose(shuffled, wanted) == chosen
