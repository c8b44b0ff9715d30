"""Ids of scenes: plain file names, different for different scenes, the same in every run."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from encdec_batch.commit.generation import check_scene_id
from encdec_batch.plan.identity import MAX_LENGTH, apart_from, path_id, safe_id, settle_ids
from encdec_batch.plan.scene import Candidate

SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
letters = st.text(alphabet=st.sampled_from("aAbB./-_ é\\\n%"), max_size=12)
any_text = st.text(max_size=300) | letters


def candidate(uri: str) -> Candidate:
    return Candidate(scene_id="", uri=uri, etag="e", size_bytes=1)


def test_links_that_differ_in_what_may_not_be_written_down_are_no_scenes():
    """One name for both would be one key, and one of them would pass for done by the other's pixels."""
    twins = [replace(candidate("https://a/get"), link=f"https://a/get?object={number}") for number in (1, 2)]
    kept, aside = settle_ids([*zip("ab", twins, strict=True), ("c", candidate("https://a/other"))])
    assert [one.scene_id for one in kept] == ["c"]
    assert [one.scene_id for one in aside] == ["a", "b"]
    assert "2 links are this one but for what follows the ?" in aside[0].reason


def settled(names: list[str]) -> tuple[list[Candidate], list[str]]:
    kept, aside = settle_ids((name, candidate(f"s3://archive/{number}")) for number, name in enumerate(names))
    return kept, [row.scene_id for row in aside]


@given(any_text)
@example("")
@example("..")
@example("../../etc/passwd")
@example(".hidden")
@example("a" * 121)
@example("\0")
def test_an_id_is_a_plain_file_name(wanted):
    found = safe_id(wanted)
    assert SAFE.fullmatch(found)
    assert len(found) <= MAX_LENGTH
    check_scene_id(found)


@given(st.from_regex(SAFE, fullmatch=True).filter(lambda name: len(name) <= MAX_LENGTH))
def test_a_name_that_is_plain_already_is_kept(wanted):
    assert safe_id(wanted) == wanted


def test_a_name_that_had_to_be_changed_ends_in_the_hash_of_what_it_was():
    for wanted, stem in (("a/b", "a_b"), ("../x", "_.._x"), (".x", "_.x"), ("é", "_")):
        assert safe_id(wanted) == f"{stem}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"
    long = "x" * 200
    assert safe_id(long) == "x" * 111 + "-" + hashlib.sha256(long.encode()).hexdigest()[:8]


@given(st.lists(any_text, max_size=8))
@example(["a", "A"])
@example(["a", "A", "a"])
@example(["a b", "a_b", "A b", "a/b"])
@example(["x" * 120, "X" * 120, "x" * 121])
def test_no_two_scenes_share_an_id_on_any_store(names):
    kept, aside = settled(names)
    ids = [scene.scene_id for scene in kept] + aside
    assert len(ids) == len(names)
    assert len({found.casefold() for found in ids}) == len(names)
    assert all(SAFE.fullmatch(found) and len(found) <= MAX_LENGTH for found in ids)


@given(st.lists(letters, max_size=8), st.randoms())
def test_an_id_depends_neither_on_order_nor_on_the_run(names, random):
    kept, _ = settled(names)
    by_uri = {scene.uri: scene.scene_id for scene in kept}
    pairs = [(name, candidate(f"s3://archive/{number}")) for number, name in enumerate(names)]
    random.shuffle(pairs)
    again, _ = settle_ids(pairs)
    assert {scene.uri: scene.scene_id for scene in again} == by_uri


@given(st.lists(st.sampled_from(["a", "b", "A", "a b", "a/b"]), max_size=8))
def test_equal_ids_are_all_set_aside_and_no_others(names):
    kept, aside = settled(names)
    times = Counter(names)
    assert len(aside) == sum(count for count in times.values() if count > 1)
    assert len(kept) == sum(count for count in times.values() if count == 1)


def test_the_record_of_equal_ids_says_what_to_do():
    _, rows = settle_ids([("a", candidate("s3://x/1")), ("a", candidate("s3://x/2"))])
    assert [(row.stage, row.uri, row.reason) for row in rows] == [
        ("plan", "s3://x/1", "2 scenes have the id a"),
        ("plan", "s3://x/2", "2 scenes have the id a"),
    ]
    assert all("table" in row.hint and row.block is None and not row.transient for row in rows)


def test_a_candidate_keeps_everything_but_its_id():
    given_ = Candidate(scene_id="", uri="s3://a/b.tif", etag="tag", size_bytes=7, bands=(3, 1))
    (kept,), _ = settle_ids([("b", given_)])
    assert kept == Candidate(scene_id="b", uri="s3://a/b.tif", etag="tag", size_bytes=7, bands=(3, 1))


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("a.tif", "a"),
        ("2024/07/a.tif", "2024/07/a"),
        ("a.b.tif", "a.b"),
        ("a", "a"),
        (".tif", ".tif"),
        ("dir.v1/a", "dir.v1/a"),
    ],
)
def test_the_wanted_id_is_the_path_without_extension(path, wanted):
    assert path_id(path) == wanted


def test_an_id_that_is_a_committed_one_but_for_case_is_told_apart():
    kept, _ = settle_ids([("a", candidate("a")), ("b", candidate("b"))])
    apart = apart_from(kept, {"A", "b", "C"})
    assert apart[1].scene_id == "b"
    assert apart[0].scene_id.startswith("a-")
    assert apart[0].uri == kept[0].uri
    # The next run finds both, and changes nothing.
    assert apart_from(kept, {"A", "b", "C", apart[0].scene_id}) == apart


@pytest.mark.parametrize(
    ("path", "wanted"),
    [("a/b.tif", "a/b"), ("a/b.nii.gz", "a/b"), ("b.OME.zarr", "b"), ("b.ome.tif", "b.ome"), ("a/.nii.gz", "a/.nii")],
)
def test_an_id_is_a_path_without_its_extension(path: str, wanted: str):
    assert path_id(path) == wanted
