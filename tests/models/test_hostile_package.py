"""Packages written by somebody who means ill, or by a broken disk: an error of ours, soon, or a network."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encdec_batch.errors import CardError, EncdecError, ModelError
from encdec_batch.models.card import parse_card
from encdec_batch.models.network import build_network
from encdec_batch.models.package import Package, check_safetensors, load_package

SHIPPED = Path(__file__).parents[2] / "jobs" / "packages" / "nuclei"
CARD = json.loads((SHIPPED / "card.json").read_bytes())


@cache
def shipped() -> Package:
    return load_package(str(SHIPPED))


def with_arguments(**arguments: object) -> Package:
    data = json.dumps(CARD | {"arguments": CARD["arguments"] | arguments}).encode()
    return replace(shipped(), card=parse_card(data, where="card"))


def safetensors(header: object, body: bytes) -> bytes:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + body


def header_and_body(data: bytes) -> tuple[dict, bytes]:
    (length,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + length]), data[8 + length :]


@pytest.mark.parametrize("name", ["width", "depth", "in_channels", "out_channels"])
@pytest.mark.parametrize("value", [0, -1, 1000, 10**6, 10**12, 10**30, 1.5, 1e300, True, "x", None, [1]])
def test_arguments_that_would_take_all_memory_or_time_are_refused_at_once(name, value):
    with pytest.raises(CardError) as caught:
        build_network(with_arguments(**{name: value}))
    assert caught.value.hint


@pytest.mark.parametrize(
    "arguments", [{"padding": 1000}, {"padding": -1}, {"norm": "x"}, {"self": 1}, {"__class__": 1}]
)
def test_arguments_of_another_kind_are_refused(arguments):
    with pytest.raises(CardError):
        build_network(with_arguments(**arguments))


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "BOOL", "C64", "U8", "I8"])
def test_weights_of_odd_types_are_refused(dtype):
    size = 8 if dtype == "C64" else 1
    header, at = {}, 0
    for name, entry in header_and_body(shipped().weights)[0].items():
        if name != "__metadata__":
            count = 1
            for side in entry["shape"]:
                count *= side
            header[name] = {"dtype": dtype, "shape": entry["shape"], "data_offsets": [at, at + count * size]}
            at += count * size
    with pytest.raises(ModelError):
        build_network(replace(shipped(), weights=safetensors(header, bytes(at))))


@pytest.mark.parametrize("header", [b"[" * 100_000, b'{"a":' * 100_000, b'{"a":' + b"9" * 5000 + b"}", b"\xff", b"[]"])
def test_a_header_that_is_none_is_refused(header):
    with pytest.raises(ModelError):
        check_safetensors(safetensors(header, b""), where="weights")


def test_a_card_with_a_key_twice_is_refused():
    with pytest.raises(CardError, match="stands twice"):
        parse_card(b'{"format_version": 1, "format_version": 1}', where="card")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(data=st.data())
@settings(max_examples=200)
def test_a_changed_card_is_accepted_or_one_error(data):
    card = json.loads(json.dumps(CARD))
    for _ in range(data.draw(st.integers(1, 3))):
        place = card
        while True:
            key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            inner = place[key]
            if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
                break
            place = inner
        place[key] = data.draw(JSON)
    with suppress(CardError):
        parse_card(json.dumps(card).encode(), where="card")


@given(data=st.data())
@settings(max_examples=200)
def test_changed_bytes_of_a_card_are_accepted_or_one_error(data):
    raw = bytearray((SHIPPED / "card.json").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=6))
    with suppress(CardError):
        parse_card(bytes(raw), where="card")


@pytest.mark.integration
@given(data=st.data())
@settings(max_examples=60)
def test_a_changed_package_is_a_network_or_one_error(data):
    """Digests are right: whoever means ill can compute them."""
    which = data.draw(st.sampled_from(["weights", "golden"]))
    header, body = header_and_body(getattr(shipped(), which))
    names = sorted(name for name in header if name != "__metadata__")
    name = data.draw(st.sampled_from(names))
    change = data.draw(st.sampled_from(["dtype", "shape", "data_offsets", "gone", "doubled", "bytes"]))
    sides = st.lists(st.integers(-1, 70) | st.sampled_from([2**31, 2**62, 2**63]), max_size=5)
    if change == "gone":
        del header[name]
    elif change == "doubled":
        header[name + "x"] = header[name]
    elif change == "bytes":
        at = data.draw(st.integers(0, len(body) - 9))
        body = body[:at] + data.draw(st.binary(min_size=8, max_size=8)) + body[at + 8 :]
    else:
        new = st.sampled_from(["F64", "F16", "I64", "U8", "X"]) if change == "dtype" else sides
        header[name] = header[name] | {change: data.draw(new)}
    changed = safetensors(header, body)
    with suppress(EncdecError):
        check_safetensors(changed, where=which)
        build_network(replace(shipped(), **{which: changed}))
