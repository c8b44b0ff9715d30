"""A spec as the cluster gets it: what only this machine has is said, or sent along; what was not said stays unsaid."""

from __future__ import annotations

import pytest
import yaml
from e2e.made import classes_package

from encdec_batch.errors import EncdecError, SpecError
from encdec_batch.spec.kind import kind_of
from encdec_batch.spec.load import load_spec, parse_spec
from encdec_batch.spec.load_train import load_train_spec
from encdec_batch.submit.parcel import make_parcel
from encdec_batch.submit.spec import load_for_cluster

ARCHIVE = {
    "source": {"kind": "prefix", "uri": "s3://archive/scenes/", "storage": {"key": "env:ARCHIVE_KEY"}},
    "model": {"package": "s3://models/net@production"},
    "output": {"uri": "s3://archive/masks"},
    "compute": {"stream": {"kind": "ray", "readers": 4}},
}
TRAINING = {
    "data": {
        "train": {"kind": "folders", "images": "s3://a/images", "targets": "s3://a/masks"},
        "split": {"kind": "none"},
        "target": {
            "kind": "mask",
            "classes": [{"id": 0, "name": "no", "color": [0, 0, 0]}, {"id": 1, "name": "yes", "color": [9, 9, 9]}],
        },
    },
    "network": {"architecture": "unet"},
    "learn": {"losses": [{"kind": "dice"}], "steps": 10},
    "card": {"name": "net", "task": "segmentation", "data": "ours", "licence": "ours"},
    "output": {"uri": "s3://a/training", "package": "s3://a/package"},
}


@pytest.fixture
def write(tmp_path):
    def write(spec, **changes):
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump({**spec, **changes}))
        return path

    return write


def test_an_archives_spec_is_for_the_clusters_own_ray_and_otherwise_the_same(write):
    made = load_for_cluster(write(ARCHIVE))
    stream = {"kind": "ray", "readers": 4, "address": "auto"}
    assert yaml.safe_load(made.text) == ARCHIVE | {"compute": {"stream": stream}}
    assert (made.kind, made.output_uri, made.package) == ("archive", "s3://archive/masks", None)


def test_where_no_stream_is_said_it_is_ray(write):
    spec = {key: value for key, value in ARCHIVE.items() if key != "compute"}
    assert yaml.safe_load(load_for_cluster(write(spec)).text)["compute"] == {
        "stream": {"kind": "ray", "address": "auto"}
    }


def test_a_trainings_spec_means_the_same_there(write, tmp_path):
    made = load_for_cluster(write(TRAINING))
    sent = tmp_path / "sent.yaml"
    sent.write_bytes(made.text)
    here, there = load_train_spec(tmp_path / "job.yaml"), load_train_spec(sent)
    assert there.compute.stream.address == "auto"
    assert there.model_copy(update={"compute": here.compute}) == here
    assert (made.kind, made.output_uri) == ("training", "s3://a/training")


def test_a_package_of_this_machine_is_sent_along(write):
    made = load_for_cluster(write(ARCHIVE, model={"package": classes_package()}))
    spec = parse_spec(yaml.safe_load(made.text))
    assert spec.model.package == "model"
    assert made.package
    assert set(made.package.files) == {"card.json", "weights.safetensors", "golden.safetensors"}


@pytest.mark.parametrize(
    ("spec", "changes", "said"),
    [
        (ARCHIVE, {"source": {"kind": "prefix", "uri": "scenes"}}, "source.uri: {folder}/scenes"),
        (ARCHIVE, {"source": {"kind": "list", "uris": ["s3://a/1.tif", "/data/2.tif"]}}, "source.uris: /data/2.tif"),
        (ARCHIVE, {"output": {"uri": "../out"}}, "output.uri: {folder.parent}/out"),
        (ARCHIVE, {"model": {"package": "nowhere"}}, "no model package here"),
        (ARCHIVE, {"compute": {"stream": {"kind": "local"}}}, "compute.stream.kind is local"),
        (ARCHIVE, {"compute": {"stream": {"kind": "ray", "address": "local"}}}, "compute.stream.address is local"),
        (ARCHIVE, {"compute": {"stream": {"kind": "ray", "address": "head:6379"}}}, "is head:6379, and a job runs"),
        (ARCHIVE, {"compute": {"stream": {"kind": "ray", "object_store_gib": 1}}}, "a cluster's store"),
        (TRAINING, {"output": {"uri": "s3://a/t", "package": "p", "registry": "r"}}, "output.registry: {folder}/r"),
        (TRAINING, {"network": {"architecture": "unet", "parent": "old"}}, "network.parent: {folder}/old"),
        (TRAINING, {"output": TRAINING["output"] | {"mlflow": "mlruns"}}, "output.mlflow: mlruns"),
        (
            TRAINING,
            {"output": TRAINING["output"] | {"mlflow": "sqlite:///runs.db"}},
            "output.mlflow: sqlite:///runs.db",
        ),
        (TRAINING, ARCHIVE, "neither an archive's spec"),
        ({"hello": 1}, {}, "neither an archive's spec"),
    ],
)
def test_what_a_cluster_cannot_do_is_said_before_anything_is_sent(write, tmp_path, spec, changes, said):
    with pytest.raises(EncdecError) as raised:
        load_for_cluster(write(spec, **changes))
    assert said.format(folder=tmp_path) in str(raised.value)


