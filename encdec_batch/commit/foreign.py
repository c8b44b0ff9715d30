"""What lies below an output and is not of it: left alone by every command, and said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from encdec_batch.commit.catalogue_paths import is_of_catalogue
from encdec_batch.commit.generation import OutputFolder, is_scene_id
from encdec_batch.commit.marker import MARKER_PREFIX
from encdec_batch.commit.volume_paths import VOLUMES_TABLE, folder_of, volume_of_record
from encdec_batch.store.object import ObjectInfo

OWN_PREFIX = ".encdec/"
DERIVED = frozenset({"scenes.parquet", "quarantine.parquet", "report/index.html", VOLUMES_TABLE})
SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """Objects that no run wrote."""

    num_objects: int
    first: tuple[str, ...]
    """Paths of a few of them."""

    def __str__(self) -> str:
        """One line for people; empty where there are none."""
        if not self.num_objects:
            return ""
        more = ", ..." if self.num_objects > len(self.first) else ""
        objects = "object is" if self.num_objects == 1 else "objects are"
        return f"{self.num_objects} {objects} not of this output, and left alone: {', '.join(self.first)}{more}"


def find_foreign(listed: Iterable[ObjectInfo], *, at_most: int | None = None) -> Foreign:
    """What is foreign among the objects of a listing of the whole output, or among the first `at_most` of them."""
    paths = [info.path for info in islice(listed, at_most) if not is_ours(info.path)]
    return Foreign(num_objects=len(paths), first=tuple(paths[:SHOWN]))


def is_ours(path: str) -> bool:
    """Whether a path is one that docs/format.md names."""
    name = path.removeprefix(MARKER_PREFIX)
    if name != path:
        return name.endswith(".json") and is_scene_id(name.removesuffix(".json"))
    derived = path in DERIVED or is_of_catalogue(path)
    in_folder = OutputFolder.parse(path) is not None or folder_of(path) is not None
    return path.startswith(OWN_PREFIX) or derived or in_folder or volume_of_record(path) is not None
