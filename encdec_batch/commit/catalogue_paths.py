"""Where the objects of the catalogue lie: a function of a scene's id, so that no list of them grows without bound.

256 sub-catalogues by the first byte of a hash: of 100,000 scenes each has some 390, of a million 3,900.
"""

from __future__ import annotations

import hashlib
import re

from encdec_batch.commit.generation import is_scene_id

COLLECTION = "collection.json"
CATALOGUE_PREFIX = "stac/"
MODELS = "models"
"""The sub-catalogue of the networks."""

_FOLDER = re.compile(rf"[0-9a-f]{{2}}|{MODELS}")


def shard_of(scene_id: str) -> str:
    """Name of the sub-catalogue that a scene is in: two hex digits."""
    return hashlib.sha256(scene_id.encode()).hexdigest()[:2]


def shard_path(shard: str) -> str:
    """Path of a sub-catalogue from the root of the output. Beside its folder: a scene may be called `catalog`."""
    return f"{CATALOGUE_PREFIX}{shard}.json"


def item_path(shard: str, name: str) -> str:
    """Path of an item from the root of the output."""
    return f"{CATALOGUE_PREFIX}{shard}/{name}.json"


def is_of_catalogue(path: str) -> bool:
    """Whether a path may be that of an object of the catalogue."""
    if path == COLLECTION:
        return True
    below = path.removeprefix(CATALOGUE_PREFIX).removesuffix(".json")
    if len(below) != len(path) - len(CATALOGUE_PREFIX) - len(".json"):
        return False
    folder, slash, name = below.partition("/")
    return _FOLDER.fullmatch(folder) is not None and (not slash or is_scene_id(name))