@pytest.mark.parametrize(
    ("spec", "changes"),
    [
        (ARCHIVE, {"source": {"kind": "prefix", "uri": "s3://a", "storage": {"secret": "hunter2"}}}),
        (ARCHIVE, {"model": {"package": "s3://m/net", "storage": {"password": "hunter2"}}}),
        (ARCHIVE, {"output": {"uri": "https://me:hunter2@store/out"}}),
        (TRAINING, {"output": TRAINING["output"] | {"mlflow": "https://me:hunter2@mlflow"}}),
        (TRAINING, {"output": TRAINING["output"] | {"mlflow": "postgresql://me:hunter2@mlflow/runs"}}),
        (TRAINING, {"output": TRAINING["output"] | {"registry_storage": {"token": "hunter2"}}}),
    ],
)
def test_a_secret_in_a_spec_is_not_sent(write, spec, changes):
    with pytest.raises(SpecError) as raised:
        load_for_cluster(write(spec, **changes))
    assert "hunter2" not in str(raised.value)


def test_a_path_that_every_node_has_is_said_as_a_uri(write):
    source = {"kind": "prefix", "uri": "file:///shared/scenes"}
    made = load_for_cluster(write(ARCHIVE, source=source, output={"uri": "file:///shared/masks"}))
    assert parse_spec(yaml.safe_load(made.text)).source.uri == "file:///shared/scenes"


def test_arguments_of_a_network_are_no_paths(write):
    network = {"architecture": "unet", "arguments": {"package": "x"}}
    with pytest.raises(SpecError, match=r"output\.package"):
        load_for_cluster(write(TRAINING, network=network, output={"uri": "s3://a/t", "package": "here"}))
    load_for_cluster(write(TRAINING, network=network))


KEY = "a key for tests, long enough"
MEDICAL = {"kind": "list", "uris": ["s3://hospital/Doernbecher_Janetta.nii.gz"]}


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("ENCDEC_PRIVACY_KEY", KEY)


@pytest.fixture
def no_key(monkeypatch):
    monkeypatch.delenv("ENCDEC_PRIVACY_KEY", raising=False)


def test_a_spec_with_private_names_is_sent_encrypted_and_read_there(write, key, tmp_path):
    made = load_for_cluster(write(ARCHIVE, source=MEDICAL))
    parcel, again = (make_parcel(made, wheel="none") for _ in range(2))
    [(name, data)] = parcel.files.items()
    assert (name, parcel.entrypoint) == ("spec.yaml.sealed", "python -m encdec_batch.driver spec.yaml.sealed")
    assert parcel.digest == again.digest, "so that a job of one id is one job"
    said = repr((parcel.metadata, parcel.entrypoint, parcel.environment, parcel.files, parcel.left_out))
    assert "hospital" not in said
    assert "Doernbecher" not in said
    (tmp_path / name).write_bytes(data)
    assert load_spec(tmp_path / name).source.uris == ("s3://hospital/Doernbecher_Janetta.nii.gz",)
    assert kind_of(tmp_path / name) == "archive"


def test_by_another_key_it_is_not_read_and_its_digest_tells_nothing(write, key, tmp_path, monkeypatch):
    made = load_for_cluster(write(TRAINING, privacy="on"))
    parcel = make_parcel(made, wheel="none")
    (tmp_path / "spec.yaml.sealed").write_bytes(parcel.files["spec.yaml.sealed"])
    monkeypatch.setenv("ENCDEC_PRIVACY_KEY", KEY[::-1])
    assert make_parcel(made, wheel="none").digest != parcel.digest
    with pytest.raises(SpecError, match=r"encrypted with another key.*ENCDEC_PRIVACY_KEY"):
        load_train_spec(tmp_path / "spec.yaml.sealed")
    monkeypatch.delenv("ENCDEC_PRIVACY_KEY")
    with pytest.raises(SpecError, match=r"ENCDEC_PRIVACY_KEY holds no key.*on every node"):
        load_train_spec(tmp_path / "spec.yaml.sealed")
    (tmp_path / "spec.yaml.sealed").write_bytes(b"source: {}")
    with pytest.raises(SpecError, match="is no encrypted spec"):
        load_train_spec(tmp_path / "spec.yaml.sealed")


@pytest.mark.parametrize(
    "changes",
    [
        {"privacy": "on"},
        {"source": MEDICAL},
        {"source": {"kind": "glob", "uri": "s3://a", "pattern": "**/*.dcm"}},
        {"source": {"kind": "prefix", "uri": "s3://a", "suffixes": [".svs"]}},
    ],
)
def test_what_is_private_and_has_no_key_is_not_sent(write, no_key, changes):
    with pytest.raises(SpecError, match=r"ENCDEC_PRIVACY_KEY holds no key.*nodes need the same"):
        load_for_cluster(write(ARCHIVE, **changes))


@pytest.mark.parametrize("kind", ["dicom_seg", "dicom_image"])
def test_files_of_dicom_call_a_job_private(write, no_key, kind):
    with pytest.raises(SpecError, match="holds no key"):
        load_for_cluster(write(ARCHIVE, output={"uri": "s3://b/out", "files": [{"kind": "cog"}, {"kind": kind}]}))


@pytest.mark.parametrize("privacy", ["auto", "off"])
def test_what_nobody_calls_private_is_sent_as_it_is(write, no_key, privacy):
    assert load_for_cluster(write(ARCHIVE, privacy=privacy)).key == ""


def test_where_private_things_are_kept_is_to_be_reached_from_a_cluster(write, key):
    with pytest.raises(SpecError, match=r"privacy\.map"):
        load_for_cluster(write(ARCHIVE, privacy={"map": "vault"}))
