"""Plans and records of runs that prune forgets, and what of them it must not."""

from __future__ import annotations

import json

import pytest
import yaml
from fakes import FakeStore
from plan.recipes import order, recipe, scene

from encdec_batch.commit.prune import PARTS_PREFIX, PrunableFolder
from encdec_batch.job.forget import find_forgettable, private_specs_of
from encdec_batch.job.runlog import run_folder
from encdec_batch.plan.memory import PlanMemory
from encdec_batch.plan.plan import Planned
from encdec_batch.plan.private_map import private_map, spec_name
from encdec_batch.plan.scene import Candidate
from encdec_batch.plan.table import PlanWriter, owners_of_parts, read_resolved
from encdec_batch.spec.privacy import JobPrivacySpec


def write(store: FakeStore, *names: str, part_key: str = "b" * 64, begun: bool = False) -> None:
    """The plan of one run, a segment a scene."""
    writer = PlanWriter(store, recipe())
    for name in names or [None]:
        made = scene(name, 600, 1200, part_key=part_key) if name else None
        if made and begun:
            made = made.with_done(["0-0"])
        writer.write([Planned(scene=made, bytes_to_read=1)] if made else [])


def forgotten(store: FakeStore) -> list[str]:
    """Deletes it, and says what."""
    found = list(find_forgettable(store))
    store.delete([path for folder in found for path in folder.objects])
    return sorted(folder.path.removeprefix(".encdec/") for folder in found)


def remembered(store: FakeStore, *names: str) -> set[str]:
    memory = PlanMemory(store, order().spec)
    candidates = [Candidate(scene_id=n, uri=f"s3://archive/{n}.tif", etag="tag", size_bytes=1000) for n in names]
    return {candidate.scene_id for candidate in candidates if memory.find(candidate)}


def test_a_plan_whose_headers_newer_plans_hold_is_forgotten():
    store = FakeStore()
    write(store, "a", "b")
    write(store, "a")
    write(store, "b", begun=True)
    write(store)
    write(store)
    assert forgotten(store) == ["plans/1-00000.parquet", "plans/3-00000.parquet", "plans/4-00000.parquet"]
    assert remembered(store, "a", "b") == {"a", "b"}
    assert read_resolved(store, order()) == recipe().resolved
    assert forgotten(store) == []


def test_a_plan_stays_while_parts_lie_there_that_it_alone_tells_the_owner_of():
    store = FakeStore()
    write(store, "a", part_key="1" * 64)
    write(store, "a", part_key="2" * 64)
    part = f"{PARTS_PREFIX}{'1' * 64}/0-0"
    store.put(part, b"part")
    assert forgotten(store) == []
    assert owners_of_parts(store)["1" * 64] == ("a", "a" * 64)
    store.delete([part])
    assert forgotten(store) == ["plans/1-00000.parquet"]


def test_of_plans_with_headers_of_their_own_the_newest_stay(monkeypatch):
    monkeypatch.setattr("encdec_batch.job.forget.KEPT_PLANS", 3)
    store = FakeStore()
    names = [f"s{n}" for n in range(5)]
    for name in names:
        write(store, name, f"{name}-too")
    assert forgotten(store) == [f"plans/{n}-0000{s}.parquet" for n in (1, 2) for s in (0, 1)]
    assert remembered(store, *names) == set(names[2:])
    store.put(".encdec/plans/3-00000.parquet", b"damaged")
    assert forgotten(store) == []


def test_headers_of_another_format_keep_no_plan(monkeypatch):
    store = FakeStore()
    write(store, "a")
    write(store, "b")
    monkeypatch.setattr("encdec_batch.job.forget.HEADER_FORMAT", 99)
    assert forgotten(store) == ["plans/1-00000.parquet"]


# ---------------------------------------------------------------- runs


def spec(uri: str) -> str:
    return yaml.safe_dump(
        {"source": {"kind": "list", "uris": ["a.tif"]}, "model": {"package": "p"}, "output": {"uri": uri}}
    )


def put_runs(store: FakeStore, *specs: str, busy: int | None = None) -> list[str]:
    """A run of each spec, one after the other; that of this number did something."""
    ids = [f"2026{n:04d}T000000Z-a" for n in range(len(specs))]
    for number, (run_id, text) in enumerate(zip(ids, specs, strict=True)):
        said = {"resolved": {"core": 512} if number == busy else None}
        store.put(f"{run_folder(run_id)}spec.yaml", text.encode())
        store.put(f"{run_folder(run_id)}summary.json", json.dumps(said).encode())
    return ids


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr("encdec_batch.job.forget.KEPT_RUNS", 3)


def test_of_runs_the_newest_stay():
    store = FakeStore()
    ids = put_runs(store, *[spec("out")] * 7)
    assert forgotten(store) == [f"runs/{run_id}/" for run_id in ids[:4]]
    assert not list(store.list(run_folder(ids[0])))
    assert forgotten(store) == []


def test_the_newest_run_of_each_spec_stays_and_that_which_the_page_is_of():
    store = FakeStore()
    ids = put_runs(store, *[spec("old")] * 2, *[spec("new")] * 6, busy=3)
    assert forgotten(store) == [f"runs/{ids[n]}/" for n in (0, 2, 4)]


def test_where_a_spec_is_of_another_version_no_run_is_forgotten():
    store = FakeStore()
    put_runs(store, *[spec("out")] * 6, "source: {kind: unheard_of}")
    assert forgotten(store) == []


def test_what_a_forgotten_run_keeps_encrypted_goes_with_it_wherever_it_lies(tmp_path):
    store, vault = FakeStore(), tmp_path / "vault"
    for number, where in enumerate([None, str(vault), None, str(vault)]):
        privacy = {"hide": "off" if number == 2 else "on", "map": where}
        store.put(f"{run_folder(f'r{number}')}spec.yaml", yaml.safe_dump({"privacy": privacy}).encode())
        kept = private_map(store, JobPrivacySpec(map=where))
        kept.put(spec_name(f"r{number}"), b"encrypted")
    kept.put(spec_name("of another output"), b"encrypted")
    gone = [
        PrunableFolder(path=path, reason="no longer needed", objects=(), size_bytes=0)
        for path in (*(run_folder(f"r{number}") for number in range(3)), ".encdec/plans/1", run_folder("unknown"))
    ]
    for place, name in private_specs_of(store, gone):
        place.delete(name)
    assert [info.path for info in store.list(".encdec/private/")] == [".encdec/private/specs/r2"]
    assert sorted(path.name for path in (vault / "specs").iterdir()) == ["of another output", "r3"]
