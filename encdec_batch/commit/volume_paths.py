"""Where volumes lie in an output: `volumes/<volume_id>.json`, and `volumes/<volume_id>/<key, 16 hex>-<d>/`; what names
its patient below `dicom/` instead.
"""

from __future__ import annotations

import re

from encdec_batch.commit.generation import check_scene_id, is_scene_id

VOLUMES_PREFIX, DICOM_PREFIX = "volumes/", "dicom/"
VOLUMES_TABLE = "volumes.parquet"
_FOLDER = re.compile(r"[0-9a-f]{16}-[0-9a-f]{8}")


def record_path(volume_id: str) -> str:
    """Path of a volume's record from the root of the output."""
    check_scene_id(volume_id)
    return f"{VOLUMES_PREFIX}{volume_id}.json"


def folder_path(volume_id: str, volume_key: str, content: str, prefix: str) -> str:
    """Path of the folder of a volume's files, with a slash at its end.

    Args:
        volume_id: of the volume.
        volume_key: of what was asked for.
        content: 8 hex digits of what decides bytes beside it.
        prefix: one of the two.
    """
    check_scene_id(volume_id)
    return f"{prefix}{volume_id}/{volume_key[:16]}-{content}/"


def volume_of_record(path: str) -> str | None:
    """Id of the volume whose record a path is; None: it is none."""
    name = path.removeprefix(VOLUMES_PREFIX)
    volume_id = name.removesuffix(".json")
    return volume_id if volume_id != name != path and is_scene_id(volume_id) else None


def folder_of(path: str) -> str | None:
    """The folder of a volume's files that a path lies in; None: it lies in none."""
    steps = path.split("/")
    if len(steps) < 4 or f"{steps[0]}/" not in (VOLUMES_PREFIX, DICOM_PREFIX) or not is_scene_id(steps[1]):
        return None
    return "/".join(steps[:3]) + "/" if _FOLDER.fullmatch(steps[2]) else None
