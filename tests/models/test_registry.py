"""The registry, on a disk and on an S3 server: versions that never change, aliases that one mover at a time moves."""

from __future__ import annotations

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
from children import start
from hypothesis import given
from hypothesis import strategies as st
from models.registries import Place, package_folder, place_of, shipped
from servers import Fault, faulty_s3_server, s3_server_process

from encdec_batch.errors import DigestMismatch, ModelError, SpecError
from encdec_batch.models.alias import KEPT_MOVES, Alias, Move, alias_path, move_alias, read_alias
from encdec_batch.models.package import load_package
from encdec_batch.models.reference import Reference, expect_reference, parse_reference, split_model
from encdec_batch.models.registry import add_package, list_models, promote, rollback, show_model, show_version
from encdec_batch.models.version import expect_version, read_version, version_path

NAME = "nuclei"


@pytest.fixture(scope="module")
def server():
    with s3_server_process() as running:
        yield running


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.integration)])
def place(request, tmp_path):
    server = request.getfixturevalue("server") if request.param == "s3" else None
    with place_of(request.param, tmp_path, server) as found:
        yield found


def add(place: Place, tmp_path, *versions: str):
    return [add_package(str(package_folder(tmp_path / "made", v)), place.uri, place.options) for v in versions]


def reference(place: Place, wanted: str) -> str:
    return f"{place.uri}/{NAME}@{wanted}"


# References


@pytest.mark.parametrize(
    ("text", "registry", "name", "wanted"),
    [
        ("s3://models/nuclei@production", "s3://models", "nuclei", "production"),
        ("s3://models/all/nuclei@1.2.0", "s3://models/all", "nuclei", "1.2.0"),
        ("file:///srv/models/a-b@2+cu.1", "file:///srv/models", "a-b", "2+cu.1"),
        ("registry/nuclei@candidate", "registry", "nuclei", "candidate"),
        ("/home/me@work/registry/nuclei@1", "/home/me@work/registry", "nuclei", "1"),
    ],
)
def test_a_reference_has_four_parts_and_comes_back_as_text(text, registry, name, wanted):
    found = parse_reference(text)
    assert found == Reference(registry=registry, name=name, wanted=wanted)
    assert str(found) == text


@pytest.mark.parametrize(
    "text",
    ["s3://models/nuclei", "nuclei@1", "/nuclei@1", "s3://nuclei@1", "a/nuclei@1/", "me@work/nuclei", "a/Nuclei@1",
     "a/@1", "a/n@", "a/n@1@2", "a/n@../1", "a/n@.1", ""],
)  # fmt: skip
def test_what_names_a_folder_is_no_reference(text):
    assert parse_reference(text) is None
    with pytest.raises(SpecError, match="NAME@VERSION"):
        expect_reference(text)


@pytest.mark.parametrize("text", ["nuclei", "s3://nuclei", "a/..", "a/Nuclei", "a/n@1", ""])
def test_what_names_no_model(text):
    with pytest.raises(SpecError, match="REGISTRY/NAME"):
        split_model(text)


# Versions


def test_what_was_added_is_what_is_loaded(place, tmp_path):
    folder = package_folder(tmp_path / "made", "1.2.0")
    added = add_package(str(folder), place.uri, place.options, spec="kind: train\n")
    assert added.new
    assert str(added.reference) == reference(place, "1.2.0")
    found, original = load_package(reference(place, "1.2.0"), place.options), load_package(str(folder))
    assert found == replace(original, uri=reference(place, "1.2.0"))
    shown = show_version(added.reference, place.options)
    version = shown.version
    assert (version.digest, version.spec, shown.package.digest) == (original.digest, "kind: train\n", original.digest)
    assert version.size_bytes == sum(path.stat().st_size for path in folder.iterdir())


def test_the_folder_of_a_version_is_a_package_as_any_other(place, tmp_path):
    (added,) = add(place, tmp_path, "1")
    plain = load_package(f"{place.uri}/{added.version.folder}", place.options)
    assert plain.digest == added.version.digest


