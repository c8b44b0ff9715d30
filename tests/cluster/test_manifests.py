"""Manifests for Kubernetes: against the real schemas, closed; against what no schema says; and against each other."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, get_args

import pytest
import yaml
from cluster.manifests import CLUSTER, KUBERNETES, ROOT, Doc, all_documents, one, pods, typos
from cluster.rules import faults
from pydantic import BaseModel

from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.load import load_spec
from encdec_batch.spec.load_train import load_train_spec
from encdec_batch.spec.nightly import NightlySpec

ALL = all_documents()
KUBERNETES_SAYS = "batch.kubernetes.io/"


@pytest.mark.parametrize("doc", [doc for _, doc in ALL], ids=[name for name, _ in ALL])
def test_a_manifest_is_what_its_schema_and_the_rules_ask_for(doc):
    assert typos(doc) == []
    assert faults(doc) == []


def test_every_kind_that_the_night_and_the_cluster_need_is_there():
    kinds = {doc["kind"] for _, doc in ALL}
    assert kinds >= {"RayCluster", "RayJob", "CronJob", "ServiceAccount", "Role", "NetworkPolicy", "Namespace"}


def changed(doc: Doc, path: str, value: Any) -> Doc:
    """A copy with one value replaced, added, or taken out where it is None; numbers in a path are places in a list."""
    made = deepcopy(doc)
    *way, last = [int(step) if step.isdecimal() else step for step in path.split("/")]
    at: Any = made
    for step in way:
        at = at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return made


HEAD, GPU = "spec/headGroupSpec", "spec/workerGroupSpecs/1"
CRON_POD = "spec/jobTemplate/spec/template/spec"


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        ("RayCluster", "encdec", "spec/rayVerison"),
        ("RayCluster", "encdec", "spec/authOptions/mod"),
        ("RayCluster", "encdec", f"{HEAD}/template/spec/containers/0/livenesProbe"),
        ("RayCluster", "encdec", f"{GPU}/template/spec/terminationGracePeriodSecond"),
        ("RayJob", "archive", "spec/shutdownAfterJobFinish"),
        ("RayJob", "retrain", "spec/rayClusterSpec/workerGroupSpecs/0/minReplica"),
        ("CronJob", "retrain", "spec/concurencyPolicy"),
        ("CronJob", "retrain", f"{CRON_POD}/containers/0/resources/limit"),
        ("NetworkPolicy", "ray-nodes", "spec/ingres"),
        ("NetworkPolicy", "ray-nodes", "spec/ingress/0/from/0/podSelectors"),
        ("ServiceAccount", "encdec-batch", "automountServiceAccountTokens"),
        ("Role", "encdec-batch-night", "rules/0/verb"),
        ("RoleBinding", "encdec-batch-night", "roleRef/names"),
        ("PodDisruptionBudget", "encdec-head", "spec/minAvailables"),
        ("Namespace", "encdec-batch", "metadata/label"),
    ],
)
def test_a_typo_is_found(kind, name, path):
    said = typos(changed(one(kind, name), path, "x"))
    assert any(path.rpartition("/")[2] in fault for fault in said), said


@pytest.mark.parametrize(
    ("kind", "name", "path", "value", "fault"),
    [
        ("RayCluster", "encdec", "spec/authOptions", None, "authOptions"),
        ("RayCluster", "encdec", "spec/rayVersion", "2.51.0", "rayVersion"),
        ("RayCluster", "encdec", f"{HEAD}/rayStartParams/num-cpus", None, "num-cpus"),
        ("RayCluster", "encdec", f"{HEAD}/rayStartParams/dashboard-host", None, "dashboard-host"),
        ("RayCluster", "encdec", f"{HEAD}/template/spec/restartPolicy", "Always", "restartPolicy"),
        ("RayCluster", "encdec", f"{HEAD}/template/spec/containers/0/env", [], "RAY_AUTH_MODE"),
        ("RayCluster", "encdec", f"{GPU}/rayStartParams/labels", "a=b", "labels"),
        ("RayCluster", "encdec", f"{GPU}/replicas", 9, "replicas"),
        ("RayCluster", "encdec", "spec/autoscalerOptions/version", "v1", "idleTimeoutSeconds"),
        ("RayCluster", "encdec", f"{GPU}/template/spec/containers/0/lifecycle", None, "drain"),
        ("RayCluster", "encdec", f"{GPU}/template/spec/terminationGracePeriodSeconds", 60, "longer"),
        ("RayCluster", "encdec", f"{GPU}/template/spec/containers/0/readinessProbe", None, "readinessProbe"),
        ("RayCluster", "encdec", f"{GPU}/template/spec/containers/0/resources/requests/cpu", "1", "hands out"),
        ("RayCluster", "encdec", f"{GPU}/template/spec/containers/0/securityContext", None, "securityContext"),
        ("RayCluster", "encdec", f"{GPU}/template/spec/securityContext/runAsNonRoot", False, "securityContext"),
        ("RayCluster", "encdec", f"{GPU}/template/spec/hostNetwork", True, "namespaces"),
        ("RayCluster", "encdec", f"{GPU}/template/spec/volumes", [], "/tmp"),
        ("CronJob", "retrain", f"{CRON_POD}/containers/0/securityContext/readOnlyRootFilesystem", False, "readOnly"),
        ("RayCluster", "encdec", f"{GPU}/template/spec/volumes", [{"name": "x", "hostPath": {}}], "volume x"),
        ("RayJob", "archive", "spec/clusterSelector", {"ray.io/cluster": "encdec"}, "exactly one"),
        ("RayJob", "archive", "spec/shutdownAfterJobFinishes", False, "ttlSecondsAfterFinished needs"),
        ("RayJob", "retrain", "spec/shutdownAfterJobFinishes", False, "suspend needs"),
        ("RayJob", "archive", "spec/deletionStrategy", {}, "excludes"),
        ("RayJob", "archive", "spec/activeDeadlineSeconds", None, "activeDeadlineSeconds"),
        ("RayJob", "archive", "spec/submissionMode", "SidecarMode", "SidecarMode"),
        ("RayJob", "archive", "spec/submissionMode", "InteractiveMode", "backoffLimit"),
        ("RayJob", "archive", "spec/entrypoint", "a || b", "entrypoint"),
        ("RayJob", "archive", "spec/runtimeEnvYAML", "env_vars: {KEY: x}", "shown"),
        ("CronJob", "retrain", "spec/concurrencyPolicy", "Allow", "concurrencyPolicy"),
        ("CronJob", "retrain", "spec/schedule", "30 25 * * *", "25"),
        ("CronJob", "retrain", "spec/schedule", "30 1 * *", "4 fields"),
        ("CronJob", "retrain", "spec/timeZone", "Europe/Berlinn", "timeZone"),
        ("CronJob", "retrain", "spec/jobTemplate/spec/activeDeadlineSeconds", 90_000, "night"),
        ("CronJob", "retrain", f"{CRON_POD}/restartPolicy", "OnFailure", "restartPolicy"),
        ("CronJob", "retrain", f"{CRON_POD}/containers/0/name", "other", "not there"),
    ],
)
def test_what_no_schema_sees_is_found(kind, name, path, value, fault):
    said = faults(changed(one(kind, name), path, value))
    assert any(fault in one_fault for one_fault in said), said


def test_the_three_clusters_are_one():
    """But for the dashboard, which operator and submitter talk to, and for what the driver reads."""

    def comparable(spec: Doc) -> Doc:
        made = deepcopy(spec)
        head = made["headGroupSpec"]
        dashboards.append(head["rayStartParams"].pop("dashboard-host"))
        head["template"]["spec"].pop("volumes", None)
        container = head["template"]["spec"]["containers"][0]
        container.pop("volumeMounts", None)
        container["env"] = [env for env in container["env"] if env["name"] != "ENCDEC_NIGHTLY_SPEC"]
        return made

    dashboards: list[str] = []
    standing = comparable(one("RayCluster", "encdec")["spec"])
    assert comparable(one("RayJob", "archive")["spec"]["rayClusterSpec"]) == standing
    assert comparable(one("RayJob", "retrain")["spec"]["rayClusterSpec"]) == standing
    assert dashboards == ["127.0.0.1", "0.0.0.0", "0.0.0.0"]


def test_a_dashboard_that_others_reach_is_guarded():
    nodes = one("NetworkPolicy", "ray-nodes")["spec"]
    assert one("NetworkPolicy", "nothing")["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    reach = [rule for rule in nodes["ingress"] if {"protocol": "TCP", "port": 8265} in rule.get("ports", [])]
    (submitter, operator) = reach[0]["from"]
    assert len(reach) == 1
    for name in ("archive", "retrain"):
        labels = dict(pods(one("RayJob", name)))["submitter"]["metadata"]["labels"]
        assert submitter["podSelector"]["matchLabels"] == labels
    assert operator["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "kuberay-operator"}


def test_the_night_is_waited_for_longer_than_it_may_last():
    cron, night = one("CronJob", "retrain")["spec"]["jobTemplate"]["spec"], one("RayJob", "retrain")["spec"]
    (container,) = cron["template"]["spec"]["containers"]
    assert night["suspend"] is True
    assert container["command"][-1] == "retrain"
    assert night["activeDeadlineSeconds"] < cron["activeDeadlineSeconds"]
    assert {env["valueFrom"]["fieldRef"]["fieldPath"] for env in container["env"]} == {
        f"metadata.labels['{label}']" for label in (f"{KUBERNETES_SAYS}job-name", f"{KUBERNETES_SAYS}controller-uid")
    }
    (rule,) = one("Role", "encdec-batch-night")["rules"]
    assert rule == {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create", "get"]}


def test_the_specs_fit_the_clusters():
    stream = load_spec(CLUSTER / "specs/archive.yaml", []).compute.stream
    training = load_train_spec(CLUSTER / "specs/train.yaml", []).compute.stream
    aws = yaml.safe_load((CLUSTER / "aws/cluster.yaml").read_text())["available_node_types"]
    gpu = one("RayCluster", "encdec")["spec"]["workerGroupSpecs"][1]
    container = gpu["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert (stream.address, training.address) == ("auto", "auto")
    assert isinstance(training.workers, tuple), "elastic"
    for most, cpus in (
        (gpu["maxReplicas"], int(container["cpu"])),
        (aws["gpu"]["max_workers"], aws["gpu"]["resources"]["CPU"]),
    ):
        assert stream.max_workers * stream.gpus_per_worker <= most
        assert training.workers[1] * training.gpus_per_worker <= most
        assert max(stream.cpus_per_worker, training.cpus_per_worker) <= cpus


def test_the_version_of_ray_is_the_one_that_is_tested():
    pinned = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("ray==")]
    versions = {doc["spec"].get("rayClusterSpec", doc["spec"])["rayVersion"] for _, doc in ALL if "Ray" in doc["kind"]}
    assert [f"ray=={version}" for version in versions] == pinned


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
@pytest.mark.parametrize("name", ["platform", "cluster", "archive", "night"])
def test_kustomize_puts_namespace_and_images_everywhere(name, tmp_path):
    def rendered(folder):
        return subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)

    made = rendered(KUBERNETES / name)
    assert made.returncode == 0, made.stderr
    docs = list(yaml.safe_load_all(made.stdout))
    assert docs
    for doc in docs:
        assert typos(doc) == []
        assert doc["metadata"].get("namespace", doc["metadata"]["name"]) == "encdec-batch"
        images = {container["image"] for _, pod in pods(doc) for container in pod["spec"]["containers"]}
        assert images <= {"registry.example.com/encdec-batch:0.1.0-cpu", "registry.example.com/encdec-batch:0.1.0-cuda"}
    shutil.copytree(KUBERNETES, tmp_path / "k")
    broken = tmp_path / "k" / name / "kustomization.yaml"
    broken.write_text(broken.read_text().replace("resources:", "resource:"))
    assert rendered(broken.parent).returncode


LABELLED = [*sorted(KUBERNETES.glob("*/*.yaml")), CLUSTER / "aws/cluster.yaml"]


def test_comments_say_by_which_option_a_spec_names_a_label():
    stream = load_spec(CLUSTER / "specs/archive.yaml").compute.stream
    said = [
        (option, yaml.safe_load(label))
        for path in LABELLED
        for option, label in re.findall(
            r"# What compute\.stream\.(\w+) of a spec may name\.\n\s*labels: (.*)", path.read_text()
        )
    ]
    assert len(said) == 4
    for option, label in said:
        assert getattr(stream, option) == label


def test_comments_and_readme_name_options_that_there_are():
    known = {name for spec in (JobSpec, NightlySpec) for name in options(spec)}
    texts = {path: path.read_text() for path in CLUSTER.rglob("*") if path.is_file()}
    named = {
        option
        for text in texts.values()
        for option in re.findall(rf"(?<![\w./-])(?:{'|'.join(JobSpec.model_fields)})(?:\.[a-z_]+)+(?![\w(/-])", text)
    }
    assert {"compute.stream.io_labels", "tiling.budget_gib"} <= named
    assert named - known == set()


def options(model: type[BaseModel], before: str = "") -> Iterator[str]:
    """Every option of a spec and of what is in it, with dots between."""
    for name, field in model.model_fields.items():
        yield before + name
        for inner in models_of(field.annotation):
            yield from options(inner, f"{before}{name}.")


def models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_of(inner)
