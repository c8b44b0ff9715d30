from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.train.dataset.lattice import Lattice, count_squares


@st.composite
def lattices(draw):
    rows, cols = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    return Lattice(
        height=rows + draw(st.integers(0, 20)),
        width=cols + draw(st.integers(0, 20)),
        rows=rows,
        cols=cols,
        side=draw(st.integers(1, 9)),
    )


@given(lattice=lattices())
def test_every_place_for_a_window_is_in_one_cell(lattice):
    down, across = lattice.height - lattice.rows + 1, lattice.width - lattice.cols + 1
    assert lattice.places().sum() == down * across
    assert lattice.places().min() >= 1
    assert lattice.places().shape == lattice.cells


@given(lattice=lattices(), seed=st.integers(0, 999))
def test_a_drawn_place_is_of_its_cell_and_inside(lattice, seed):
    rng = np.random.default_rng(seed)
    for row, col in np.ndindex(lattice.cells):
        top, left = lattice.drawn(row, col, rng)
        assert (top // lattice.side, left // lattice.side) == (row, col)
        assert top + lattice.rows <= lattice.height
        assert left + lattice.cols <= lattice.width


@given(lattice=lattices(), seed=st.integers(0, 999))
def test_a_cell_sees_all_that_its_windows_can_touch(lattice, seed):
    labels = np.random.default_rng(seed).choice([0, 1, 255], (lattice.height, lattice.width)).astype(np.uint8)
    counts = count_squares(labels, lattice.side, 2)
    assert counts.shape == (*lattice.squares, 2)
    assert counts.sum(axis=(0, 1)).tolist() == [(labels == 0).sum(), (labels == 1).sum()]
    seen, s = lattice.seen(counts), lattice.side
    for row, col in np.ndindex(lattice.cells):
        last_row = min((row + 1) * s - 1, lattice.height - lattice.rows) + lattice.rows
        last_col = min((col + 1) * s - 1, lattice.width - lattice.cols) + lattice.cols
        part = labels[row * s : -(-last_row // s) * s, col * s : -(-last_col // s) * s]
        assert seen[row, col].tolist() == [(part == 0).sum(), (part == 1).sum()]