def test_a_parent_is_found_by_its_digest(place, tmp_path):
    (parent,) = add(place, tmp_path, "1")
    for version, digest, found in (("2", parent.version.digest, parent.version), ("3", "0" * 64, None)):
        folder = package_folder(tmp_path / "made", version, parent=digest)
        added = add_package(str(folder), place.uri, place.options)
        assert show_version(added.reference, place.options).parent == found


def test_a_version_is_brought_from_one_registry_to_another(place, tmp_path):
    added = add_package(str(package_folder(tmp_path / "made")), str(tmp_path / "other"))
    copied = add_package(str(added.reference), place.uri, place.options)
    assert copied.version.digest == added.version.digest
    assert load_package(reference(place, "1"), place.options).others == {}


def test_adding_again_changes_nothing(place, tmp_path):
    (first,) = add(place, tmp_path, "1")
    before = {info.path: info for info in place.store.list()}
    (again,) = add(place, tmp_path, "1")
    assert (again.new, again.version) == (False, first.version)
    assert {info.path: info for info in place.store.list()} == before


def test_a_version_is_never_changed(place, tmp_path):
    (first,) = add(place, tmp_path, "1")
    other = package_folder(tmp_path / "made", "1", description="another")
    with pytest.raises(ModelError, match="has a version 1 already, of other bytes"):
        add_package(str(other), place.uri, place.options)
    assert load_package(reference(place, "1"), place.options).digest == first.version.digest


def test_a_version_called_by_an_alias_is_refused(place, tmp_path):
    with pytest.raises(SpecError, match="must not be called 'production'"):
        add(place, tmp_path, "production")
    assert place.names() == []


def test_what_is_not_there_is_said_with_what_is(place, tmp_path):
    add(place, tmp_path, "1.0", "1.1")
    with pytest.raises(ModelError, match=r"no version 2; there are 1\.0, 1\.1"):
        load_package(reference(place, "2"), place.options)
    with pytest.raises(ModelError, match=r"production of nuclei was never set; encdec-batch models promote .*--alias"):
        load_package(reference(place, "production"), place.options)
    with pytest.raises(ModelError, match="no model other is here"):
        show_model(f"{place.uri}/other", place.options)


def test_models_are_listed_in_the_order_in_which_they_came(place, tmp_path):
    assert list_models(place.uri, place.options) == []
    add(place, tmp_path, "10", "9", "1.0")
    add_package(str(package_folder(tmp_path / "made", name="a-model")), place.uri, place.options)
    place.store.create("nuclei/notes.txt", b"not ours")
    promote(reference(place, "9"), "production", place.options)
    other, nuclei = list_models(place.uri, place.options)
    assert (other.name, other.aliases) == ("a-model", {})
    assert {one.version for one in nuclei.versions} == {"10", "9", "1.0"}
    assert [one.added for one in nuclei.versions] == sorted(one.added for one in nuclei.versions)
    assert nuclei.aliases["production"].version == "9"
    assert show_model(f"{place.uri}/{NAME}", place.options) == nuclei


def test_of_two_who_add_the_same_version_one_is_first(place, tmp_path):
    folders = [package_folder(tmp_path / "made", "1", description=str(i)) for i in range(2)]
    together = threading.Barrier(2)

    def race(folder):
        together.wait()
        try:
            return add_package(str(folder), place.uri, place.options).version.digest
        except ModelError as error:
            return error.message

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(race, folders))
    assert sum("of other bytes" in end for end in ends) == 1
    assert load_package(reference(place, "1"), place.options).digest in ends


# Interrupted


def test_a_version_is_visible_by_its_last_write_alone(place, tmp_path):
    """Whatever prefix of the writes was made, in their order, nothing is seen; and the next try completes it."""
    (added,) = add(place, tmp_path, "1")
    written = place.names()
    record = version_path(NAME, "1")
    contents = {path: place.store.get(path) for path in written}
    files = [path for path in written if path != record]
    for number in range(len(files) + 1):
        place.store.delete(written)
        for path in files[:number]:
            place.store.create(path, contents[path])
        assert list_models(place.uri, place.options) == []
        with pytest.raises(ModelError, match="no version 1"):
            load_package(reference(place, "1"), place.options)
        (again,) = add(place, tmp_path, "1")
        assert (again.new, again.version.digest) == (True, added.version.digest)
        assert place.names() == written


