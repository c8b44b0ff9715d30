"""Keyed names, and text without the names that they stand for."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.commit.generation import is_scene_id
from encdec_batch.errors import SceneUnreadable
from encdec_batch.privacy import Pseudonyms, pseudonyms_of
from encdec_batch.uri import hidden, public_text

KEY = "a key of some length"


@given(st.text(min_size=1), st.text(min_size=1))
def test_names_are_the_same_for_one_key_and_others_for_another(name, other):
    one, same, different = Pseudonyms(KEY), Pseudonyms(KEY), Pseudonyms(f"{KEY}!")
    assert one.scene_id(name) == same.scene_id(name)
    assert one.uri(name) == same.uri(name)
    assert one.scene_id(name) != different.scene_id(name)
    assert (one.scene_id(name) == one.scene_id(other)) == (name == other)
    assert is_scene_id(one.scene_id(name))
    assert one.scene_id(name)[1:] not in one.uri(name)


@given(st.binary())
def test_what_is_encrypted_is_had_again_by_the_key_alone(data):
    secret = Pseudonyms(KEY).encrypted(data)
    assert Pseudonyms(KEY).decrypted(secret) == data
    with pytest.raises(ValueError, match="another key, or changed"):
        Pseudonyms(f"{KEY}!").decrypted(secret)
    with pytest.raises(ValueError, match="another key, or changed"):
        Pseudonyms(KEY).decrypted(secret[:-4] + b"AAAA")


def test_a_key_that_is_missing_or_short_is_none(monkeypatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    assert pseudonyms_of("SOME_KEY") is None
    monkeypatch.setenv("SOME_KEY", "short")
    assert pseudonyms_of("SOME_KEY") is None
    monkeypatch.setenv("SOME_KEY", KEY)
    assert pseudonyms_of("SOME_KEY") is not None


@pytest.mark.parametrize(
    "uri",
    [
        "s3://pacs/Doernbecher_Janetta/ct 1.dcm",
        "file:///pacs/Doernbecher_Janetta/ct 1.dcm",
        "/pacs/Doernbecher_Janetta/ct 1.dcm",
    ],
)
@pytest.mark.parametrize(
    "said",
    [
        "{uri}: damaged",
        "no such key: Doernbecher_Janetta/ct 1.dcm",
        "cannot open 'ct 1.dcm'",
        "file:///pacs/Doernbecher_Janetta/ct 1.dcm: x",
    ],
)
def test_errors_made_while_an_object_is_hidden_do_not_name_it(uri, said):
    text = said.format(uri=uri)
    with hidden(uri, "private:0123"):
        error = SceneUnreadable(text)
    assert "private:0123" in str(error)
    for name in ("Doernbecher", "Janetta", "ct 1"):
        assert name not in str(error)
    assert public_text(text) == text  # and not afterwards


def test_objects_hidden_by_several_threads_stay_hidden_until_the_last_is_through():
    inside, leave = threading.Barrier(2), threading.Event()

    def other() -> None:
        with hidden("s3://pacs/Doernbecher/1.dcm", "private:1"):
            inside.wait()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    with hidden("s3://pacs/Doernbecher/1.dcm", "private:1"), hidden("s3://pacs/Doernbecher/2.dcm", "private:2"):
        assert public_text("Doernbecher/1.dcm Doernbecher/2.dcm") == "private:1 private:2"
    assert public_text("Doernbecher/1.dcm Doernbecher/2.dcm") == "private:1 Doernbecher/2.dcm"
    leave.set()
    thread.join()
    assert public_text("Doernbecher/1.dcm") == "Doernbecher/1.dcm"
