"""From a file to a job: three formats, overrides, and what is said of each fault."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from encdec_batch.errors import SpecError
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.load import absolute, load_spec, parse_spec

LEAST = {
    "source": {"kind": "prefix", "uri": "s3://archive/2024/"},
    "model": {"package": "s3://models/one"},
    "output": {"uri": "s3://masks/2024"},
}
TOML = """
[source]
kind = "prefix"
uri = "s3://archive/2024/"
[model]
package = "s3://models/one"
[output]
uri = "s3://masks/2024"
"""


def written(folder: Path, text: str | bytes, name: str = "job.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def changed(*path: str, value: object) -> dict:
    spec = json.loads(json.dumps(LEAST))
    place = spec
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = value
    return spec


def test_three_formats_say_the_same(tmp_path):
    expected = parse_spec(LEAST)
    assert load_spec(written(tmp_path, yaml.safe_dump(LEAST))) == expected
    assert load_spec(written(tmp_path, json.dumps(LEAST), "job.json")) == expected
    assert load_spec(written(tmp_path, TOML, "job.toml")) == expected
    assert load_spec(written(tmp_path, "\ufeff" + yaml.safe_dump(LEAST), "job.yml")) == expected


def test_a_spec_that_was_loaded_can_be_written_and_loaded_again(tmp_path):
    spec = parse_spec(changed("compute", value={"stream": {"kind": "local", "workers": 3}}))
    again = written(tmp_path, yaml.safe_dump(spec.model_dump(mode="json")), "again.yaml")
    assert load_spec(again) == spec


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("tiling.core=1024", ("tiling", "core"), 1024),
        ("tiling.core='auto'", ("tiling", "core"), "auto"),
        ("compute.precision=float32", ("compute", "precision"), "float32"),
        ("output.files=[{kind: cells}]", ("output", "files"), None),
        ("output.uri=s3://a/b=c", ("output", "uri"), "s3://a/b=c"),
        ("source.storage.endpoint_url=http://127.0.0.1:9000", ("source", "storage"), None),
    ],
)
def test_an_override_is_read_as_yaml(tmp_path, override, path, value):
    spec = load_spec(written(tmp_path, yaml.safe_dump(LEAST)), [override])
    found = spec
    for key in path:
        found = getattr(found, key)
    if value is not None:
        assert found == value
    else:
        assert found


def test_the_last_override_of_a_key_counts(tmp_path):
    path = written(tmp_path, yaml.safe_dump(LEAST))
    assert load_spec(path, ["tiling.core=1", "tiling.core=2"]).tiling.core == 2


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("tiling.core", "--set tiling.core"),
        ("=1", "--set =1"),
        ("", "--set"),
        ("tiling.core=[1", "the value is not YAML"),
        ("tiling.core.deep=1", "tiling.core"),
        ("source.uri.x=1", "uri has no keys"),
        ("tiling.cor=1", "tiling.cor: unknown key, did you mean core"),
        ("tiling.core=big", "tiling.core"),
        ("tiling..core=1", "tiling"),
        (".=1", "unknown key"),
        ("tiling.core=!!python/object/apply:os.getcwd []", "not YAML"),
        ("tiling.core=2024-13-45", "not YAML|tiling.core"),
        ("tiling.core=\x00", "not YAML"),
    ],
)
def test_a_wrong_override_is_the_users_to_correct(tmp_path, override, words):
    spec = changed("tiling", "core", value=512)
    with pytest.raises(SpecError, match=words):
        load_spec(written(tmp_path, yaml.safe_dump(spec)), [override])


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("a: [", "job.yaml", "job.yaml"),
        ("{'a': 1}", "job.json", "job.json"),
        ("a = ", "job.toml", "job.toml"),
        ("- a\n- b\n", "job.yaml", "holds no keys"),
        ("[1, 2]", "job.json", "holds no keys"),
        ("just words", "job.yaml", "holds no keys"),
        ("", "job.yaml", "holds no keys"),
        ("{}", "job.yaml", "source"),
        (b"\xff\xfe\xff", "job.yaml", "not text|cannot read"),
        (b"\x89PNG\r\n\x1a\n\0\0", "job.yaml", "not text|cannot read"),
        ("a: b\0c", "job.yaml", "job.yaml"),
        ("!!python/object/apply:os.getcwd []", "job.yaml", "job.yaml"),
        ("a: &x [*x]", "job.yaml", "unknown key|a"),
        ("1: 2", "job.yaml", "1|keys"),
        ("[" * 20000, "job.yaml", "deep|job.yaml"),
        ("[" * 200000, "job.json", "deep|job.json"),
        ("source: 2024-13-45", "job.yaml", "job.yaml"),
        ("? [a, b]\n: c\n", "job.yaml", "job.yaml"),
    ],
)
def test_a_file_that_is_no_spec_is_one_clear_error(tmp_path, text, name, words):
    with pytest.raises(SpecError, match=words) as caught:
        load_spec(written(tmp_path, text, name))
    assert "Traceback" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(SpecError, match="cannot read the spec"):
            load_spec(path)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (changed("sources", value={}), "sources: unknown key, did you mean source"),
        (changed("tiling", "coer", value=1), "tiling.coer: unknown key, did you mean core"),
        (changed("source", "path", value="x"), "path: unknown key"),
        (changed("source", "kind", value="folder"), "source"),
        (changed("source", value={"kind": "list", "uris": []}), "uris"),
        (changed("source", "bands", value=[0]), "bands"),
        (changed("tiling", "core", value=0), "tiling.core"),
        (changed("tiling", "block", value=1000), "tiling.block"),
        (changed("tiling", "budget_gib", value=0), "budget_gib"),
        (changed("tiling", "budget_gib", value=float("inf")), "budget_gib"),
        (changed("tiling", "budget_gib", value=float("nan")), "budget_gib"),
        (changed("output", "files", value=[]), "files"),
        (changed("output", "files", value=[{"kind": "cog"}, {"kind": "cog"}]), "cog is listed twice"),
        (changed("output", "files", value=[{"kind": "gif"}]), "files"),
        (changed("compute", "stream", value={"kind": "ray", "max_workers": 1, "min_workers": 2}), "min_workers 2"),
        (changed("compute", "batch", value="many"), "batch"),
        (changed("schema_version", value=2), "schema_version: should be 1, which this version reads; update encdec-"),
        (changed("output", "wait", value="soon"), "output.wait: should be a time with its unit, as 2h, 30m or 90s"),
        (changed("output", "wait", value=90), "output.wait: should be a time with its unit"),
        (changed("source", "uri", value=None), "uri"),
    ],
)
def test_each_fault_is_named_by_its_key(spec, words):
    with pytest.raises(SpecError, match=words):
        parse_spec(spec, name="job.yaml")


def test_every_fault_has_a_line():
    spec = changed("tiling", "coer", value=1) | {"modle": {}}
    del spec["output"]
    with pytest.raises(SpecError) as caught:
        parse_spec(spec)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert any("modle: unknown key, did you mean model?" in line for line in lines)
    assert any(line.strip().startswith("output:") for line in lines)


def test_a_wrong_value_is_not_repeated():
    """It may be a secret in the wrong place."""
    for spec in (changed("output", "secret", value="hunter2"), changed("tiling", "core", value="hunter2")):
        with pytest.raises(SpecError) as caught:
            parse_spec(spec)
        assert "hunter2" not in str(caught.value)


def test_local_paths_are_of_the_files_folder(tmp_path):
    spec = {
        "source": {"kind": "list", "uris": ["scenes/a.tif", "/abs/b.tif", "s3://x/c.tif"]},
        "model": {"package": "../package"},
        "output": {"uri": "out"},
    }
    (tmp_path / "jobs").mkdir()
    loaded = load_spec(written(tmp_path / "jobs", yaml.safe_dump(spec)))
    assert loaded.source.uris == (f"{tmp_path}/jobs/scenes/a.tif", "/abs/b.tif", "s3://x/c.tif")
    assert loaded.model.package == f"{tmp_path}/package"
    assert loaded.output.uri == f"{tmp_path}/jobs/out"


@pytest.mark.parametrize("uri", ["a\0b", "~nobody-of-this-name/x"])
def test_a_path_that_cannot_be(tmp_path, uri):
    spec = LEAST | {"model": {"package": uri}}
    with pytest.raises(SpecError, match="is not a path"):
        load_spec(written(tmp_path, json.dumps(spec), "job.json"))


def test_a_job_is_immutable_and_means_the_same_in_every_process():
    spec = parse_spec(LEAST)
    with pytest.raises(ValueError, match="frozen"):
        spec.tiling.core = 5
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(("said", "meant"), [("off", "off"), ("'off'", "off"), ("all", "all"), ("sample", "sample")])
def test_off_is_no_boolean_here(tmp_path, said, meant):
    """YAML 1.1 reads it as one."""
    text = yaml.safe_dump(LEAST).replace("output:\n", f"output:\n  certify: {said}\n")
    assert load_spec(written(tmp_path, text)).output.certify == meant
    assert load_spec(written(tmp_path, yaml.safe_dump(LEAST)), [f"output.certify={said}"]).output.certify == meant


def test_a_prefix_that_goes_through_a_link_is_the_one_that_rows_go_through(tmp_path):
    (tmp_path / "far/set").mkdir(parents=True)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "far")
    assert absolute("../data/set/", tmp_path / "jobs") == f"{tmp_path}/data/set/"
