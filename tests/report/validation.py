"""STAC objects held to the schemas without a network: those of the core are pystac's own, the others lie beside."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pystac
from pystac.validation.stac_validator import JsonSchemaSTACValidator

SCHEMAS = Path(__file__).parent / "schemas"


class Offline(pystac.StacIO):
    """Reads files of this machine alone: a schema that is not vendored fails, whatever can be reached."""

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
        if "://" in str(source):
            raise AssertionError(f"{source} is not vendored")
        return Path(str(source)).read_text()

    def write_text(self, dest: Any, txt: str, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("nothing is written")


@cache
def validator() -> JsonSchemaSTACValidator:
    """Knows the vendored schemas by their ids."""
    made = JsonSchemaSTACValidator()
    for path in SCHEMAS.glob("*.json"):
        schema = json.loads(path.read_text())
        made.schema_cache[schema["$id"].removesuffix("#")] = schema
    return made


def refusals(value: dict[str, Any]) -> list[str]:
    """What the schemas of the core and of the extensions that an object names have against it."""
    kind = {"Feature": "ITEM", "Collection": "COLLECTION", "Catalog": "CATALOG"}[value["type"]]
    found = []
    try:
        validator().validate(
            value, pystac.STACObjectType[kind], value["stac_version"], value.get("stac_extensions", [])
        )
    except pystac.STACValidationError as error:
        found.append(str(error))
    return found


def read(path: Path) -> pystac.Collection:
    """A catalogue as pystac sees it."""
    return pystac.Collection.from_file(str(path), stac_io=Offline())
