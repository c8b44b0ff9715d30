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
from encdec_batch.read.contents import ONE_IMAGE, Contents, SlicePlace, SlideLevel
from encdec_batch.read.geometry import VolumeGeometry
from encdec_batch.read.levels import choose_level
from encdec_batch.spec.source import IMAGE_SUFFIXES, Reading

Seen = tuple[Candidate, Contents] | SetAside
"""An object, now with its etag, and what it holds."""
Look = Callable[[Sequence[Candidate]], list[Seen]]
"""Looks into objects; in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Scenes that have files together: slices of one volume, in the order of space, or all of one object of DICOM."""

    group_id: str
    scene_ids: tuple[str, ...] = ()
    images: tuple[SourceImage, ...] = ()
    """Of each its own."""
    geometry: VolumeGeometry | None = None
    """Where they lie; None: nobody says."""
    is_dicom: bool = False
    """Results in DICOM can refer to them."""
    is_stack: bool = True
    """They are slices of one volume."""

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
        self._group_ids: set[str] = set()
        self._slices: list[tuple[Candidate, SlicePlace]] = []
        self._levels: dict[str, list[tuple[Candidate, SlideLevel]]] = defaultdict(list)
        self._taken = {scene_id.casefold() for scene_id in seen}

    def add(self, found: Candidate) -> None:
        """An object and what it holds; slices of series wait for the others of theirs."""
        seen = self._seen.get(found.scene_id, (found, ONE_IMAGE))
        if isinstance(seen, SetAside):
            self._aside.append(seen)
            return
        found, contents = seen
        if contents.level is not None:
            self._levels[contents.level.series or found.uri].append((found, contents.level))
        elif contents.planes != ONE_IMAGE.planes:
            self._add_planes(found, contents)
        elif contents.place is not None and self._source.series == "whole":
            self._slices.append((found, contents.place))
        else:
            alone = Group(group_id=found.scene_id, is_dicom=True, is_stack=False)
            self._add_stack([found], alone if contents.place is not None else None)

    def result(self) -> Expanded:
        """All of it."""
        for members in group_by_series(place for _, place in self._slices):
            self._add_series([self._slices[number] for number in members])
        for parts in self._levels.values():
            self._add_slide(parts)
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
        if axis is None and contents.planes[0].axes == ("frame",):
            # Of DICOM: frames that are no stack are one object all the same.
            frames = [one for stack in stacks.values() for one in stack]
            self._add_group(frames, Group(group_id=found.scene_id, is_dicom=True, is_stack=False))

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
            members = [slices[member][0] for member in stack.members]
            if len(members) == 1:
                group = replace(group, group_id=members[0].scene_id, is_stack=False)
            self._add_stack(members, group)

    def _add_slide(self, parts: Sequence[tuple[Candidate, SlideLevel]]) -> None:
        """A slide, each level an object: the one that is wanted is the scene; pictures beside them are none."""
        levels = sorted(
            ((f, one) for f, one in parts if one.is_level), key=lambda part: -part[1].shape[0] * part[1].shape[1]
        )
        shapes = [one.shape for _, one in levels]
        if len(set(shapes)) < len(shapes):
            self._aside += [
                SetAside(
                    scene_id=found.scene_id,
                    uri=found.uri,
                    stage="plan",
                    reason=f"its slide has {len(levels)} levels, and several of one size",
                    hint="put focal planes, optical paths and copies into series of their own",
                )
                for found, _ in levels
            ]
        elif levels:
            sizes = [one.pixel_size_um for _, one in levels]
            known = [size for size in sizes if size is not None]
            at = choose_level(known if len(known) == len(sizes) else None, self._source.um_per_px)
            self._add_stack([levels[at][0]], None)

    def _add_stack(self, stack: Sequence[Candidate], group: Group | None) -> None:
        """Scenes in the order of space; without a group, one by one."""
        self._candidates += _with_neighbours(stack, self._source.context_slices)
        if group is not None:
            self._add_group(stack, group)

    def _add_group(self, members: Sequence[Candidate], group: Group) -> None:
        group_id = distinct_id(group.group_id, f"volume {members[0].uri} {members[0].plane}", self._group_ids)
        self._group_ids.add(group_id.casefold())
        self._groups.append(
            replace(
                group,
                group_id=group_id,
                scene_ids=tuple(one.scene_id for one in members),
                images=tuple(one.images[len(one.images) // 2] for one in members),
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