def test_files_left_by_another_package_do_not_stand_in_the_way(place, tmp_path):
    (added,) = add(place, tmp_path, "1")
    place.store.delete([version_path(NAME, "1")])
    other = package_folder(tmp_path / "made", "1", description="mended")
    found = add_package(str(other), place.uri, place.options)
    assert found.new
    assert found.version.digest != added.version.digest


def _add(folder: str, registry: str, options: dict[str, str], die_at: int) -> None:
    from children import prepare

    prepare({"die_at": die_at})
    add_package(folder, registry, options)


@pytest.mark.integration
def test_killed_at_every_step_an_addition_goes_on(tmp_path):
    """kill -9 before each step on the file system, from the first to the last."""
    folder = str(package_folder(tmp_path / "made", "1"))
    digest = load_package(folder).digest
    for die_at in itertools.count(1):
        place = Place(uri=f"{tmp_path}/{die_at}/registry")
        child = start(_add, folder, place.uri, {}, die_at)
        child.join(120)
        assert child.exitcode in (0, -9)
        seen = [version for model in list_models(place.uri) for version in model.versions]
        assert all(load_package(reference(place, one.version)).digest == digest for one in seen)
        again = add_package(folder, place.uri)
        assert again.new == (not seen)
        assert load_package(reference(place, "1")).digest == digest
        if child.exitcode == 0:
            break
    assert die_at > 15


@pytest.mark.integration
@pytest.mark.parametrize("file", ["/weights.safetensors", "/card.json", "/versions/1.json"])
def test_an_answer_that_was_lost_changes_nothing(tmp_path, file):
    """The PUT is carried out and nobody hears of it: the same call ends well all the same."""
    with faulty_s3_server() as faulty:
        place = Place(uri=f"s3://{faulty.server.make_bucket()}/models", options=faulty.server.options)
        faulty.faults.append(Fault(method="PUT", hang_up=True, path=file))
        (added,) = add(place, tmp_path, "1")
        assert not faulty.faults
        assert added.version.digest == load_package(reference(place, "1"), place.options).digest


# Tampered


def damaged(place: Place, path: str, data: bytes) -> None:
    place.store.put(path, data)


def test_changed_files_of_a_version_are_refused(place, tmp_path):
    (added,) = add(place, tmp_path, "1")
    folder = added.version.folder
    for name in ("card.json", "golden.safetensors", "weights.safetensors"):
        path = f"{folder}/{name}"
        whole = place.store.get(path)
        damaged(place, path, whole + b"\n" if name == "card.json" else whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ModelError):
            load_package(reference(place, "1"), place.options)
        with pytest.raises(ModelError):
            promote(reference(place, "1"), "production", place.options)
        damaged(place, path, whole)
    assert load_package(reference(place, "1"), place.options)
    assert read_alias(place.store, NAME, "production") is None


def test_another_whole_package_in_the_folder_of_a_version_is_refused(place, tmp_path):
    one, two = add(place, tmp_path, "1", "2")
    damaged(place, f"{one.version.folder}/card.json", place.store.get(f"{two.version.folder}/card.json"))
    with pytest.raises(DigestMismatch, match="not the one that nuclei@1 names"):
        load_package(reference(place, "1"), place.options)


def test_a_damaged_file_stops_an_addition_and_is_named(place, tmp_path):
    (added,) = add(place, tmp_path, "1")
    place.store.delete([version_path(NAME, "1")])
    damaged(place, f"{added.version.folder}/weights.safetensors", b"cut")
    with pytest.raises(DigestMismatch, match=r"weights\.safetensors: is not what its folder's name says; .*delete it"):
        add(place, tmp_path, "1")
    assert read_version(place.store, NAME, "1") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: b"{}", "is damaged"),
        (lambda record: b"[" * 10_000, "is damaged"),
        (lambda record: json.dumps(record | {"format_version": 2}).encode(), "newer format than 1; update"),
        (lambda record: json.dumps(record | {"version": "7"}).encode(), "is the record of nuclei@7"),
        (lambda record: json.dumps(record | {"digest": "../../x"}).encode(), "is damaged"),
        (lambda record: bytes(5 << 20), "is larger than"),
    ],
    ids=["empty", "deep", "newer", "renamed", "path", "large"],
)
def test_a_record_that_is_none(place, tmp_path, change, said):
    add(place, tmp_path, "1")
    path = version_path(NAME, "1")
    damaged(place, path, change(json.loads(place.store.get(path))))
    with pytest.raises(ModelError, match=said):
        load_package(reference(place, "1"), place.options)
    with pytest.raises(ModelError, match=said):
        list_models(place.uri, place.options)


