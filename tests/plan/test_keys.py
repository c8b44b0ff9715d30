from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields, replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.plan.keys import PartKeyFields, SceneKeyFields, canonical_json, part_key, scene_key

SCENE = SceneKeyFields(
    scene_uri="s3://archive/a.tif",
    etag="abc",
    package_digest="0" * 64,
    pixel_options={"core": "auto", "bands": [1, 2, 3]},
    format_version=1,
)
PART = PartKeyFields(
    block_side=2048,
    levels=2,
    core=512,
    tile=(704, 704),
    halo=96,
    scale=1,
    products=("mask",),
    cells=True,
    precision="bf16",
    batch=1,
    engine="eager",
    engine_version="torch 2.13.0",
    device_kind="cpu: GenuineIntel amx",
    codec="deflate",
    codec_level=6,
    part_format=1,
)
OTHER = {"str": "other", "int": 7, "bool": False, "tuple[int, int]": (1, 2), "tuple[str, ...]": ("mask", "entropy")}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_canonical_json_is_json_and_a_function_of_the_value(value):
    data = canonical_json(value)
    assert json.loads(data) == value
    assert canonical_json(json.loads(data)) == data


@given(st.dictionaries(st.text(), json_values, min_size=2))
def test_the_order_of_keys_and_the_kind_of_mapping_do_not_count(value):
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(MappingProxyType(value))


@pytest.mark.parametrize("value", [{1: 2}, {None: 1}, {"a": {1, 2}}, b"bytes", object(), {"a": [1, {2: 3}]}])
def test_what_json_has_no_word_for_is_refused(value):
    with pytest.raises(TypeError):
        canonical_json(value)


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": -float("inf")}])
def test_numbers_that_json_does_not_have_are_refused(value):
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(value)


def test_a_name_that_is_not_utf8_has_a_key_too():
    name = b"a\xff.tif".decode("utf-8", "surrogateescape")
    assert scene_key(replace(SCENE, scene_uri=name)) != scene_key(SCENE)


@pytest.mark.parametrize("field", [field.name for field in fields(SceneKeyFields)])
def test_every_field_counts_in_the_scene_key(field):
    change = {"pixel_options": {"core": 512}, "format_version": 2}.get(field, "other")
    assert scene_key(replace(SCENE, **{field: change})) != scene_key(SCENE)


@pytest.mark.parametrize("field", fields(PartKeyFields), ids=lambda field: field.name)
def test_every_field_counts_in_the_part_key(field):
    key = scene_key(SCENE)
    assert part_key(key, replace(PART, **{field.name: OTHER[field.type]})) != part_key(key, PART)
    assert part_key(key[::-1], PART) != part_key(key, PART)


def test_keys_are_the_same_in_another_process_whatever_its_hash_seed():
    program = (
        "from encdec_batch.plan.keys import SceneKeyFields, scene_key;"
        "print(scene_key(SceneKeyFields(scene_uri='u', etag='e', package_digest='p',"
        " pixel_options={'b': 1, 'a': {'z': 0, 'y': [1.5]}}, format_version=1)))"
    )
    command = [sys.executable, "-c", program]
    keys = {
        subprocess.run(command, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout for seed in "12"
    }
    fields_here = SceneKeyFields(
        scene_uri="u",
        etag="e",
        package_digest="p",
        pixel_options={"a": {"y": [1.5], "z": 0}, "b": 1},
        format_version=1,
    )
    assert keys == {scene_key(fields_here).encode() + b"\n"}


def test_the_keys_of_the_format_do_not_move():
    # These stand in stores: a change here makes every committed scene be done again.
    assert scene_key(SCENE) == "a1964bfec37e930426741eef913be88270021ba3796ed4f6d1d39333624f3d77"
    assert part_key(scene_key(SCENE), PART) == "24245d6f5eb30dde1a55a1736cac568942b6a63a6842a8bf3a729e02951b5bcb"
