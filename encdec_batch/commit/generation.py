"""The immutable folder of one generation of one scene: `scenes/<scene_id>/<g>-<scene key, 16 hex>-<d>/`.

The bytes in a folder are a function of its name. `g` keeps an old model's files from coming back
under a new name's marker, the key says what was asked for, and `d` what it was made of: two workers
whose parts differ (another kind of device, another batch) write into two folders.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from encdec_batch.errors import SpecError

SCENES_PREFIX = "scenes/"
FOLDER_ENDING = ".ome.zarr"
"""Of outputs that are folders."""

_SCENE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_FOLDER = re.compile(r"(?P<g>[1-9][0-9]*)-(?P<key>[0-9a-f]{16})-(?P<d>[0-9a-f]{8})")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFolder:
    """The name of the folder that holds the files of one generation of a scene."""

    scene_id: str
    generation: int
    """g: that of the marker read when the scene was planned, plus 1; 1 where there was none."""
    key_prefix: str
    """First 16 hex digits of the scene key."""
    content: str
    """d: 8 hex digits of what the files are made of, the parts' digests and the encoders' versions."""

    def __post_init__(self) -> None:
        check_scene_id(self.scene_id)
        if not _FOLDER.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not the name of an output folder")

    @property
    def name(self) -> str:
        return f"{self.generation}-{self.key_prefix}-{self.content}"

    @property
    def path(self) -> str:
        """Path from the root of the output, with a slash at its end."""
        return f"{SCENES_PREFIX}{self.scene_id}/{self.name}/"

    @classmethod
    def parse(cls, path: str) -> OutputFolder | None:
        """The folder that an object's path lies in, within an OME-Zarr at any depth; None: in no folder of ours."""
        steps = path.split("/")
        if len(steps) < 4 or f"{steps[0]}/" != SCENES_PREFIX or not _SCENE_ID.fullmatch(steps[1]):
            return None
        if len(steps) > 4 and not steps[3].endswith(FOLDER_ENDING):
            return None
        match = _FOLDER.fullmatch(steps[2])
        if match is None:
            return None
        return cls(scene_id=steps[1], generation=int(match["g"]), key_prefix=match["key"], content=match["d"])


def output_folder(scene_id: str, *, generation: int, scene_key: str, content: str) -> OutputFolder:
    """The folder for the files of this generation; `content` is d."""
    return OutputFolder(scene_id=scene_id, generation=generation, key_prefix=scene_key[:16], content=content)


def is_scene_id(name: str) -> bool:
    """Whether a name may be that of a scene; others are not ours."""
    return _SCENE_ID.fullmatch(name) is not None


def check_scene_id(scene_id: str) -> None:
    """Nothing, if an id may stand in a path.

    Raises:
        SpecError: it may not; `plan` makes ids that may out of any path.
    """
    if not is_scene_id(scene_id):
        raise SpecError(f"{scene_id!r} is not a scene id", hint="letters, digits, '.', '_' and '-', no dot in front")
