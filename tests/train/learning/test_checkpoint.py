"""Checkpoints: what is read back, what is visible after a death at any call, and what is refused."""

from __future__ import annotations

import json
import pickle

import pytest
import torch

from encdec_batch.errors import CheckpointError, PermanentStoreError
from encdec_batch.store.open import open_store
from encdec_batch.train.learning.checkpoint import NEWEST, Checkpoints, State


def state(step, value=None):
    number = float(step if value is None else value)
    tensors = {"network/w": torch.full((2, 3), number), "optimizer/network/0/step": torch.tensor(number)}
    return State(step=step, tensors=tensors, values={"seed": 7, "rate": 0.1, "best": {"step": step}})


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "training"


@pytest.fixture
def store(folder):
    return open_store(str(folder))


def same(one, two):
    return (
        one.step == two.step
        and one.values == two.values
        and one.tensors.keys() == two.tensors.keys()
        and all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)
    )


class Dying:
    """A store that is gone after so many writes; before or after the last of them was carried out."""

    def __init__(self, store, writes, *, carried_out):
        self._store, self._left, self._carried_out = store, writes, carried_out

    def __getattr__(self, name):
        return getattr(self._store, name)

    def _write(self, name, *arguments, **more):
        self._left -= 1
        if self._left < 0 or (self._left == 0 and not self._carried_out):
            raise PermanentStoreError("gone")
        found = getattr(self._store, name)(*arguments, **more)
        if self._left == 0:
            raise PermanentStoreError("gone")
        return found

    def create(self, *arguments, **more):
        return self._write("create", *arguments, **more)

    def replace(self, *arguments, **more):
        return self._write("replace", *arguments, **more)

    def delete(self, *arguments, **more):
        return self._write("delete", *arguments, **more)


def test_the_newest_comes_back_with_all_that_was_in_it(store):
    checkpoints = Checkpoints(store)
    assert checkpoints.newest() is None
    for step in (2, 4, 6):
        checkpoints.save(state(step))
    assert same(Checkpoints(store).newest(), state(6))


@pytest.mark.parametrize("keep", [1, 3])
def test_so_many_are_kept(store, folder, keep):
    checkpoints = Checkpoints(store, keep=keep)
    for step in range(1, 6):
        checkpoints.save(state(step))
    assert len(list((folder / "checkpoints").iterdir())) == keep


@pytest.mark.parametrize("writes", [1, 2, 3])
@pytest.mark.parametrize("carried_out", [True, False])
def test_a_death_at_any_write_leaves_one_or_the_other_whole(store, folder, writes, carried_out):
    Checkpoints(store).save(state(2))
    dying = Checkpoints(Dying(store, writes, carried_out=carried_out), keep=1)
    dying.newest()
    with pytest.raises(PermanentStoreError):
        dying.save(state(4))
    again = Checkpoints(store, keep=1)
    visible = (writes, carried_out) >= (2, True)
    assert same(again.newest(), state(4 if visible else 2))
    again.save(state(6))
    assert same(Checkpoints(store).newest(), state(6))
    assert len(list((folder / "checkpoints").iterdir())) == 1


def test_going_on_from_an_older_one_what_was_newer_is_forgotten(store):
    """As when newest.json was restored from a copy."""
    checkpoints = Checkpoints(store)
    checkpoints.save(state(4))
    checkpoints.save(state(2, value=9))
    assert same(Checkpoints(store).newest(), state(2, value=9))


def test_of_two_who_write_one_is_told(store):
    one, two = Checkpoints(store), Checkpoints(store)
    one.save(state(2))
    with pytest.raises(CheckpointError, match="another process has written"):
        two.save(state(2, value=9))
    assert same(Checkpoints(store).newest(), state(2))


@pytest.mark.parametrize("damage", [b"", b"\0" * 64, pickle.dumps({"w": 1})])
def test_a_damaged_file_is_left_for_the_one_before(store, folder, damage):
    checkpoints = Checkpoints(store)
    checkpoints.save(state(2))
    checkpoints.save(state(4))
    older, newer = sorted((folder / "checkpoints").iterdir())
    newer.write_bytes(damage)
    assert same(Checkpoints(store).newest(), state(2))
    older.unlink()
    with pytest.raises(CheckpointError, match="none of the checkpoints"):
        Checkpoints(store).newest()


class Planted:
    def __reduce__(self):
        return exec, ("raise AssertionError('ran')",)


def test_a_pickle_under_a_right_digest_is_not_opened(store, folder):
    from hashlib import sha256

    checkpoints = Checkpoints(store)
    checkpoints.save(state(2))
    [path] = (folder / "checkpoints").iterdir()
    path.write_bytes(pickle.dumps(Planted()))
    values = json.loads((folder / NEWEST).read_bytes())
    values["checkpoints"][0]["sha256"] = sha256(path.read_bytes()).hexdigest()
    (folder / NEWEST).write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="none of the checkpoints"):
        Checkpoints(store).newest()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format_version": 1}',
        '{"format_version": 1, "checkpoints": [{"step": 1}]}',
        '{"format_version": 2, "checkpoints": []}',
        '{"format_version": 1, "checkpoints": [{"step": 1, "path": "../../x", "sha256": "", "values": {}}]}',
    ],
)
def test_a_list_of_checkpoints_that_cannot_be(store, folder, text):
    folder.mkdir()
    (folder / NEWEST).write_text(text)
    with pytest.raises(CheckpointError) as caught:
        Checkpoints(store).newest()
    assert "\n" not in str(caught.value)
