from __future__ import annotations

import pickle

import pytest
from servers import Fault, faulty_s3_server

from encdec_batch.errors import EncdecError, ObjectForbidden, SpecError
from encdec_batch.store.open import open_store
from encdec_batch.store.retry import RetryPolicy
from encdec_batch.store.secrets import checked_options, redacted, resolved_options

PLANTED = "pl4nted-s3cret-value"

POLICY = RetryPolicy(total_s=0.1, first_wait_s=0.01, max_wait_s=0.02)


@pytest.mark.parametrize(
    "name",
    [
        "key",
        "secret",
        "token",
        "password",
        "username",
        "aws_secret_access_key",
        "aws_session_token",
        "account_key",
        "connection_string",
        "sas_token",
        "client_secret",
        "api_key",
        "credential",
        "Secret",
    ],
)
def test_a_secret_in_clear_is_refused_without_being_repeated(name):
    with pytest.raises(SpecError, match=f"{name}.*env:NAME") as caught:
        open_store("s3://bucket", {name: PLANTED})
    assert PLANTED not in str(caught.value)
    assert checked_options({name: "env:SOME_NAME"}) == {name: "env:SOME_NAME"}


@pytest.mark.parametrize("uri", [f"ftp://user:{PLANTED}@host/x", f"https://{PLANTED}@host/x"])
def test_a_password_in_a_uri_is_refused_without_being_repeated(uri):
    for call in (lambda: open_store(uri), lambda: open_store("s3://bucket", {"endpoint_url": uri})):
        with pytest.raises(SpecError, match="carries credentials") as caught:
            call()
        assert PLANTED not in str(caught.value)


def test_harmless_options_pass():
    options = {
        "endpoint_url": "http://127.0.0.1:9000",
        "region": "eu-1",
        "anon": True,
        "token": "anon",
        "use_ssl": False,
    }
    assert checked_options(options) == options


def test_references_are_resolved_late(monkeypatch):
    monkeypatch.setenv("ENCDEC_PLANTED", PLANTED)
    assert resolved_options({"secret": "env:ENCDEC_PLANTED", "region": "x"}) == {"secret": PLANTED, "region": "x"}
    monkeypatch.delenv("ENCDEC_PLANTED")
    store = open_store("s3://bucket", {"secret": "env:ENCDEC_PLANTED"})
    with pytest.raises(SpecError, match=r"ENCDEC_PLANTED, which is not set"):
        store.get("x")


def test_text_is_redacted():
    assert redacted(f"a {PLANTED} b", [PLANTED]) == "a [redacted] b"
    # What is this short is no secret, and replacing it would spoil every message.
    assert redacted("a b", ["a"]) == "a b"


@pytest.mark.integration
def test_no_secret_gets_out(monkeypatch, caplog):
    monkeypatch.setenv("ENCDEC_PLANTED", PLANTED)
    monkeypatch.setenv("AWS_SESSION_TOKEN", f"{PLANTED}-token")
    caplog.set_level("INFO")
    with faulty_s3_server() as faulty:
        options = {**faulty.server.options, "key": "env:ENCDEC_PLANTED", "secret": "env:ENCDEC_PLANTED"}
        store = open_store(f"s3://{faulty.server.make_bucket()}", options, policy=POLICY)
        store.put("x", b"1")
        # As unkind as a server can be: it sends back what it was told.
        faulty.faults.append(Fault("GET", status=403, code=f"No-{PLANTED}"))
        with pytest.raises(ObjectForbidden) as caught:
            store.get("x")
        with pytest.raises(EncdecError):
            store.get("none")
        shown = [repr(store), str(store), store.uri, str(caught.value), repr(caught.value), caplog.text]
        pickled = [pickle.dumps(store), pickle.dumps(caught.value)]
    assert PLANTED not in "".join(shown)
    assert "[redacted]" in str(caught.value)
    assert not any(PLANTED.encode() in data for data in pickled)
