"""The manifests below cluster/kubernetes, and the schemas that they are held to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
KUBERNETES = CLUSTER / "kubernetes"
SCHEMAS = Path(__file__).parent / "schemas"
FILES = sorted(
    path for path in KUBERNETES.glob("*/*.yaml") if path.name != "kustomization.yaml" and path.parent.name != "image"
)

Doc = dict[str, Any]


def documents(path: Path) -> list[Doc]:
    return list(yaml.safe_load_all(path.read_text()))


@cache
def all_documents() -> list[tuple[str, Doc]]:
    return [
        (f"{path.parent.name}/{doc['kind']}-{doc['metadata']['name']}", doc)
        for path in FILES
        for doc in documents(path)
    ]


def one(kind: str, name: str) -> Doc:
    (found,) = [doc for _, doc in all_documents() if (doc["kind"], doc["metadata"]["name"]) == (kind, name)]
    return found


def closed(schema: Any) -> Any:
    """The schema with every object of named properties closed, as `kubectl --validate=strict` reads it."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    as_they_are = {"enum", "required", "const", "default", "properties"}
    made = {key: value if key in as_they_are else closed(value) for key, value in schema.items()}
    if "properties" in schema:
        made["properties"] = {name: closed(part) for name, part in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    return made


@cache
def validator(kind: str) -> Draft202012Validator:
    path = SCHEMAS / f"{kind}.json"
    if path.exists():
        return Draft202012Validator(closed(json.loads(path.read_text())))
    core = json.loads((SCHEMAS / "core.json").read_text())
    return Draft202012Validator({"$ref": f"#/$defs/{core['kinds'][kind]}", "$defs": closed(core["$defs"])})


def typos(doc: Doc) -> list[str]:
    """What its kind's schema says against it."""
    return [f"{error.json_path}: {error.message[:300]}" for error in validator(doc["kind"]).iter_errors(doc)]


def pods(doc: Doc) -> Iterator[tuple[str, Doc]]:
    """The pod templates of a document, with where they stand."""
    spec = doc.get("spec", {})
    ray = spec if doc["kind"] == "RayCluster" else spec.get("rayClusterSpec", {})
    if ray:
        yield "head", ray["headGroupSpec"]["template"]
        for group in ray["workerGroupSpecs"]:
            yield group["groupName"], group["template"]
    if "submitterPodTemplate" in spec:
        yield "submitter", spec["submitterPodTemplate"]
    if doc["kind"] == "CronJob":
        yield "cron", spec["jobTemplate"]["spec"]["template"]
