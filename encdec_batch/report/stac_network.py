"""The network in the catalogue: an item of STAC's machine-learning-model extension, from the card alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from encdec_batch.commit.catalogue_paths import MODELS
from encdec_batch.models.card import ONNX, Card, ClassesOutput, ConstantNormalization
from encdec_batch.models.package import Package
from encdec_batch.plan.recipe import Order
from encdec_batch.report.stac import CLASSIFICATION, JSON, STAC_VERSION, ModelEntry, classes_of

MLM = "https://stac-extensions.github.io/mlm/v1.4.0/schema.json"
_DIMENSIONS = ["batch", "channel", "height", "width"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The network of the run that writes the catalogue."""

    card: Card
    digest: str
    uri: str
    """Of the package."""
    outputs: tuple[str, ...]
    """Files that the run makes of each scene."""


def network_of(order: Order, package: Package) -> Network | None:
    """The network of a job; None: its spec wants no catalogue."""
    if not order.spec.output.catalogue:
        return None
    return Network(card=package.card, digest=package.digest, uri=package.folder or package.uri, outputs=order.wanted)


def model_id(card: Card, digest: str) -> str:
    """Id of the item of a package: its name, version and digest."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{card.name}-{card.version}-{digest[:12]}")


def model_entry(card: Card, digest: str) -> ModelEntry:
    """What items of scenes need of a package."""
    return ModelEntry(item_id=model_id(card, digest), classes=classes_of(card))


def model_item(card: Card, digest: str, uri: str) -> dict[str, Any]:
    """The item of a package.

    Args:
        card: of the package.
        digest: of the package.
        uri: where it lay when it was used. It is no part of the output, so this is no relative path.
    """
    task, classes = _task(card), classes_of(card)
    onnx = card.architecture == ONNX
    folder = uri.rstrip("/")
    # STAC 1.1 takes bands of an item only where an asset has some, and the extension wants them in the item.
    bands = [{"name": band.name} for band in card.bands]
    properties: dict[str, Any] = {
        # A network is of no time: for a search it is of any.
        "datetime": None,
        "start_datetime": "1970-01-01T00:00:00Z",
        "end_datetime": "9999-12-31T23:59:59Z",
        "description": card.description or f"{card.name} {card.version}",
        "bands": bands,
        "mlm:name": _name(card),
        "mlm:architecture": card.architecture,
        "mlm:tasks": [task],
        "mlm:framework": "ONNX" if onnx else "PyTorch",
        "mlm:total_parameters": card.memory.parameters,
        "mlm:input": [_input(card)],
        "mlm:output": [_output(card, task)],
        "encdec:package_digest": digest,
        "encdec:model": f"{card.name} {card.version}",
        "encdec:training_data": card.training.data,
        "encdec:training_licence": card.training.licence,
    }
    if classes:
        properties["classification:classes"] = list(classes)
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [MLM, CLASSIFICATION] if classes else [MLM],
        "id": model_id(card, digest),
        "geometry": None,
        "properties": properties,
        "links": [
            {"rel": "root", "href": "../../collection.json", "type": JSON},
            {"rel": "parent", "href": f"../{MODELS}.json", "type": JSON},
        ],
        "assets": {
            "weights": {
                "href": f"{folder}/{card.weights_name}",
                "title": "weights",
                "type": "application/octet-stream",
                "roles": ["mlm:model", "mlm:weights"],
                "mlm:artifact_type": "onnx" if onnx else "safetensors",
                "bands": bands,
            },
            "card": {"href": f"{folder}/card.json", "title": "model card", "type": JSON, "roles": ["metadata"]},
        },
    }


def entry_of(item: dict[str, Any]) -> tuple[str, str, ModelEntry]:
    """Package digest, `name version` and entry of a network, from an item that an earlier run wrote.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: no run has written it so.
    """
    said = item["properties"]
    digest, name = said["encdec:package_digest"], said["encdec:model"]
    if not isinstance(digest, str) or not isinstance(name, str):
        raise TypeError("a network is named by texts")
    classes = tuple(dict(one) for one in said.get("classification:classes", ()))
    return digest, name, ModelEntry(item_id=item["id"], classes=classes)


def _task(card: Card) -> str:
    if isinstance(card.output, ClassesOutput):
        return "semantic-segmentation"
    return "super-resolution" if card.geometry.scale > 1 else "regression"


def _name(card: Card) -> str:
    """As the extension wants names: a letter first, a letter or digit last."""
    name = re.sub(r"[^a-zA-Z0-9_.\-\s]", "-", f"{card.name} {card.version}")
    name = name if name[0].isalpha() else f"model {name}"
    return name if name[-1].isalnum() else f"{name}0"


def _input(card: Card) -> dict[str, Any]:
    scaling = card.normalization
    values: list[dict[str, Any]] | None = None
    if isinstance(scaling, ConstantNormalization):
        pairs = zip(scaling.mean, scaling.std, strict=True)
        values = [{"type": "z-score", "mean": mean, "stddev": std} for mean, std in pairs]
    return {
        "name": "scene",
        "bands": [band.name for band in card.bands],
        "input": {"shape": [-1, card.num_bands, -1, -1], "dim_order": _DIMENSIONS, "data_type": "float32"},
        "value_scaling": values,
    }


def _output(card: Card, task: str) -> dict[str, Any]:
    # Its classes stand beside, in `classification:classes` of the item: the extension refers to an older form of them.
    return {
        "name": card.output.kind,
        "tasks": [task],
        "result": {
            "shape": [-1, card.output.num_channels, -1, -1],
            "dim_order": _DIMENSIONS,
            "data_type": "float32",
        },
    }
