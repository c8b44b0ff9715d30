from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from encdec_batch.commit.outline.simplify import simplified


@given(seed=st.integers(0, 1000), tolerance=st.floats(0.1, 5))
@settings(max_examples=20)
def test_no_point_left_out_is_further_away_than_the_tolerance(seed: int, tolerance: float) -> None:
    rng = np.random.default_rng(seed)
    ring = np.unique(rng.integers(0, 30, (40, 2)), axis=0)
    rng.shuffle(ring)
    found = simplified(ring, tolerance)
    line = shapely.LinearRing(found)
    assert shapely.distance(line, shapely.points(ring)).max() <= tolerance + 1e-9
    kept = {tuple(point) for point in found.tolist()}
    assert kept <= {tuple(point) for point in ring.tolist()}


def test_a_staircase_becomes_a_line() -> None:
    steps = [(x, x + dy) for x in range(20) for dy in (0, 1)]
    ring = np.array([*steps, (20, 20), (20, 0)])
    assert len(simplified(ring, 0)) == len(ring)
    assert len(simplified(ring, 0.8)) <= 4


def test_a_ring_that_would_vanish_stays() -> None:
    ring = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    assert simplified(ring, 50).tolist() == ring.tolist()
