"""From objects to scenes: an object may hold several, and scenes of several objects may belong together."""

from __future__ import annotations

import hashlib
import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from encdec_batch.plan.identity import distinct_id, safe_id
from encdec_batch.plan.scene import Candidate, SetAside, SourceImage
from encdec_batch.plan.series import Faulty, geometry_of, group_by_series, stacks_of
from encdec_batch.read.contents import ONE_IMAGE, Contents, SlicePlace
from encdec_batch.read.geometry import VolumeGeometry
from encdec_batch.spec.source import IMAGE_SUFFIXES, Reading

Seen = tuple[Candidate, Contents] | SetAside
"""An object, now with its etag, and what it holds."""
Look = Callable[[Sequence[Candidate]], list[Seen]]
"""Looks into objects; in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Scenes that are slices of one volume, in the order of space."""

    group_id: str
    scene_ids: tuple[str, ...] = ()
    images: tuple[SourceImage, ...] = ()
    """Of each its own."""
    geometry: VolumeGeometry | None = None
    """Where they lie; None: nobody says."""
    is_dicom: bool = False
    """A DICOM segmentation can refer to them."""

    def renamed(self, ids: Mapping[str, str]) -> Group:
        """The same of scenes that have these ids now."""
        return replace(self, scene_ids=tuple(ids[scene_id] for scene_id in self.scene_ids))


@dataclass(frozen=True, slots=True, kw_only=True)
class Expanded:
    """The scenes of a source."""

    candidates: tuple[Candidate, ...]
    """In the order of the listing, and slices in the order of space; those of series of objects come last."""
    set_aside: tuple[SetAside, ...] = ()
    groups: tuple[Group, ...] = ()


def may_hold_several(candidate: Candidate) -> bool:
    """Whether an object must be looked into: most formats hold one image, and their names say so."""
    name = posixpath.basename(candidate.uri.rstrip("/")).lower()
    return not name.endswith(IMAGE_SUFFIXES) or name.endswith((".ome.tif", ".ome.tiff"))


def expand(candidates: Iterable[Candidate], source: Reading, look: Look) -> Expanded:
    """A candidate for each image of each object, with its neighbours where they are wanted.

    Args:
        candidates: objects, each with its id.
        source: as it was asked for.
        look: opens objects that may hold several images.
    """
    listed = list(candidates)
    several = [found for found in listed if may_hold_several(found)]
    seen = dict(zip((found.scene_id for found in several), look(several), strict=True)) if several else {}
    made = _Expansion(source, seen)
    for found in listed:
        made.add(found)
    return made.result()


class _Expansion:
    def __init__(self, source: Reading, seen: Mapping[str, Seen]) -> None:
        self._source, self._seen = source, seen
        self._candidates: list[Candidate] = []
        self._aside: list[SetAside] = []
        self._groups: list[Group] = []
        self._slices: list[tuple[Candidate, SlicePlace]] = []
        self._taken = {scene_id.casefold() for scene_id in seen}

    def add(self, found: Candidate) -> None:
        """An object and what it holds; slices of series wait for the others of theirs."""
        seen = self._seen.get(found.scene_id, (found, ONE_IMAGE))
        if isinstance(seen, SetAside):
            self._aside.append(seen)
            return
        found, contents = seen
        if contents.planes != ONE_IMAGE.planes:
            self._add_planes(found, contents)
        elif contents.place is not None and self._source.series == "whole":
            self._slices.append((found, contents.place))
        else:
            self._add_stack([found], None)

    def result(self) -> Expanded:
        """All of it."""
        for members in group_by_series(place for _, place in self._slices):
            self._add_series([self._slices[number] for number in members])
        self._slices = []
        return Expanded(candidates=tuple(self._candidates), set_aside=tuple(self._aside), groups=tuple(self._groups))

    def _add_planes(self, found: Candidate, contents: Contents) -> None:
        """The images of one object: of each point in time, say, a stack."""
        axis = contents.stacked_along if self._source.series == "whole" else None
        stacks: dict[tuple[tuple[str, int], ...], list[Candidate]] = defaultdict(list)
        for plane in contents.planes:
            scene_id = self._id(f"{found.scene_id}-{_name(plane.indices)}", f"{found.uri} {plane}")
            rest = tuple(pair for pair in plane.indices if pair[0] != axis) if axis else plane.indices
            stacks[rest].append(replace(found, scene_id=scene_id, plane=plane))
        for rest, stack in stacks.items():
            group_id = f"{found.scene_id}-{_name(rest)}" if rest else found.scene_id
            self._add_stack(
                stack, Group(group_id=group_id, geometry=contents.geometry, is_dicom=axis == "frame") if axis else None
            )

    def _add_series(self, slices: Sequence[tuple[Candidate, SlicePlace]]) -> None:
        """Images of one series."""
        places = [place for _, place in slices]
        stacks = stacks_of(places)
        if isinstance(stacks, Faulty):
            self._aside += [
                SetAside(scene_id=found.scene_id, uri=found.uri, stage="plan", reason=stacks.reason, hint=stacks.hint)
                for found, _ in slices
            ]
            return
        folder = posixpath.basename(posixpath.dirname(slices[0][0].uri))
        digest = hashlib.sha256(places[0].series.encode()).hexdigest()[:8]
        for number, stack in enumerate(stacks):
            several = f"-{number}" if len(stacks) > 1 else ""
            group = Group(
                group_id=safe_id(f"{folder}-{digest}{several}"),
                geometry=geometry_of([places[member] for member in stack.members], stack.step_mm),
                is_dicom=True,
            )
            self._add_stack([slices[member][0] for member in stack.members], group if len(stack.members) > 1 else None)

    def _add_stack(self, stack: Sequence[Candidate], group: Group | None) -> None:
        """Scenes in the order of space; without a group, one by one."""
        self._candidates += _with_neighbours(stack, self._source.context_slices)
        if group is not None:
            self._groups.append(
                replace(
                    group,
                    scene_ids=tuple(one.scene_id for one in stack),
                    images=tuple(one.images[len(one.images) // 2] for one in stack),
                )
            )

    def _id(self, wanted: str, what: str) -> str:
        scene_id = distinct_id(wanted, what, self._taken)
        self._taken.add(scene_id.casefold())
        return scene_id


def _with_neighbours(stack: Sequence[Candidate], reach: int) -> list[Candidate]:
    """Each with those up to `reach` slices before and after it; at the ends the last one stands for what is missing."""
    if not reach:
        return list(stack)
    own = [one.images[0] for one in stack]
    last = len(own) - 1
    return [
        replace(one, stack=tuple(own[min(max(at + shift, 0), last)] for shift in range(-reach, reach + 1)))
        for at, one in enumerate(stack)
    ]


def _name(indices: Iterable[tuple[str, int]]) -> str:
    """`t0-z0012`: sorted as text it is sorted by index, up to 9999."""
    return "-".join(f"{axis}{index:04d}" for axis, index in indices)
