"""The one small object whose PUT is the commit of a scene: `markers/<scene_id>.json`.

Before the PUT every reader sees the old generation complete, after it the new one complete. A marker
holds its generation, so no two markers of a scene have the same bytes, hence no two the same etag,
and If-Match on the etag that was read when the scene was planned refuses every committer that was
overtaken, however late it wakes up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from encdec_batch.commit.generation import OutputFolder, check_scene_id, is_scene_id
from encdec_batch.commit.lease import check_lease
from encdec_batch.errors import CommitConflict, CommitError, ObjectMissing, PreconditionFailed, TransientStoreError
from encdec_batch.plan.keys import plain_json
from encdec_batch.plan.recipe import FORMAT_VERSION
from encdec_batch.plan.scene import SourceImage
from encdec_batch.read.plane import Plane
from encdec_batch.store.object import ObjectInfo
from encdec_batch.store.store import Store
from encdec_batch.write.sink import Written

MARKER_PREFIX = "markers/"

MOVE_TRIES = 6
"""Of a PUT of the marker that stays without an answer. Before each the marker is read, and that waits for a store that
does not answer at all as long as any request does."""

_CONCURRENT_READS = 16


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Member(_Stored):
    """One object of an output that is a folder."""

    size: int = Field(ge=0)
    """Bytes."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class OutputFile(_Stored):
    """One committed file, or folder of files."""

    path: str
    """From the root of the output; in the folder of this generation or of an earlier one."""
    size: int = Field(ge=0)
    """Bytes, of all members together."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of a folder that of the lines `path,size,sha256` of its members, sorted, each ended by a newline."""
    members: dict[str, Member] = Field(default_factory=dict)
    """Of a folder all objects that are of it, by path below it; a file has none."""

    @classmethod
    def of_folder(cls, path: str, members: Mapping[str, Written]) -> Self:
        """A folder of these objects."""
        stored = {name: Member(size=one.size_bytes, sha256=one.sha256) for name, one in sorted(members.items())}
        return cls(
            path=path,
            size=sum(one.size for one in stored.values()),
            sha256=_digest_of(stored),
            members=stored,
        )

    @model_validator(mode="after")
    def _is_what_its_members_are(self) -> Self:
        if not self.members:
            return self
        if any(step in ("", ".", "..") for name in self.members for step in name.split("/")):
            raise ValueError(f"{self.path}: a member lies elsewhere")
        if (self.size, self.sha256) != (sum(one.size for one in self.members.values()), _digest_of(self.members)):
            raise ValueError(f"{self.path}: size and sha256 are not those of its members")
        return self

    @model_serializer(mode="wrap")
    def _without_no_members(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        said: dict[str, Any] = dump(self)
        # Files stay what they were before there were folders.
        return {key: value for key, value in said.items() if key != "members" or value}

    def objects(self) -> Iterator[OutputFile]:
        """What there is to look at in the store: itself, or its members."""
        if not self.members:
            yield self
        for name, one in self.members.items():
            yield OutputFile(path=f"{self.path}/{name}", size=one.size, sha256=one.sha256)


def _digest_of(members: Mapping[str, Member]) -> str:
    lines = (f"{name},{one.size},{one.sha256}\n" for name, one in sorted(members.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class InputImage(_Stored):
    """One image that a scene was read from."""

    uri: str
    etag: str
    plane: str = ""
    """Which of the images in the object, as `str(Plane)`; empty where the object is one."""


class InputObject(InputImage):
    """The object that the outputs were made from."""

    stack: tuple[InputImage, ...] = ()
    """All images whose bands were read, where they are more than its own: neighbouring slices, itself in the middle."""

    @classmethod
    def of(cls, images: Sequence[SourceImage]) -> Self:
        """Of what was read: a scene's own image, its neighbours on both sides of it."""
        named = [InputImage(uri=image.uri, etag=image.etag, plane=str(image.plane)) for image in images]
        own = named[len(named) // 2]
        return cls(**own.model_dump(), stack=tuple(named) if len(named) > 1 else ())

    @property
    def images(self) -> tuple[SourceImage, ...]:
        """What was read; links that are signed are not known here."""
        return tuple(
            SourceImage(uri=image.uri, etag=image.etag, plane=Plane.parse(image.plane))
            for image in self.stack or (self,)
        )


class Marker(_Stored):
    """What is committed of one scene; nothing in it differs between two runs of the same work."""

    format_version: Literal[1] = 1
    scene_id: str
    generation: int = Field(ge=1)
    scene_key: str = Field(pattern=r"^[0-9a-f]{64}$")
    outputs: dict[str, OutputFile]
    """By output name (the file's name); empty for a scene that was removed."""
    input: InputObject
    certificate: dict[str, JsonValue] | None = None
    summary: dict[str, JsonValue] = Field(default_factory=dict)
    """What the derived tables say of a scene, so that they can be made again from markers alone."""
    notes: tuple[str, ...] = ()
    """For people: what was asked for and not made, and why."""

    @model_validator(mode="after")
    def _names_only_its_own_folders(self) -> Self:
        for file in self.outputs.values():
            folder = OutputFolder.parse(file.path)
            if folder is None or folder.scene_id != self.scene_id or folder.generation > self.generation:
                raise ValueError(f"{file.path} is not in a folder of scene {self.scene_id} up to {self.generation}")
        return self

    def to_json(self) -> bytes:
        """The bytes of the marker: canonical JSON."""
        said = self.model_dump(mode="json")
        # Of the input only what it has: markers of scenes that are an object each stay what they were.
        said["input"] = {key: value for key, value in said["input"].items() if value}
        return plain_json(said)

    def satisfies(self, wanted: Marker) -> bool:
        """Whether this marker, found where `wanted` was to be put, does what `wanted` was to do.

        The digests of the files do not count: another kind of device may have made them.
        """
        same_sort = bool(self.outputs) == bool(wanted.outputs)  # else any marker would do for a removal
        return same_sort and self.scene_key == wanted.scene_key and self.outputs.keys() >= wanted.outputs.keys()


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveResult:
    """A commit that stands."""

    marker: Marker
    """As it lies in the store: the one asked for, or an equivalent one of another worker."""
    etag: str
    moved: bool
    """False: it had been done before, by another worker or by a request whose answer was lost."""


def marker_path(scene_id: str) -> str:
    """Path of a scene's marker from the root of the output."""
    check_scene_id(scene_id)
    return f"{MARKER_PREFIX}{scene_id}.json"


def read_marker(store: Store, scene_id: str) -> tuple[Marker, str] | None:
    """The marker of a scene and its etag; None where there is none.

    Raises:
        CommitError: there is one that this version cannot read.
    """
    found = _read(store, scene_id)
    return None if found is None else (found[0], found[1].etag)


def list_markers(store: Store) -> Iterator[tuple[str, ObjectInfo]]:
    """Scene id and info of every marker, by one listing, sorted by path; reads none of them.

    What has no name of ours (`markers/a (copy).json`) is left alone.
    """
    for info in store.list(MARKER_PREFIX):
        name = info.path.removeprefix(MARKER_PREFIX)
        if name.endswith(".json") and is_scene_id(name.removesuffix(".json")):
            yield name.removesuffix(".json"), info


def read_markers(store: Store, scene_ids: Iterable[str] | None = None) -> Iterator[tuple[Marker, ObjectInfo]]:
    """The markers of these scenes, in their order (of all scenes, by id); a missing one is left out.

    Raises:
        CommitError: one cannot be read by this version.
    """
    ids = iter(scene_ids) if scene_ids is not None else (scene_id for scene_id, _ in list_markers(store))
    with ThreadPoolExecutor(_CONCURRENT_READS) as pool:
        while chunk := list(islice(ids, 16 * _CONCURRENT_READS)):
            for found in pool.map(lambda scene_id: _read(store, scene_id), chunk):
                if found is not None:
                    yield found


def next_generation(previous: Marker | None) -> int:
    """The generation of the next marker of a scene."""
    return 1 if previous is None else previous.generation + 1


def carry_on(previous: Marker | None, *, scene_key: str, asked: Collection[str]) -> dict[str, OutputFile]:
    """The outputs asked for that the previous marker has of this very key; the others are left to make.

    The next marker names them by their paths, in the folders of earlier generations where they lie.
    """
    if previous is None or previous.scene_key != scene_key:
        return {}
    return {name: file for name, file in previous.outputs.items() if name in asked}


def is_committed(previous: Marker | None, *, scene_key: str, asked: Collection[str]) -> bool:
    """Whether nothing is left to do for a scene."""
    return bool(asked) and len(carry_on(previous, scene_key=scene_key, asked=asked)) == len(set(asked))


def move_marker(store: Store, marker: Marker, *, expected_etag: str | None, lease_n: int) -> MoveResult:
    """Commits a scene: the lease is checked, then the marker is put where the one of `expected_etag` was.

    Args:
        store: the root of the output.
        marker: names files that are all there; its generation follows that of the expected marker.
        expected_etag: of the marker that was read when the scene was planned; None where there was none.
            It is never replaced by a newer one here: whether the work is still wanted, the driver decides.
        lease_n: number of the lease under which the scene was planned.

    Raises:
        CommitConflict: the marker is another's; `context` has scene_id, wanted_key, and of the marker
            found (None where it is gone) found_key, found_generation, found_etag.
        LeaseHeld: the run that planned this was taken over.
        TransientStoreError: the store does not say whether it was done.
    """
    for tries_left in reversed(range(MOVE_TRIES)):
        check_lease(store, lease_n)
        unanswered: TransientStoreError | None = None
        try:
            etag = _put(store, marker, expected_etag).etag
        except PreconditionFailed:
            pass
        except TransientStoreError as error:
            unanswered = error
        else:
            return MoveResult(marker=marker, etag=etag, moved=True)
        found = read_marker(store, marker.scene_id)
        if found is not None and found[0].satisfies(marker):
            return MoveResult(marker=found[0], etag=found[1], moved=False)
        unchanged = (found[1] if found else None) == expected_etag
        if unanswered is None or not unchanged:
            raise _conflict(store, marker, found)
        if not tries_left:
            raise unanswered
    raise AssertionError("the last try returns or raises")


def _put(store: Store, marker: Marker, expected_etag: str | None) -> ObjectInfo:
    # Without an answer the store must not simply repeat the request: the lease comes first again.
    path, data = marker_path(marker.scene_id), marker.to_json()
    if expected_etag is None:
        return store.create(path, data, retry_unknown=False)
    return store.replace(path, data, etag=expected_etag, retry_unknown=False)


def _read(store: Store, scene_id: str) -> tuple[Marker, ObjectInfo] | None:
    path = marker_path(scene_id)
    try:
        data, info = store.get_with_info(path)
    except ObjectMissing:
        return None
    try:
        marker = Marker.model_validate_json(data)
    except ValidationError as error:
        raise _unreadable(store, scene_id, data) from error
    if marker.scene_id != scene_id:
        raise CommitError(
            f"{store.uri}: {path} is the marker of scene {marker.scene_id}",
            hint="a file system that takes both names for one cannot hold both scenes; give one another id in a table "
            "(source.kind: table)"
            if marker.scene_id.casefold() == scene_id.casefold()
            else "markers must not be renamed; move it away: the scene is then done again",
            scene_id=scene_id,
        )
    return marker, info


def _unreadable(store: Store, scene_id: str, data: bytes) -> CommitError:
    """A newer version's marker is whole and must stay; any other is damaged."""
    path, newest = marker_path(scene_id), FORMAT_VERSION
    try:
        said = json.loads(data)
        version = said.get("format_version") if isinstance(said, dict) else None
    except (ValueError, RecursionError):
        version = None
    if isinstance(version, int) and version > newest:
        return CommitError(
            f"{store.uri}: {path} is of format version {version}, newer than {newest}, the newest that this version "
            "reads",
            hint="update encdec-batch; until then nothing is written or deleted here",
            scene_id=scene_id,
        )
    return CommitError(
        f"{store.uri}: {path} is not a marker that this version can read",
        hint="restore it from scenes.parquet (column marker), or move it away: its scene is then done again",
        scene_id=scene_id,
    )


def _conflict(store: Store, marker: Marker, found: tuple[Marker, str] | None) -> CommitConflict:
    context: dict[str, Any] = {"scene_id": marker.scene_id, "wanted_key": marker.scene_key}
    if found is None:
        what = "is gone"
        context |= {"found_key": None, "found_generation": None, "found_etag": None}
    else:
        other, etag = found
        what = f"is of generation {other.generation}, key {other.scene_key[:16]}, outputs {sorted(other.outputs)}"
        context |= {"found_key": other.scene_key, "found_generation": other.generation, "found_etag": etag}
    return CommitConflict(
        f"{store.uri}: the marker of scene {marker.scene_id} {what}; wanted was generation "
        f"{marker.generation}, key {marker.scene_key[:16]}, outputs {sorted(marker.outputs)}",
        hint="the scene was committed by another run meanwhile; the next run plans it again if need be",
        **context,
    )
