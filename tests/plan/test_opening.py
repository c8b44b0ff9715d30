"""Headers are opened in order, a bounded number at a time, and not again where an earlier plan holds them."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeStore
from hypothesis import given
from hypothesis import strategies as st
from plan.recipes import card, order, recipe, scene
from rasters import coordinate_image, gtiff

from encdec_batch.errors import HeaderTooLarge, SpecError
from encdec_batch.plan.discover import find_scenes
from encdec_batch.plan.memory import MOST_READS, PlanMemory
from encdec_batch.plan.opening import HeaderThreads, Remembered, Wanted, make_plan, plan_scenes
from encdec_batch.plan.plan import Known, Planned, cut_candidate, open_candidate, sort_candidates
from encdec_batch.plan.scene import Candidate
from encdec_batch.plan.table import PlanWriter
from encdec_batch.read.header import HEADER_FORMAT
from encdec_batch.read.limits import Limits

NOTHING = Known(committed={}, quarantined={}, parts={})


class CountingOpeners:
    """Scenes that no object stands behind; counts how many are under way."""

    def __init__(self, group: int = 1, ahead: int = 8) -> None:
        self.group, self.ahead = group, ahead
        self.under_way = self.most = 0
        self.opened: list[str] = []

    def start(self, wanted):
        self.under_way += len(wanted)
        self.most = max(self.most, self.under_way)

        def results():
            self.under_way -= len(wanted)
            self.opened += [one.candidate.scene_id for one in wanted]
            return [planned(one.candidate.scene_id) for one in wanted]

        return results


class Some:
    """Remembers scenes of these ids."""

    def __init__(self, ids, part_key: str | None = None) -> None:
        self._ids, self._part_key = set(ids), part_key

    def find(self, candidate):
        if candidate.scene_id not in self._ids:
            return None
        made = planned(candidate.scene_id).scene
        key = self._part_key
        if key is None:
            [cut] = plan_scenes(
                recipe(), [Wanted(candidate=candidate, marker=None)], HeaderOf(made), parts={}, memory=Some(())
            )
            key = cut.scene.part_key
        return Remembered(seen=made, part_key=key, bytes_to_read=5, staged=False)


class HeaderOf:
    """Opens every scene with the header of this one."""

    group, ahead = 1, 1

    def __init__(self, made) -> None:
        self._made = made

    def start(self, wanted):
        return lambda: [
            Planned(scene=cut_candidate(recipe(), one.candidate, self._made, one.known()), bytes_to_read=3)
            for one in wanted
        ]


def planned(name: str) -> Planned:
    return Planned(scene=scene(name, 100, 120), bytes_to_read=3)


def wanted(*names: str) -> list[Wanted]:
    return [
        Wanted(candidate=Candidate(scene_id=name, uri=f"s3://a/{name}", etag="tag", size_bytes=1), marker=None)
        for name in names
    ]


@given(count=st.integers(0, 60), group=st.integers(1, 7), ahead=st.integers(1, 5), known=st.sets(st.integers(0, 59)))
def test_scenes_come_in_order_and_each_is_opened_once_or_remembered(count, group, ahead, known):
    names = [f"s{n:02d}" for n in range(count)]
    openers, remembered = CountingOpeners(group, ahead), {f"s{n:02d}" for n in known} & set(names)
    found = list(plan_scenes(recipe(), wanted(*names), openers, parts={}, memory=Some(remembered)))
    assert [one.scene.scene_id for one in found] == names
    assert {one.scene.scene_id for one in found if one.remembered} == remembered
    assert Counter(openers.opened) == Counter(set(names) - remembered)
    assert openers.most <= group * (ahead + 1)


def test_the_first_scene_comes_before_the_last_is_asked_for():
    asked = []

    def names():
        for one in wanted(*(f"s{n:03d}" for n in range(100))):
            asked.append(one)
            yield one

    results = plan_scenes(recipe(), names(), CountingOpeners(ahead=8), parts={}, memory=Some(()))
    assert next(results).scene.scene_id == "s000"
    assert len(asked) == 9


def test_a_remembered_header_that_is_cut_in_another_way_is_opened():
    openers = CountingOpeners()
    [one] = plan_scenes(recipe(), wanted("a"), openers, parts={}, memory=Some("a", part_key="other"))
    assert (one.remembered, openers.opened) == (False, ["a"])


# ---------------------------------------------------------------- with real files


@pytest.fixture
def archive(tmp_path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (2, 300, 1100), dtype=np.uint8)
    gtiff(noise, tile=256, compress="DEFLATE")(folder / "a.tif")
    gtiff(coordinate_image(2, 100, 90), compress="DEFLATE")(folder / "b.tif")
    floats = coordinate_image(2, 60, 50).astype(np.float32)
    gtiff(floats, compress="DEFLATE", nodata=float("nan"))(folder / "c.tif")
    return folder


def job(folder: Path, core: int = 256, **changes):
    asked, tiling = card(dtypes=("uint8", "float32")), {"core": core, "block": 512}
    return order(asked, source={"kind": "prefix", "uri": str(folder)}, tiling=tiling, **changes)


def plan_of(asked, known=NOTHING, memory=None):
    work = sort_candidates(asked, find_scenes(asked.spec.source)[0], known)
    return make_plan(recipe(asked), work, known, None, memory)


def remember(asked, plan) -> PlanMemory:
    """A later run's memory of this plan."""
    store = FakeStore()
    writer = PlanWriter(store, recipe(asked))
    for one in plan.scenes:
        writer.write([Planned(scene=one, bytes_to_read=plan.bytes_to_read[one.scene_id])])
    return PlanMemory(store, asked.spec)