def test_an_alias_of_other_bytes_is_refused(place, tmp_path):
    add(place, tmp_path, "1")
    promote(reference(place, "1"), "production", place.options)
    path = alias_path(NAME, "production")
    state = json.loads(place.store.get(path))
    state["moves"][0]["digest"] = "0" * 64
    damaged(place, path, json.dumps(state).encode())
    with pytest.raises(ModelError, match="names other bytes"):
        load_package(reference(place, "production"), place.options)
    damaged(place, path, json.dumps(state | {"format_version": 2}).encode())
    with pytest.raises(ModelError, match="newer format"):
        promote(reference(place, "1"), "production", place.options)


# Aliases


def test_an_alias_is_what_it_was_moved_to(place, tmp_path):
    add(place, tmp_path, "1", "2")
    assert promote(reference(place, "1"), "candidate", place.options).moved
    assert promote(reference(place, "candidate"), "production", place.options).alias.version == "1"
    again = promote(reference(place, "1"), "production", place.options)
    assert (again.moved, len(again.alias.moves)) == (False, 1)
    promote(reference(place, "2"), "production", place.options)
    package = load_package(reference(place, "production"), place.options)
    assert (package.card.version, package.uri) == ("2", reference(place, "2"))
    assert load_package(reference(place, "candidate"), place.options).card.version == "1"


def test_only_two_aliases_are_known(place, tmp_path):
    add(place, tmp_path, "1")
    for move in (lambda alias: promote(reference(place, "1"), alias, place.options),
                 lambda alias: rollback(f"{place.uri}/{NAME}", alias, place.options)):  # fmt: skip
        with pytest.raises(SpecError, match="no alias 'latest'; say one of candidate, production"):
            move("latest")


def test_rolling_back_goes_back_and_further_back(place, tmp_path):
    add(place, tmp_path, "1", "2", "3")
    model = f"{place.uri}/{NAME}"
    with pytest.raises(ModelError, match="was never set"):
        rollback(model, options=place.options)
    for version in ("1", "2", "3"):
        promote(reference(place, version), "production", place.options)
    went = [rollback(model, options=place.options).alias.version for _ in range(2)]
    assert went == ["2", "1"]
    with pytest.raises(ModelError, match="is 1, and was none before"):
        rollback(model, options=place.options)
    promote(reference(place, "3"), "production", place.options)
    last = rollback(model, options=place.options).alias
    assert last.version == "1"
    assert [(move.number, move.kind, move.version) for move in last.moves] == [
        (1, "promote", "1"), (2, "promote", "2"), (3, "promote", "3"), (4, "rollback", "2"), (5, "rollback", "1"),
        (6, "promote", "3"), (7, "rollback", "1"),
    ]  # fmt: skip


def test_of_two_movers_one_loses_and_says_so(place, tmp_path):
    add(place, tmp_path, *map(str, range(5)))
    promote(reference(place, "0"), "production", place.options)
    read = read_alias(place.store, NAME, "production")
    together = threading.Barrier(4)

    def race(version):
        together.wait()
        try:
            return move_alias(place.store, "production", expect_version(place.store, NAME, version), "promote", read)
        except ModelError as error:
            return error.message

    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(race, "1234"))
    assert sum("moved by somebody else meanwhile" in str(end) for end in ends) == 3
    found = read_alias(place.store, NAME, "production")
    assert found is not None
    assert found[0] in ends
    assert len(found[0].moves) == 2


def test_of_two_who_set_an_alias_first_one_loses(place, tmp_path):
    one, two = add(place, tmp_path, "1", "2")
    move_alias(place.store, "candidate", one.version, "promote", None)
    with pytest.raises(ModelError, match="names 1 since; nothing was changed"):
        move_alias(place.store, "candidate", two.version, "promote", None)


