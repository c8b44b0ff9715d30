"""What the book of a ledger counts, with nodes that are lost at the worst moment."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.stream.ledger import Book, Start, Work, Worker
from encdec_batch.stream.rules import Rules

RULES = Rules()
A, B, C = (Worker(node="here", name=name) for name in "abc")


def work(block="0-0", stage="predict", *, mpx=1.0, key="key"):
    return Work(place=(key, block), scene_id="scene", stage=stage, mpx=mpx)


@pytest.fixture
def lost():
    """Nodes that are gone."""
    return set()


@pytest.fixture
def noted():
    return []


@pytest.fixture
def book(lost, noted):
    return Book(RULES, {}, alive=lambda node: node not in lost, note=noted.append)


def test_what_ends_is_no_death(book, noted):
    for worker in (A, B, A, C):
        assert book.start(work(), worker) == Start(held=False)
        book.end(work(), worker, 1.0)
    assert (book.deaths(work().place), noted) == (0, [])


def test_a_start_over_an_open_start_is_a_death(book, noted):
    book.start(work("0-0"), A)
    book.start(work("0-1"), A)
    assert not book.start(work("0-0"), B).held
    assert noted == [work("0-0")]
    assert (book.deaths(work("0-0").place), book.deaths(work("0-1").place)) == (1, 0)


def test_the_same_process_may_start_again(book, noted):
    """A call that Ray repeats where it is still running."""
    book.start(work(), A)
    assert not book.start(work(), A).held
    assert noted == []


def test_after_two_deaths_it_must_run_alone(book):
    book.start(work(), A)
    book.start(work(), B)
    assert book.start(work(), C).held
    assert book.start(work(), C).held
    assert not book.start(work("0-1"), C).held


def test_deaths_at_different_stages_are_of_one_block(book, noted):
    book.start(work(stage="read"), A)
    book.start(work(stage="read"), B)
    book.end(work(stage="read"), B, 1.0)
    book.start(work(stage="predict"), A)
    assert book.start(work(stage="predict"), B).held
    assert [died.stage for died in noted] == ["read", "predict"]


def test_whether_a_piece_may_be_read_settles_what_its_reader_left(book, noted):
    piece = [work(f"0-{n}", "read") for n in range(4)]
    for worker in (A, B):
        assert book.held(piece, worker) == frozenset()
        book.start(piece[0], worker)
        book.end(piece[0], worker, 1.0)
        book.start(piece[1], worker)
    assert book.held(piece, C) == {piece[1].place}
    assert noted == [piece[1], piece[1]]


def test_the_loss_of_a_node_is_no_death(book, lost, noted):
    there = Worker(node="there", name="a")
    book.start(work(), there)
    lost.add("there")
    assert not book.start(work(), A).held
    assert (book.deaths(work().place), noted) == (0, [])


def test_a_node_that_is_known_to_be_lost_only_later_is_taken_off_again(book, lost):
    """Ray repeats what a lost node did before it says that the node is lost."""
    for number in range(2):
        book.start(work(), Worker(node=f"n{number}", name="a"))
    assert book.start(work(), A).held
    lost.add("n1")
    assert book.deaths(work().place) == 1
    assert not book.start(work(), A).held


def test_deaths_of_earlier_runs_count():
    book = Book(RULES, {("key", "0-0"): 1, ("key", "0-1"): 2})
    assert book.held([work("0-0"), work("0-1"), work("0-2")], A) == {("key", "0-1")}
    book.start(work("0-0"), A)
    assert book.start(work("0-0"), B).held


def test_a_worker_that_was_taken_for_dead_closes_nothing_of_its_successors(book):
    book.start(work(), A)
    book.start(work(), B)
    book.end(work(), A, 1.0)
    assert book.start(work(), C).held


def test_the_pace_is_the_median_once_enough_is_known(book):
    for number in range(RULES.known_after):
        assert book.start(work(), A).pace is None
        book.end(work(mpx=2.0), A, 2.0 * number)
    assert book.start(work(), A).pace == pytest.approx((RULES.known_after - 1) / 2)
    assert book.start(work(stage="write"), A).pace is None


def test_what_has_no_pixels_is_no_measure(book):
    for _ in range(RULES.known_after):
        book.end(work(mpx=0.0), A, 5.0)
    assert book.start(work(), A).pace is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["0-0", "0-1"]), st.booleans()), max_size=40))
def test_every_death_that_is_followed_by_a_start_is_counted_once(steps):
    """Workers take blocks, one at a time, and end them or die of them; Ray gives a dead one's block to the next."""
    book = Book(Rules(deaths=1000), {})
    incarnation, left, expected = Counter(), set(), Counter()
    for name, block, dies in steps:
        worker = Worker(node="here", name=f"{name}-{incarnation[name]}")
        expected[block] += block in left
        left.discard(block)
        assert not book.start(work(block), worker).held
        if dies:
            incarnation[name] += 1
            left.add(block)
        else:
            book.end(work(block), worker, 1.0)
    assert {block: book.deaths(("key", block)) for block in ("0-0", "0-1")} == {
        block: expected[block] for block in ("0-0", "0-1")
    }