def blank(archive: Path) -> None:
    """The same names, sizes and times, and nothing that could be read."""
    for path in archive.iterdir():
        times = path.stat()
        path.write_bytes(bytes(times.st_size))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_plan_from_memory_is_the_plan_and_opens_nothing(archive):
    asked = job(archive)
    first = plan_of(asked)
    assert len(first.scenes) == 3
    memory = remember(asked, first)
    blank(archive)
    again = plan_of(asked, memory=memory)
    # repr: the nodata of one of them is NaN, which is not equal to itself.
    assert repr(again) == repr(first)


def test_what_has_changed_since_is_opened(archive):
    asked = job(archive)
    memory = remember(asked, plan_of(asked))
    gtiff(coordinate_image(2, 100, 91), compress="DEFLATE")(archive / "b.tif")
    again = plan_of(asked, memory=memory)
    assert {one.scene_id: one.header.width for one in again.scenes} == {"a": 1100, "b": 91, "c": 50}


@pytest.mark.parametrize("changes", [{"limits": {"max_tile_mb": 1}}, {"core": 128}], ids=["limits", "grid"])
def test_with_other_limits_or_on_another_grid_everything_is_opened(archive, changes):
    asked = job(archive)
    memory = remember(asked, plan_of(asked))
    blank(archive)
    other = job(archive, **changes)
    plan = plan_of(other, memory=PlanMemory(memory._store, other.spec))
    assert {row.scene_id for row in plan.set_aside} == {"a", "b", "c"}


def test_headers_as_another_version_read_them_are_not_remembered(archive, monkeypatch):
    asked = job(archive)
    memory = remember(asked, plan_of(asked))
    store = memory._store
    monkeypatch.setattr("encdec_batch.plan.memory.HEADER_FORMAT", HEADER_FORMAT + 1)
    blank(archive)
    assert plan_of(asked, memory=PlanMemory(store, asked.spec)).scenes == ()


def test_a_scene_of_larger_pixels_that_fits_no_block_waits_for_a_larger_budget(archive):
    """The others go on: the budget is too small for that one alone."""
    asked = job(archive)
    assert {one.scene_id for one in plan_of(asked).scenes} == {"a", "b", "c"}
    sizes = [
        recipe(asked).burden(size).block_bytes(recipe(asked).geometry, recipe(asked).tiling(512)) for size in (1, 4)
    ]
    budget = sum(sizes) / 2 / 2**30
    spec = asked.spec
    tight = replace(
        asked, spec=spec.model_copy(update={"tiling": spec.tiling.model_copy(update={"budget_gib": budget})})
    )
    for memory in (None, remember(asked, plan_of(asked))):
        plan = plan_of(tight, memory=memory)
        assert {one.scene_id for one in plan.scenes} == {"a", "b"}
        [row] = plan.set_aside
        assert (row.scene_id, row.stage, row.transient) == ("c", "plan", True)
        assert row.reason.startswith("its pixels are float32: a block of 512 px takes")
        assert "raise tiling.budget_gib" in row.hint


def test_a_budget_that_no_scene_of_the_card_fits_ends_the_run(archive):
    tight = job(archive)
    spec = tight.spec
    tight = replace(tight, spec=spec.model_copy(update={"tiling": spec.tiling.model_copy(update={"budget_gib": 1e-6})}))
    with pytest.raises(SpecError, match=r"tiling\.budget_gib is"):
        recipe(tight).check_budget()
    with pytest.raises(SpecError, match=r"tiling\.budget_gib is"):
        plan_of(tight)


