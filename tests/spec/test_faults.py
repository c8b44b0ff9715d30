"""What a user reads who wrote a spec that is none."""

from __future__ import annotations

import pytest

from encdec_batch.errors import SpecError
from encdec_batch.spec.load import parse_spec

GOOD = {"source": {"kind": "prefix", "uri": "x"}, "model": {"package": "p"}, "output": {"uri": "out"}}


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        ({"compute": {"stream": {"kind": "local", "workers": -3}}}, ["compute.stream.workers: should be greater than"]),
        ({"compute": {"stream": "ray"}}, ["compute.stream: should have keys of its own"]),
        ({"tiling": {"core": "big"}}, ["tiling.core: should be a valid integer, or 'auto'"]),
        ({"tiling": {"cor": 3}}, ["tiling.cor: unknown key, did you mean core?"]),
        (
            {"output": {"uri": "out", "files": [{"kind": "tif"}]}},
            ["output.files.0: kind is 'tif', and should be one of"],
        ),
        ({"output": {"uri": "out", "files": ["cog"]}}, ["output.files.0: should have keys of its own"]),
        ({"output": {"files": []}}, ["output.uri: this key is missing", "output.files: should have at least 1"]),
        ({"source": {"uri": "x"}}, ["source: has no kind"]),
        ({"source": {"kind": "prefix", "uri": "x", "bands": [1, 0]}}, ["source.bands.1: should be greater than"]),
        ({"limits": 3}, ["limits: should have keys of its own"]),
    ],
)
def test_a_line_for_each_place_in_the_words_of_the_spec(changed, lines):
    with pytest.raises(SpecError) as raised:
        parse_spec(GOOD | changed)
    said = [line.strip() for line in raised.value.message.splitlines()[1:]]
    assert len(said) == len(lines), said
    for line, beginning in zip(said, lines, strict=True):
        assert line.startswith(beginning)


def test_a_key_that_stands_elsewhere_is_not_advised_again():
    with pytest.raises(SpecError, match=r"source\.uris: unknown key") as raised:
        parse_spec(GOOD | {"source": {"kind": "prefix", "uri": "x", "uris": ["y"]}})
    assert "did you mean uris" not in raised.value.message


def test_many_faults_are_cut():
    with pytest.raises(SpecError, match="and 10 more"):
        parse_spec(GOOD | {f"k{n}": n for n in range(30)})
