"""A spec as the cluster gets it: for its own Ray, and without paths that only this machine has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from encdec_batch.errors import SpecError
from encdec_batch.models.package import Package, load_package
from encdec_batch.plan.private import MEDICAL_SUFFIXES, names_of
from encdec_batch.privacy import pseudonyms_of
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.kind import Kind, kind_of
from encdec_batch.spec.load import load_spec, parse_spec
from encdec_batch.spec.load_train import PATHS, load_train_spec, parse_train_spec
from encdec_batch.spec.output import DicomFile
from encdec_batch.spec.source import Source
from encdec_batch.spec.train import TrainSpec
from encdec_batch.spec.train_pairs import Pairs
from encdec_batch.store.secrets import check_no_userinfo, checked_options

MODEL_FOLDER = "model"
"""Of a package that is sent along, beside the spec."""
_PLACES = (*PATHS, "map", "mlflow")
_NOT_OURS = ("arguments",)
"""What a network's constructor is given."""
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """What is to be done, and what of this machine it needs."""

    kind: Kind
    text: bytes
    """The spec, YAML."""
    output_uri: str
    package: Package | None
    """The network, where it lies on this machine."""
    key: str = ""
    """The variable of the environment with the key by which the spec is encrypted; empty: it is sent in clear."""


def load_for_cluster(path: Path) -> ClusterSpec:
    """The spec in a file, made fit for a cluster.

    Raises:
        SpecError: it is no spec, holds a secret, or asks for what a cluster does not have.
        ModelError: the package that would be sent cannot be used.
    """
    kind = kind_of(path)
    spec: JobSpec | TrainSpec = load_spec(path) if kind == "archive" else load_train_spec(path)
    # What was not said stays unsaid: the cluster's version has its own defaults, and a short spec is read.
    data = spec.model_dump(mode="json", exclude_unset=True)
    compute = data.setdefault("compute", {})
    compute["stream"] = _on_the_cluster(path, spec, compute)
    package = _take_package(data) if kind == "archive" else None
    if local := [f"{key}: {uri}" for key, uri in _uris(data) if _is_local(uri)]:
        more = f" (and {len(local) - _SHOWN} more)" if len(local) > _SHOWN else ""
        raise SpecError(
            f"{path} names paths of this machine, which nodes of a cluster do not have: "
            f"{'; '.join(local[:_SHOWN])}{more}",
            hint="put them on a store (s3://...); file:///path says that every node has it, as on a shared disk",
        )
    if package is not None:
        data["model"] = {"package": MODEL_FOLDER}
    parse: Callable[..., JobSpec | TrainSpec] = parse_spec if kind == "archive" else parse_train_spec
    parse(data, name=f"{path}, for a cluster,")
    return ClusterSpec(
        kind=kind,
        text=yaml.safe_dump(data, sort_keys=False).encode(),
        output_uri=str(data["output"]["uri"]),
        package=package,
        key=_key_of(path, spec),
    )


def _key_of(path: Path, spec: JobSpec | TrainSpec) -> str:
    """By what the spec is encrypted, as the names in it may be private. Where nobody said whether they are, and neither
    a key is here nor anything in the spec medical by its name, they are not.

    Raises:
        SpecError: they are private, and there is no key.
    """
    privacy = spec.privacy
    if privacy.hide == "off":
        return ""
    if privacy.hide == "auto" and pseudonyms_of(privacy.key) is None and not _names_medical(spec):
        return ""
    try:
        names_of(privacy)
    except SpecError as error:
        raise SpecError(f"{path}: {error.message}", hint=f"{error.hint}; the cluster's nodes need the same") from None
    return privacy.key


def _names_medical(spec: JobSpec | TrainSpec) -> bool:
    """Whether what is read is medical by what the spec itself says: names, and the files of a job."""
    said: list[Source | Pairs]
    if isinstance(spec, JobSpec):
        said = [spec.source]
        if any(isinstance(file, DicomFile) for file in spec.output.files):
            return True
    else:
        split = spec.data.split
        said = [spec.data.train, *([split.pairs] if split.kind == "pairs" else [])]
    named: list[str] = []
    for source in said:
        fields = source.model_dump(mode="json", include={"uri", "uris", "pattern", "images", "targets"})
        for value in fields.values():
            named += value if isinstance(value, list) else [value]
        if "suffixes" in source.model_fields_set:
            named += source.model_dump()["suffixes"]
    return any(name.lower().rstrip("/*").endswith(MEDICAL_SUFFIXES) for name in named)


def _on_the_cluster(path: Path, spec: JobSpec | TrainSpec, compute: dict[str, Any]) -> dict[str, Any]:
    stream = spec.compute.stream
    if stream.kind != "ray":
        raise SpecError(
            f"{path}: compute.stream.kind is {stream.kind}: all of it would be done by one process on the head",
            hint="say kind: ray",
        )
    said = "address" in stream.model_fields_set
    if said and stream.address != "auto":
        raise SpecError(
            f"{path}: compute.stream.address is {stream.address}, and a job runs on the cluster it is submitted to",
            hint="say auto, or leave it out",
        )
    return {"kind": "ray", **compute.get("stream", {}), "address": "auto"}


def _take_package(data: dict[str, Any]) -> Package | None:
    model = data["model"]
    if "://" in model["package"]:
        return None
    package = load_package(model["package"], model.get("storage"))
    del data["model"]
    return package


def _is_local(uri: str) -> bool:
    # As MLflow names a database of this machine.
    return "://" not in uri or uri.startswith("sqlite:")


def _uris(value: Any, place: str = "", key: str = "") -> Iterator[tuple[str, str]]:
    """Keys and what they name, wherever they stand; options of stores are looked through for secrets on the way.

    Raises:
        SpecError: the spec holds a secret.
    """
    if isinstance(value, dict):
        for name, one in value.items():
            if name.endswith("storage"):
                checked_options(one)
            elif name not in _NOT_OURS:
                yield from _uris(one, f"{place}.{name}" if place else str(name), str(name))
    elif isinstance(value, list):
        for one in value:
            yield from _uris(one, place, key)
    elif key in _PLACES and isinstance(value, str):
        check_no_userinfo(value, what=place)
        yield place, value
