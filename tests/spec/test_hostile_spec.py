"""Specs that would take all memory or time, or say two things at once."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.errors import SpecError
from encdec_batch.spec.load import load_spec, parse_spec, parse_text
from encdec_batch.spec.text import MOST_BYTES, parse_json, parse_yaml

LEAST = "source: {kind: prefix, uri: /a}\nmodel: {package: /p}\noutput: {uri: /o}\n"
LETTERS = string.ascii_lowercase
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{LETTERS[number]}'] * 10)}]\n" for number, name in enumerate(LETTERS[1:12])
)
MERGES = "a: &a {k: 1, l: 1, m: 1, n: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{','.join([f'*{LETTERS[number]}'] * 10)}]}}\n" for number, name in enumerate(LETTERS[1:20])
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        LAUGHS + LEAST + "report: *l\n",
        LAUGHS + LEAST.replace("/a}", "/a, bands: *l}"),
        LAUGHS + "source: *l\nmodel: *l\noutput: *l\n",
        MERGES,
        LEAST + MERGES,
        "&a [*a]",
        LEAST.replace("/a}", "/a, bands: &b [*b]}"),
        "[" * 5000,
        "- " * 5000,
        LEAST + "limits: {max_tile_mb: " + "9" * 5000 + "}\n",
        LEAST + "limits: {max_tile_mb: " + ":".join(["59"] * 20000) + "}\n",
        LEAST + "limits: {max_tile_mb: 1.0e+308}\n",
        LEAST + "limits: {max_tile_mb: .nan}\n",
        LEAST + "limits: {decoder_gib: .inf}\n",
        LEAST + "tiling: {core: 99999999999999999999}\n",
        LEAST + "tiling: {halo: " + "1" * 4000 + "}\n",
        LEAST + "tiling: {budget_gib: 1.0e+300}\n",
        LEAST + "report: !!python/object/apply:os.system [exit]\n",
        LEAST + 'report: "\\0"\n' + "\0",
        "? [a, b]\n: 1\n",
        LEAST + "".join(f"k{number}: 1\n" for number in range(2000)),
        "#" * (MOST_BYTES + 1),
    ],
    ids=range(23),
)
def test_a_hostile_yaml_is_one_short_error(tmp_path, text):
    path = tmp_path / "job.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert len(str(caught.value)) < 10_000


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("job.yaml", LEAST + "output: {uri: /other}\n"),
        ("job.yaml", LEAST.replace("uri: /o", "uri: /o, uri: /other")),
        ("job.json", '{"source": {"kind": "prefix", "uri": "/a", "uri": "/b"}, "output": {"uri": "/o"}}'),
        ("job.toml", '[output]\nuri = "/a"\nuri = "/b"\n'),
    ],
)
def test_what_stands_twice_is_not_chosen_from(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(SpecError, match=r"twice|overwrite"):
        load_spec(tmp_path / name)


def test_merged_keys_may_be_overridden_as_yaml_says():
    text = "a: &a {k: 1, l: 2}\nb: &b {<<: *a, k: 3}\nc: {<<: [*b, *a], l: 4}\n"
    assert parse_yaml(text) == yaml.safe_load(text)
    assert parse_yaml(text)["c"] == {"k": 3, "l": 4}


def test_a_pipe_or_device_ends():
    with pytest.raises(SpecError, match="larger than"):
        load_spec(Path("/dev/zero"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**60), 10**60) | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
KEYS = [
    "source",
    "model",
    "output",
    "tiling",
    "compute",
    "limits",
    "report",
    "kind",
    "uri",
    "bands",
    "schemes",
    "hosts",
]
KEYS += ["prefixes", "files", "stream", "core", "max_tile_mb", "storage", "package", "uris", "previews"]
SPECS = st.recursive(
    VALUES | st.sampled_from(["prefix", "table", "list", "cog", "local", "s3://a/b", "/x"]),
    lambda inner: st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=20,
)


@given(SPECS)
def test_any_values_are_a_job_or_one_error(values):
    try:
        parse_spec(values)
    except SpecError:
        return


@given(st.data())
def test_a_changed_spec_is_a_job_or_one_error(data):
    raw = bytearray((Path(__file__).parents[2] / "jobs" / "archive.yaml").read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 60))] = data.draw(
            st.binary(max_size=8) | st.sampled_from([b"&a ", b"*a", b"<<: ", b"\t", b"- [", b"!!"])
        )
    try:
        parse_text(raw.decode(errors="surrogateescape"), name="spec")
    except SpecError:
        return


@given(st.text(max_size=60) | VALUES.map(json.dumps))
def test_any_text_is_values_or_a_value_error(text):
    for parse in (parse_yaml, parse_json):
        try:
            parse(text)
        except ValueError:
            continue
