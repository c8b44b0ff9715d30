"""What is to be done: decided by keys, before any object is opened; then headers, cut and keyed."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plan.recipes import card, order, recipe
from rasters import coordinate_image, gtiff

from encdec_batch.plan.discover import find_scenes
from encdec_batch.plan.opening import HeaderThreads, make_plan, replan_scene
from encdec_batch.plan.plan import Committed, Known, Quarantined, sort_candidates
from encdec_batch.plan.scene import Candidate, SetAside
from encdec_batch.spec.load import parse_spec

NOTHING = Known(committed={}, quarantined={}, parts={})


@pytest.fixture
def archive(tmp_path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (2, 300, 1100), dtype=np.uint8)
    gtiff(noise, tile=256, compress="DEFLATE")(folder / "a.tif")
    gtiff(coordinate_image(2, 100, 90), compress="DEFLATE")(folder / "b.tif")
    gtiff(coordinate_image(3, 100, 90), compress="DEFLATE")(folder / "c.tif")
    (folder / "d.tif").write_bytes(b"not an image")
    return folder


def job(folder: Path, **changes):
    return order(source={"kind": "prefix", "uri": str(folder)}, tiling={"core": 256, "block": 512}, **changes)


def candidates(asked) -> list[Candidate]:
    return find_scenes(asked.spec.source)[0]


def planned(asked, known: Known = NOTHING):
    return make_plan(recipe(asked), sort_candidates(asked, candidates(asked), known), known)


def committed(plan, **changes) -> Known:
    """The output after the plan was carried out."""
    return replace(
        NOTHING,
        committed={
            made.scene_id: Committed(
                **{
                    "scene_key": made.scene_key,
                    "outputs": frozenset(plan.recipe.order.wanted),
                    "generation": made.generation,
                    "etag": "marker",
                }
                | changes
            )
            for made in plan.scenes
        },
    )


def test_scenes_that_fit_are_cut_and_the_others_set_aside_with_the_reason(archive):
    plan = planned(job(archive))
    assert {made.scene_id: made.grid().num_blocks for made in plan.scenes} == {"a": 2, "b": 1}
    assert plan.num_blocks == 3
    assert plan.cost().scene_pixels == 300 * 1100 + 100 * 90
    rows = {row.scene_id: row for row in plan.set_aside}
    assert set(rows) == {"c", "d"}
    assert "it has 3 bands" in rows["c"].reason
    assert "not an image" in rows["d"].reason
    assert all(row.stage == "plan" and row.hint and not row.transient for row in rows.values())
    assert set(plan.keys) == {"a", "b", "c", "d"}


def test_the_bytes_that_are_announced_are_those_of_the_pixels(archive):
    plan = planned(job(archive, output={"uri": "/out", "certify": "off"}))
    a = plan.scenes[0]
    # The first 64 KiB of a file come with its header.
    assert 0 <= a.header.encoded_bytes - plan.bytes_to_read["a"] < 1 << 16


def test_planning_the_same_twice_gives_the_same(archive):
    assert planned(job(archive)) == planned(job(archive))


def test_a_finished_output_is_known_by_keys_alone(archive):
    asked = job(archive)
    known = committed(planned(asked))
    known = replace(known, quarantined={name: quarantined(asked, name) for name in ("c", "d")})
    scenes = candidates(asked)  # nothing is opened after this
    for path in archive.iterdir():
        path.unlink()
    work = sort_candidates(asked, scenes, known)
    assert (set(work.done), work.todo) == ({"a", "b"}, ())
    assert {row.scene_id for row in work.set_aside} == {"c", "d"}


def quarantined(asked, name: str, **changes) -> Quarantined:
    work = sort_candidates(asked, candidates(asked), NOTHING)
    row = SetAside(scene_id=name, uri=f"file://{name}", stage="read", reason="bad", hint="fix", **changes)
    return Quarantined(trial_key=asked.trial_key(work.keys[name]), aside=row)


def test_a_scene_that_failed_is_tried_again_when_the_limits_change(archive):
    asked = job(archive)
    known = replace(NOTHING, quarantined={"c": quarantined(asked, "c")})
    assert "c" not in {c.scene_id for c in sort_candidates(asked, candidates(asked), known).todo}
    fields = asked.spec.model_dump(mode="json", exclude_unset=True) | {"limits": {"max_tile_mb": 512}}
    wider = replace(asked, spec=parse_spec(fields))
    assert "c" in {c.scene_id for c in sort_candidates(wider, candidates(wider), known).todo}


@pytest.mark.parametrize(
    "changes",
    [
        {"tiling": {"core": 512, "block": 512}},
        {"tiling": {"core": 256, "halo": 0, "block": 512}},
        {"tiling": {"core": 256, "stitch": {"kind": "blend"}}},
        {"compute": {"precision": "bfloat16"}},
        {"output": {"uri": "/out", "files": [{"kind": "cog", "codec": "zstd"}]}},
    ],
    ids=["core", "halo", "stitch", "precision", "codec"],
)
def test_a_change_of_what_decides_a_pixel_or_byte_does_all_scenes_again(archive, changes):
    asked = job(archive)
    known = committed(planned(asked))
    fields = asked.spec.model_dump(mode="json", exclude_unset=True) | changes
    changed = replace(asked, spec=parse_spec(fields))
    assert {c.scene_id for c in sort_candidates(changed, candidates(changed), known).todo} >= {"a", "b"}


@pytest.mark.parametrize(
    "changes",
    [
        {"tiling": {"core": 256, "block": 1024, "budget_gib": 1}},
        {"compute": {"batch": 4, "stream": {"kind": "local"}, "device": "cpu"}},
        {"report": {"previews": 0}},
    ],
    ids=["block", "compute", "report"],
)
def test_a_change_of_what_decides_no_pixel_does_nothing_again(archive, changes):
    asked = job(archive)
    known = committed(planned(asked))
    fields = asked.spec.model_dump(mode="json", exclude_unset=True) | changes
    changed = replace(asked, spec=parse_spec(fields))
    assert set(sort_candidates(changed, candidates(changed), known).done) == {"a", "b"}


def test_another_model_does_all_scenes_again(archive):
    asked = job(archive)
    known = committed(planned(asked))
    other = replace(asked, package_digest="e" * 64)
    plan = planned(other, known)
    assert {made.scene_id: (made.generation, made.marker_etag) for made in plan.scenes} == {
        "a": (2, "marker"),
        "b": (2, "marker"),
    }


def test_a_changed_input_is_the_only_one_that_is_done_again(archive):
    asked = job(archive)
    known = committed(planned(asked))
    gtiff(coordinate_image(2, 100, 91), compress="DEFLATE")(archive / "b.tif")
    plan = planned(asked, known)
    assert [made.scene_id for made in plan.scenes] == ["b"]
    assert plan.done == ("a",)


def test_one_more_output_is_the_only_one_that_is_made(archive):
    asked = job(archive)
    known = committed(planned(asked), outputs=frozenset({"mask.tif"}))
    plan = planned(asked, known)
    assert {made.outputs for made in plan.scenes} == {("quicklook.png",)}
    assert {made.generation for made in plan.scenes} == {2}


def test_a_scene_in_quarantine_stays_there_until_something_changes(archive):
    asked = job(archive)
    known = replace(NOTHING, quarantined={"b": quarantined(asked, "b")})
    work = sort_candidates(asked, candidates(asked), known)
    assert [row.reason for row in work.set_aside] == ["bad"]
    other = replace(asked, package_digest="e" * 64)
    assert "b" in {c.scene_id for c in sort_candidates(other, candidates(other), known).todo}
    os.utime(archive / "b.tif", ns=(1, 1))
    assert "b" in {c.scene_id for c in sort_candidates(asked, candidates(asked), known).todo}


def test_what_was_transient_is_tried_again_by_itself(archive):
    asked = job(archive)
    known = replace(NOTHING, quarantined={"b": quarantined(asked, "b", transient=True)})
    work = sort_candidates(asked, candidates(asked), known)
    assert work.set_aside == ()
    assert "b" in {c.scene_id for c in work.todo}


def test_parts_of_the_same_key_are_used_and_no_others(archive):
    asked = job(archive)
    (a, _) = planned(asked).scenes
    names = [block.name for block in a.grid().blocks()]
    known = replace(NOTHING, parts={a.part_key: frozenset(names[:1]), "f" * 64: frozenset(names)})
    (again, _) = planned(asked, known).scenes
    assert again.blocks_done == frozenset(names[:1])
    assert planned(asked, known).num_blocks == 2
    for other in (
        recipe(asked, device_kind="cpu-Other-avx2"),
        recipe(asked, batch=2),
        recipe(asked, core=512),
        recipe(asked, engine="eager-3.0"),
        recipe(asked, precision="bfloat16"),
    ):
        plan = make_plan(other, sort_candidates(asked, candidates(asked), known), known)
        assert all(not made.blocks_done for made in plan.scenes)


def test_a_replaced_object_is_planned_as_it_is_now(archive):
    asked = job(archive)
    plan = planned(asked)
    (a, _) = plan.scenes
    gtiff(coordinate_image(2, 64, 64), compress="DEFLATE")(archive / "a.tif")
    with closing(HeaderThreads(plan.recipe)) as openers:
        again = replan_scene(plan.recipe, a, NOTHING, openers)
    assert (again.scene.header.height, again.scene.header.width) == (64, 64)
    assert again.scene.scene_key != a.scene_key
    (archive / "a.tif").write_bytes(b"")
    with closing(HeaderThreads(plan.recipe)) as openers:
        gone = replan_scene(plan.recipe, a, NOTHING, openers)
    assert (gone.scene_id, gone.stage) == ("a", "plan")
    assert "empty" in gone.reason
    (archive / "a.tif").unlink()
    with closing(HeaderThreads(plan.recipe)) as openers:
        assert isinstance(replan_scene(plan.recipe, a, NOTHING, openers), SetAside)


@pytest.mark.parametrize("name", ["n" * 300 + ".tif", "missing.tif", "c.tif/inside.tif"])
def test_a_named_object_that_cannot_be_looked_up_is_one_scene_set_aside(archive, name):
    asked = order(source={"kind": "list", "uris": [f"{archive}/a.tif", f"{archive}/{name}"]})
    work = sort_candidates(asked, candidates(asked), NOTHING)
    assert [c.scene_id for c in work.todo] == ["a"]
    assert [row.uri for row in work.set_aside] == [f"{archive}/{name}"]


def test_what_a_user_may_not_expect_is_said(archive):
    asked = order(card(stride=16, reach=40), tiling={"core": 250, "halo": 8})
    plan = make_plan(recipe(asked, core=256), sort_candidates(asked, [], NOTHING), NOTHING)
    assert plan.notes == (
        "core 250 is rounded up to 256, a multiple of the network's stride",
        "halo 8 is below the reach of 40 px: not exact",
    )


def test_a_wide_striped_scene_is_staged(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (2, 400, 512 * 24), dtype=np.uint8)
    gtiff(noise, tile=None, blockysize=16, interleave="pixel")(tmp_path / "wide.tif")
    plan = planned(job(tmp_path))
    (made,) = plan.scenes
    assert made.staged
    assert plan.bytes_to_read["wide"] == made.header.encoded_bytes
