"""One scene as the plan sees it: everything a worker needs to know of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache

from pydantic import TypeAdapter
from pydantic_core import to_json

from encdec_batch.grid import Grid, NetworkGeometry, Tiling, make_grid
from encdec_batch.plan.checks import NO_CHECKS, Checks, is_check_name
from encdec_batch.read.header import SceneHeader
from encdec_batch.read.plane import WHOLE, Plane
from encdec_batch.read.statistics import ValueRange


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceImage:
    """One image of one version of an object: what a reader is opened on."""

    uri: str
    """As it is written down: without what in it may be a credential (encdec_batch/uri.py)."""
    etag: str
    """Empty: not known yet."""
    plane: Plane = WHOLE
    link: str = field(default="", repr=False)
    """What opens the object, where `uri` alone does not: signed, so it is written nowhere."""

    @property
    def opened(self) -> str:
        """The URI to open."""
        return self.link or self.uri


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An object that may be a scene."""

    scene_id: str
    uri: str
    """As it is written down: without what in it may be a credential (encdec_batch/uri.py)."""
    etag: str
    """Empty: not known yet (a scene named by the user); read with the header."""
    size_bytes: int
    bands: tuple[int, ...] | None = None
    """Bands to read, counted from 1; None: the source's, else all."""
    link: str = field(default="", repr=False)
    """As that of a `SourceImage`."""
    plane: Plane = WHOLE
    """Which image of the object."""
    stack: tuple[SourceImage, ...] = ()
    """The images whose bands are read one after the other, where it is more than its own: neighbouring slices with
    this one in their middle."""

    @property
    def opened(self) -> str:
        """The URI to open."""
        return self.link or self.uri

    @property
    def images(self) -> tuple[SourceImage, ...]:
        """What is read."""
        return self.stack or (SourceImage(uri=self.uri, etag=self.etag, plane=self.plane, link=self.link),)


VOLUME = "volume"
"""The stage in which files of a whole volume are made; what is set aside there is no scene."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """What is not processed, why, and what to do about it."""

    scene_id: str
    uri: str
    stage: str
    reason: str
    hint: str
    block: str | None = None
    transient: bool = False
    """Not a property of the scene: taken up by the next run by itself."""
    died: bool = field(default=False, compare=False)
    """A process that did nothing else died of it, or came to no end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenePlan:
    """A scene that fits the card, cut and keyed."""

    scene_id: str
    uri: str
    etag: str
    size_bytes: int
    header: SceneHeader
    bands: tuple[int, ...]
    asked_bands: tuple[int, ...] | None
    """The table's column, where the scene has one; else the source's bands, or all, were asked for."""
    geometry: NetworkGeometry
    tiling: Tiling
    levels: int
    """Overview levels that blocks make whole (L)."""
    scene_key: str
    part_key: str
    outputs: tuple[str, ...]
    """File names still to be made, e.g. mask.tif; empty when the scene is done."""
    generation: int
    """The generation that this commit will be."""
    marker_etag: str | None
    """The marker as it was when the scene was planned; None: there was none."""
    staged: bool = False
    """Its strips cost too much by window: it is cut into tiles once, streaming, before its blocks are read."""
    by_statistics: bool = False
    """Normalised by percentiles of the whole scene: its reader takes them first."""
    value_range: ValueRange | None = None
    """Those percentiles, once they are taken."""
    blocks_done: frozenset[str] = frozenset()
    """Names of blocks whose parts lie in the store."""
    checks: Checks = NO_CHECKS
    """Windows that are computed once more and compared before the commit."""
    checks_done: frozenset[str] = frozenset()
    """Names of those whose result lies in the store."""
    link: str = field(default="", repr=False)
    plane: Plane = WHOLE
    stack: tuple[SourceImage, ...] = ()
    """These three as those of its `Candidate`."""

    @property
    def images(self) -> tuple[SourceImage, ...]:
        """What is read."""
        return self.stack or (SourceImage(uri=self.uri, etag=self.etag, plane=self.plane, link=self.link),)

    def grid(self) -> Grid:
        return _grid(self.header.height, self.header.width, self.geometry, self.tiling)

    @property
    def num_pixels(self) -> int:
        return self.header.height * self.header.width

    def with_done(self, names: Collection[str]) -> ScenePlan:
        """The same scene, of which objects of these names lie beside each other: parts of blocks, and checks."""
        return replace(
            self,
            blocks_done=frozenset(name for name in names if not is_check_name(name)),
            checks_done=frozenset(self.checks.names).intersection(names),
        )

    def to_json(self) -> bytes:
        # NaN is a nodata value like any other; by default JSON would make null of it.
        return to_json(self, inf_nan_mode="constants")

    @classmethod
    def from_json(cls, data: bytes) -> ScenePlan:
        return _adapter().validate_json(data)


@lru_cache(256)
def _grid(height: int, width: int, geometry: NetworkGeometry, tiling: Tiling) -> Grid:
    """Asked for at every turn; most scenes of an archive have the size of others."""
    return make_grid(height, width, geometry, tiling)


@cache
def _adapter() -> TypeAdapter[ScenePlan]:
    return TypeAdapter(ScenePlan)