# ---------------------------------------------------------------- of many plans

SPEC = order().spec
NUM_PLANS, PER_PLAN = 12, 20


def grown(num_plans: int = NUM_PLANS) -> FakeStore:
    """An archive that grew by runs: in a listing, scenes of all their plans come by turns."""
    store = FakeStore()
    for number in range(num_plans):
        PlanWriter(store, recipe()).write(
            [Planned(scene=scene(f"t{n:02d}_{number:02d}", 100, 120), bytes_to_read=1) for n in range(PER_PLAN)]
        )
    store.requests.clear()
    return store


def by_turns(num_plans: int = NUM_PLANS) -> list[Candidate]:
    names = sorted(f"t{n:02d}_{number:02d}" for number in range(num_plans) for n in range(PER_PLAN))
    return [Candidate(scene_id=n, uri=f"s3://archive/{n}.tif", etag="tag", size_bytes=1000) for n in names]


def num_gets(store: FakeStore) -> int:
    return sum(operation == "get" for operation, _ in store.requests)


def test_each_segment_is_read_once_where_they_fit_into_memory():
    store = grown()
    memory = PlanMemory(store, SPEC)
    assert all(memory.find(candidate) for candidate in by_turns())
    assert num_gets(store) == NUM_PLANS


def test_a_memory_that_costs_more_than_it_saves_is_given_up(monkeypatch):
    """Segments that do not fit, in the worst order there is."""
    monkeypatch.setattr("encdec_batch.plan.memory.AT_HAND_BYTES", 1)
    store = grown()
    memory = PlanMemory(store, SPEC)
    found = [memory.find(candidate) for candidate in by_turns()]
    assert num_gets(store) <= (1 + MOST_READS) * NUM_PLANS
    assert found[0] is not None
    assert found[-1] is None


def test_in_the_order_of_the_plans_little_memory_is_enough(monkeypatch):
    monkeypatch.setattr("encdec_batch.plan.memory.AT_HAND_BYTES", 1)
    store = grown()
    memory = PlanMemory(store, SPEC)
    in_order = sorted(by_turns(), key=lambda candidate: candidate.scene_id.partition("_")[2])
    assert all(memory.find(candidate) for candidate in in_order)
    assert num_gets(store) <= 2 * NUM_PLANS


def test_of_a_scene_that_was_begun_only_the_rest_is_counted(archive):
    asked = job(archive)
    first = plan_of(asked)
    a = first.scenes[0]
    names = [block.name for block in a.grid().blocks()]
    memory = remember(asked, first)
    begun = replace(NOTHING, parts={a.part_key: frozenset(names[:1])})
    assert repr(plan_of(asked, begun, memory)) == repr(plan_of(asked, begun))
    over = replace(NOTHING, parts={a.part_key: frozenset((*names, *a.checks.names))})
    assert plan_of(asked, over, memory).bytes_to_read["a"] == 0
    # What the begun scene had left says nothing to a run that begins it anew.
    assert (
        remember(asked, plan_of(asked, begun)).find(Candidate(scene_id="a", uri=a.uri, etag=a.etag, size_bytes=1))
        is None
    )


def test_a_large_header_is_read_by_itself(tmp_path, monkeypatch):
    """The first try is cut short, the second goes through, within the limits."""
    monkeypatch.setattr("encdec_batch.plan.opening.SMALL_HEADER_BYTES", 0)
    gtiff(np.zeros((2, 256, 16 * 400), np.uint8), tile=16, compress="DEFLATE", interleave="band")(tmp_path / "w.tif")
    asked = job(tmp_path)
    [candidate] = find_scenes(asked.spec.source)[0]
    with pytest.raises(HeaderTooLarge):
        open_candidate(recipe(asked), candidate, NOTHING, max_header_bytes=0)
    with closing(HeaderThreads(recipe(asked))) as threads:
        [one] = threads.start([Wanted(candidate=candidate, marker=None)])()
    assert one.scene.header.width == 16 * 400


def test_a_header_beyond_the_limits_is_one_scene_set_aside(tmp_path, monkeypatch):
    monkeypatch.setattr("encdec_batch.plan.opening.SMALL_HEADER_BYTES", 0)
    monkeypatch.setattr("encdec_batch.plan.open.limits_of", lambda spec: Limits(max_header_bytes=0))
    gtiff(np.zeros((2, 256, 16 * 400), np.uint8), tile=16, compress="DEFLATE", interleave="band")(tmp_path / "w.tif")
    [row] = plan_of(job(tmp_path)).set_aside
    assert "its header needs more than" in row.reason
