"""What no schema says of our manifests: rules that KubeRay's operator and CEL check, and our own.

Sources: KubeRay v1.7.0, `validation.go` and the CEL rules of its CRDs; Pod Security Standards, "restricted".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from zoneinfo import available_timezones

import yaml
from cluster.manifests import Doc, pods

SECONDS_A_DAY = 86_400
CRON = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def faults(doc: Doc) -> list[str]:
    """All of them, of one document."""
    found: list[str] = []
    kind, spec = doc["kind"], doc.get("spec", {})
    if kind == "RayCluster":
        found += _cluster(spec)
    elif kind == "RayJob":
        found += [*_job(spec), *(_cluster(spec["rayClusterSpec"]) if "rayClusterSpec" in spec else ())]
    elif kind == "CronJob":
        found += _cron_job(spec)
    elif kind in {"Secret", "ClusterRole", "ClusterRoleBinding"}:
        found.append(f"{kind}: not to be shipped")
    for where, template in pods(doc):
        found += [f"{where}: {fault}" for fault in _pod(template["spec"])]
    return found


def cron_faults(schedule: str) -> list[str]:
    """Five fields of numbers in their ranges: what cron, Kubernetes and people agree on."""
    fields = schedule.split()
    if len(fields) != len(CRON):
        return [f"{schedule}: {len(fields)} fields"]
    return [
        f"{schedule}: {field}"
        for field, (low, high) in zip(fields, CRON, strict=True)
        for part in re.split(r"[,/-]", field)
        if part != "*" and not (part.isdecimal() and low <= int(part) <= high)
    ]


def _cluster(spec: Doc) -> Iterator[str]:
    if spec.get("authOptions", {}).get("mode") != "token":
        yield "authOptions.mode is not token"
    if _version(spec.get("rayVersion", "0")) < (2, 52):
        yield "rayVersion: tokens need 2.52"
    scaled = bool(spec.get("enableInTreeAutoscaling"))
    second = scaled and spec.get("autoscalerOptions", {}).get("version", "v2") == "v2"
    head = spec["headGroupSpec"]
    if head["rayStartParams"].get("num-cpus") != "0":
        yield "head: num-cpus is not 0"
    if "dashboard-host" not in head["rayStartParams"]:
        yield "head: dashboard-host is not said, KubeRay's is all addresses"
    for name, group in [("head", head), *((group["groupName"], group) for group in spec["workerGroupSpecs"])]:
        params, containers = group["rayStartParams"], group["template"]["spec"]["containers"]
        if "labels" in params:
            yield f"{name}: rayStartParams.labels, which KubeRay refuses"
        if "resources" in group and params.keys() & {"num-cpus", "num-gpus", "memory", "resources"}:
            yield f"{name}: resources and rayStartParams both"
        if second and group["template"]["spec"].get("restartPolicy", "Never") != "Never":
            yield f"{name}: restartPolicy under autoscaler v2"
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if containers[0].get(probe, {}).get("httpGet") != {"path": "/api/healthz", "port": 52365}:
                yield f"{name}: {probe}"
        if {"name": "RAY_AUTH_MODE", "value": "token"} not in containers[0].get("env", []):
            yield f"{name}: RAY_AUTH_MODE"
    for group in spec["workerGroupSpecs"]:
        name = group["groupName"]
        if not group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]:
            yield f"{name}: replicas outside of their bounds"
        if not second and group.keys() & {"idleTimeoutSeconds", "priority"}:
            yield f"{name}: idleTimeoutSeconds and priority are of autoscaler v2"
        yield from (f"{name}: {fault}" for fault in _drained(group["template"]["spec"]))


def _drained(pod: Doc) -> Iterator[str]:
    """A pod that goes tells Ray before, within the time that it is given."""
    command = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
    if len(command) != 2 or not command[0].endswith("/cluster/bin/drain"):
        yield "preStop does not drain"
    elif int(command[1]) > pod["terminationGracePeriodSeconds"] - 10:
        yield "preStop takes longer than the pod has"


def _job(spec: Doc) -> Iterator[str]:
    if ("rayClusterSpec" in spec) == ("clusterSelector" in spec):
        yield "exactly one of rayClusterSpec and clusterSelector"
    deletes = bool(spec.get("shutdownAfterJobFinishes"))
    if spec.get("suspend") and not deletes:
        yield "suspend needs shutdownAfterJobFinishes"
    if spec.get("ttlSecondsAfterFinished", 0) > 0 and not deletes:
        yield "ttlSecondsAfterFinished needs shutdownAfterJobFinishes"
    if "deletionStrategy" in spec and (deletes or "ttlSecondsAfterFinished" in spec):
        yield "deletionStrategy excludes shutdownAfterJobFinishes and its ttl"
    if not deletes and "deletionStrategy" not in spec:
        yield "the cluster stays when the job is over"
    if spec.get("backoffLimit", 0) > 0 and (
        "clusterSelector" in spec or spec.get("submissionMode") == "InteractiveMode"
    ):
        yield "backoffLimit with clusterSelector or InteractiveMode"
    for deadline in ("activeDeadlineSeconds", "preRunningDeadlineSeconds"):
        if spec.get(deadline, 0) <= 0:
            yield f"{deadline}: without one it may hang for ever"
    if spec.get("submissionMode") == "SidecarMode" and spec.keys() & {"submitterPodTemplate", "submitterConfig"}:
        yield "SidecarMode has no submitter"
    if "runtimeEnvYAML" in spec and "env_vars" in yaml.safe_load(spec["runtimeEnvYAML"]):
        yield "env_vars of a runtime environment are shown by the Jobs API"
    if re.search(r"[;&|<>$`\"']", spec["entrypoint"]):
        yield "entrypoint: a shell reads it twice, the submitter's and the head's"


def _cron_job(spec: Doc) -> Iterator[str]:
    yield from cron_faults(spec["schedule"])
    if spec.get("timeZone") not in available_timezones():
        yield "timeZone"
    if spec.get("concurrencyPolicy") != "Forbid":
        yield "concurrencyPolicy is not Forbid"
    job = spec["jobTemplate"]["spec"]
    if not 0 < job.get("activeDeadlineSeconds", 0) < SECONDS_A_DAY:
        yield "activeDeadlineSeconds: a night ends before the next begins"
    pod = job["template"]["spec"]
    if "podFailurePolicy" in job and pod["restartPolicy"] != "Never":
        yield "podFailurePolicy needs restartPolicy Never"
    names = {container["name"] for container in pod["containers"]}
    for rule in job.get("podFailurePolicy", {}).get("rules", []):
        if rule.get("onExitCodes", {}).get("containerName", *sorted(names)) not in names:
            yield "podFailurePolicy names a container that is not there"


def _pod(pod: Doc) -> Iterator[str]:
    user = pod.get("securityContext", {})
    if user.get("runAsNonRoot") is not True or user.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "securityContext of the pod"
    if pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}:
        yield "shares namespaces of its host"
    scratch = {volume["name"] for volume in pod.get("volumes", []) if "emptyDir" in volume}
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0].get("volumeMounts", [])}
    if pod["containers"][0]["name"].startswith("ray") and mounts.get("/tmp") not in scratch:
        yield "no /tmp to write to"
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        yield from (f"{container['name']}: {fault}" for fault in _container(container))
    for volume in pod.get("volumes", []):
        if not volume.keys() <= {"name", "configMap", "emptyDir", "secret", "projected", "downwardAPI"}:
            yield f"volume {volume['name']}"


def _container(container: dict[str, Any]) -> Iterator[str]:
    may = container.get("securityContext", {})
    if may.get("allowPrivilegeEscalation") is not False or may.get("capabilities") != {"drop": ["ALL"]}:
        yield "securityContext"
    if may.get("readOnlyRootFilesystem") is not True:
        yield "readOnlyRootFilesystem"
    given = container.get("resources", {})
    for of in ("requests", "limits"):
        if not given.get(of, {}).keys() >= {"cpu", "memory"}:
            yield f"{of} of cpu and memory"
    if "ray" in container["name"] and "submitter" not in container["name"]:
        for name in ("cpu", "memory"):
            # Ray counts on what its limit says.
            if given.get("requests", {}).get(name) != given.get("limits", {}).get(name):
                yield f"{name}: a node may not have what Ray hands out"


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