def test_a_mover_that_slept_is_refused_though_the_alias_came_back(place, tmp_path):
    """The same version again is not the same state: etags are often the md5 of the bytes."""
    *_, three = add(place, tmp_path, "1", "2", "3")
    promote(reference(place, "1"), "production", place.options)
    read = read_alias(place.store, NAME, "production")
    promote(reference(place, "2"), "production", place.options)
    rollback(f"{place.uri}/{NAME}", options=place.options)
    with pytest.raises(ModelError, match="moved by somebody else"):
        move_alias(place.store, "production", three.version, "promote", read)
    assert load_package(reference(place, "production"), place.options).card.version == "1"


@pytest.mark.integration
def test_a_move_whose_answer_was_lost_is_found_in_the_history(tmp_path):
    with faulty_s3_server() as faulty:
        place = Place(uri=f"s3://{faulty.server.make_bucket()}/models", options=faulty.server.options)
        one, two = add(place, tmp_path, "1", "2")
        move_alias(place.store, "production", one.version, "promote", None)
        read = read_alias(place.store, NAME, "production")
        faulty.faults.append(Fault(method="PUT", hang_up=True))
        assert move_alias(place.store, "production", two.version, "promote", read).version == "2"
        found = read_alias(place.store, NAME, "production")
        assert found is not None
        assert [move.version for move in found[0].moves] == ["1", "2"]


@pytest.mark.integration
@pytest.mark.parametrize(("header", "named"), [("HTTP_IF_NONE_MATCH", "If-None-Match"), ("HTTP_IF_MATCH", "If-Match")])
def test_a_store_that_ignores_conditions_is_refused(tmp_path, header, named):
    with faulty_s3_server() as faulty:
        place = Place(uri=f"s3://{faulty.server.make_bucket()}/models", options=faulty.server.options)
        folder = str(package_folder(tmp_path, "1"))
        add_package(folder, place.uri, place.options)
        if header == "HTTP_IF_NONE_MATCH":
            place.store.delete(place.names())
        faulty.deaf_to.add(header)
        adds = header == "HTTP_IF_NONE_MATCH"
        change = (
            partial(add_package, folder, place.uri) if adds else partial(promote, reference(place, "1"), "production")
        )
        before = place.names()
        with pytest.raises(SpecError, match=f"ignores {named}"):
            change(place.options)
        assert place.names() == before


def moves(kinds: list[int]) -> Alias:
    """Promotions of a version (0 to 3), or a rollback (4) where there is something before."""
    state: Alias | None = None
    for kind in kinds:
        before = state.before if state else None
        version = before if kind == 4 else str(kind)
        if version is None or (state and version == state.version):
            continue
        move = Move(
            number=state.moves[-1].number + 1 if state else 1,
            kind="rollback" if kind == 4 else "promote",
            version=version,
            digest="0" * 64,
            time=0,
        )
        state = Alias(name="n", alias="production", moves=(*(state.moves if state else ()), move))
    assert state
    return state


@given(st.lists(st.integers(0, 4), max_size=12), st.integers(0, 3))
def test_a_promotion_is_undone_by_a_rollback(kinds, version):
    before = moves([0, *kinds])
    after = moves([0, *kinds, version, 4])
    if before.version != str(version):
        assert after.version == before.version
        assert after.before == before.before


def test_the_newest_moves_are_kept(tmp_path):
    place = Place(uri=str(tmp_path / "registry"))
    (added,) = add(place, tmp_path, "1")
    many = [
        Move(number=number, kind="promote", version=str(number % 2 + 2), digest="0" * 64, time=0)
        for number in range(5000, 5000 + KEPT_MOVES)
    ]
    state = Alias(name=NAME, alias="production", moves=tuple(many))
    place.store.create(alias_path(NAME, "production"), state.model_dump_json().encode())
    last = move_alias(place.store, "production", added.version, "promote", read_alias(place.store, NAME, "production"))
    assert [move.number for move in last.moves] == list(range(5001, 5001 + KEPT_MOVES))
    assert read_alias(place.store, NAME, "production")[0] == last


def test_the_shipped_package_can_be_registered(tmp_path):
    added = add_package(str(shipped().uri), str(tmp_path))
    assert added.version.digest == shipped().digest
