"""What is kept: the newest candidates, and all that were ever in production."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from models.registries import package_folder
from nightly.nuclei import nightly_values

from encdec_batch.models.alias import Alias, Move
from encdec_batch.models.lineage import Lineage, write_lineage
from encdec_batch.models.registry import add_package, promote, show_model
from encdec_batch.models.version import Version
from encdec_batch.nightly.retention import due_versions, retain
from encdec_batch.spec.load_nightly import parse_nightly_spec
from encdec_batch.store.open import open_store


def digest(number: int) -> str:
    return f"{number:064x}"


def version(number: int) -> Version:
    return Version(name="nuclei", version=str(number), digest=digest(number), size_bytes=1, added=100.0 + number)


def alias(name: str, numbers: list[int], first: int = 1) -> Alias:
    moves = tuple(
        Move(number=first + n, kind="promote", version=str(number), digest=digest(number), time=100.5 + number)
        for n, number in enumerate(numbers)
    )
    return Alias(name="nuclei", alias=name, moves=moves)


@given(
    count=st.integers(0, 12),
    production=st.lists(st.integers(0, 11), max_size=4),
    candidate=st.integers(0, 11),
    ours=st.sets(st.integers(0, 11)),
    keep=st.integers(1, 5),
)
def test_what_is_due_was_never_more_than_a_candidate(count, production, candidate, ours, keep):
    versions = [version(number) for number in range(count)]
    aliases = {"candidate": alias("candidate", [candidate])} | (
        {"production": alias("production", production)} if production else {}
    )
    due = {int(one.version) for one in due_versions(versions, aliases, {digest(n) for n in ours}, keep)}
    assert not due & {*production, candidate}
    assert due <= ours
    candidates = [n for n in range(count) if n in ours and n not in production and n != candidate]
    assert due == set(candidates[:-keep])


def test_of_an_alias_that_forgot_its_oldest_moves_nothing_older_is_due():
    versions = [version(number) for number in range(6)]
    aliases = {"production": alias("production", [3], first=2)}
    assert [one.version for one in due_versions(versions, aliases, {digest(n) for n in range(6)}, 1)] == ["4"]


def test_a_night_leaves_what_is_to_be_kept(tmp_path):
    spec = parse_nightly_spec(nightly_values(tmp_path, output__keep=1))
    store, registry = open_store(spec.output.uri), open_store(spec.registry)
    for number in range(1, 5):
        night = f"2026-11-0{number}"
        added = add_package(str(package_folder(tmp_path / "made", str(number))), spec.registry)
        write_lineage(registry, Lineage(name="nuclei", digest=added.version.digest, night=night, scenes={}))
        for path in ("training-0/newest.json", "package-0/card.json", "index.html", "plan.json"):
            store.create(f"nights/{night}/{path}", b"{}")
    add_package(str(package_folder(tmp_path / "made", "by-hand")), spec.registry)
    promote(f"{spec.registry}/nuclei@2", "production")
    promote(f"{spec.registry}/nuclei@4", "candidate")
    assert retain(spec, store, "2026-11-04") == ("candidates retired: 1",)
    assert [one.version for one in show_model(f"{spec.registry}/nuclei").versions] == ["2", "3", "4", "by-hand"]
    left = [info.path for info in store.list("nights/")]
    assert [path for path in left if "-0/" in path] == [
        "nights/2026-11-04/package-0/card.json",
        "nights/2026-11-04/training-0/newest.json",
    ]
    assert len([path for path in left if path.endswith(("index.html", "plan.json"))]) == 8
    assert retain(spec, store, "2026-11-04") == ()
