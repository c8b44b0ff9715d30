"""From pairs of objects to pairs of images: an object may hold several, and images of several may be slices of one
series. By the rules of a job (plan/expand.py, plan/series.py).
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from encdec_batch.errors import SceneError
from encdec_batch.plan.expand import Expanded, Seen, expand, may_hold_several
from encdec_batch.plan.scene import Candidate, SetAside, SourceImage
from encdec_batch.read.contents import ONE_IMAGE, Contents
from encdec_batch.read.geometry import VolumeGeometry
from encdec_batch.spec.train_data import DataSpec
from encdec_batch.spec.train_pairs import Pairs
from encdec_batch.train.pairs.open import Reading, contents_in
from encdec_batch.train.pairs.pair import Aside, File, Pair

_THREADS = 16
"""Objects that are looked into at a time: the store is waited for most of the while."""
_SAME_AXIS, _SAME_PLACE = 1e-3, 0.1
"""Of a voxel: what axes and origins of an image and its labels may differ by, as written by two programs. Over 512
voxels it is half of one."""
_OTHER_GRID = "resample the labels onto the grid of the image"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    """One of an object."""

    file: File
    stack: tuple[File, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What an object was found to hold."""

    images: list[_Image] = field(default_factory=list)
    contents: Contents = field(default=ONE_IMAGE)
    aside: SetAside | None = None


def slices_of(pairs: Sequence[Pair], source: Pairs, data: DataSpec) -> tuple[list[Pair], list[Aside]]:
    """A pair for each image of each object, and what cannot be one.

    Slices of a volume are paired with the slices of its labels, by the same index; both lie on the same grid.

    Args:
        pairs: of objects, as the source names them.
        source: that named them.
        data: how they are read.

    Raises:
        StoreError: the store does not answer: nothing is said against a file.
    """
    if not any(may_hold_several(_candidate(0, file)) for pair in pairs for file in _files(pair)):
        return list(pairs), []
    reading = Reading.of(data)
    images = _expanded([pair.image for pair in pairs], source, reading, is_target=False)
    alone = source.model_copy(update={"series": "images", "context_slices": 0})
    targets = _expanded([pair.target for pair in pairs if pair.target], alone, reading, is_target=True)
    kept: list[Pair] = []
    aside: list[Aside] = []
    for pair in pairs:
        try:
            kept += _slices(pair, images, targets)
        except SceneError as error:
            uri = str(error.context.get("uri", pair.image.uri))
            aside.append(Aside(uri=uri, reason=error.message.removeprefix(f"{uri}: "), hint=error.hint))
    return kept, aside


def _files(pair: Pair) -> Iterator[File]:
    yield pair.image
    if pair.target is not None:
        yield pair.target


def _candidate(number: int, file: File) -> Candidate:
    return Candidate(scene_id=str(number), uri=file.uri, etag=file.etag, size_bytes=-1, link=file.link)


def _expanded(files: Sequence[File], source: Pairs, reading: Reading, *, is_target: bool) -> dict[str, _Held]:
    """By what opens an object; each is looked into once."""
    unique = list({file.opened: file for file in files}.values())
    seen: dict[str, Contents] = {}

    def look(candidate: Candidate) -> Seen:
        file = unique[int(candidate.scene_id)]
        try:
            etag, contents = contents_in(file, reading, is_target=is_target)
        except SceneError as error:
            reason = error.message.removeprefix(f"{file.uri}: ")
            return SetAside(scene_id=candidate.scene_id, uri=file.uri, stage="plan", reason=reason, hint=error.hint)
        seen[file.opened] = contents
        return replace(candidate, etag=etag), contents

    def look_all(candidates: Sequence[Candidate]) -> list[Seen]:
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="contents") as pool:
            return list(pool.map(look, candidates))

    found = expand((_candidate(number, file) for number, file in enumerate(unique)), source, look_all)
    return _by_object(found, unique, seen)


def _by_object(found: Expanded, unique: Sequence[File], seen: Mapping[str, Contents]) -> dict[str, _Held]:
    by_link = {file.opened: file for file in unique}

    def file_of(image: SourceImage) -> File:
        return replace(by_link[image.opened], etag=image.etag, plane=image.plane)

    held = {file.opened: _Held(contents=seen.get(file.opened, ONE_IMAGE)) for file in unique}
    for one in found.candidates:
        own = SourceImage(uri=one.uri, etag=one.etag, plane=one.plane, link=one.link)
        image = _Image(file=file_of(own), stack=tuple(file_of(other) for other in one.stack))
        held[one.opened].images.append(image)
    for aside in found.set_aside:
        # Its id begins with the number of its object.
        opened = unique[int(aside.scene_id.partition("-")[0])].opened
        held[opened] = replace(held[opened], aside=aside)
    return held


def _slices(pair: Pair, images: Mapping[str, _Held], targets: Mapping[str, _Held]) -> Iterator[Pair]:
    image = _usable(images[pair.image.opened])
    if not image.images:
        return  # a level of a slide beside the one that is wanted
    medical = image.contents.medical
    wanted: Sequence[File | None] = [None] * len(image.images)
    if pair.target is not None:
        target = _usable(targets[pair.target.opened])
        _check_planes(image, target, pair.target)
        wanted = [one.file for one in target.images]
        medical |= target.contents.medical
    place = image.contents.place
    for one, label in zip(image.images, wanted, strict=True):
        yield replace(
            pair,
            image=one.file,
            stack=one.stack,
            target=label,
            scene=_scene_of(pair, place.series) if place is not None else pair.scene,
            series=_digest(place.series) if place is not None else "",
            patient=_digest(place.patient) if place is not None and place.patient else "",
            medical=medical,
        )


def _usable(held: _Held) -> _Held:
    if held.aside is not None:
        raise SceneError(held.aside.reason, hint=held.aside.hint, uri=held.aside.uri)
    return held


def _scene_of(pair: Pair, series: str) -> str:
    """Of a slice of a series: its folder and its series, whatever the slice is called. What a table says holds."""
    if getattr(pair.image.source, "scene", None):
        return pair.scene
    return posixpath.join(posixpath.dirname(pair.scene), f"series-{_digest(series)[:8]}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _check_planes(image: _Held, target: _Held, file: File) -> None:
    ours, theirs = ([one.file.plane for one in held.images] for held in (image, target))
    if len(ours) != len(theirs) or (len(ours) > 1 and ours != theirs):
        raise SceneError(
            f"it holds {len(theirs)} images, that which it is the target of {len(ours)}"
            + ("" if len(ours) != len(theirs) else " by other names"),
            hint="give a volume of labels beside each volume, of the same slices (a DICOM Segmentation is not read as "
            "a target: convert it to NIfTI)",
            uri=file.uri,
        )
    one, other = image.contents.geometry, target.contents.geometry
    if one is not None and other is not None and not _same_grid(one, other):
        raise SceneError(
            "its voxels lie elsewhere than those of its image, or are of another size", hint=_OTHER_GRID, uri=file.uri
        )


def _same_grid(one: VolumeGeometry, other: VolumeGeometry) -> bool:
    if (one.across, one.rows, one.cols) != (other.across, other.rows, other.cols):
        return False
    ours, theirs = np.array(one.affine), np.array(other.affine)
    voxel = np.linalg.norm(ours[:, :3], axis=0)
    apart = np.linalg.norm(ours - theirs, axis=0)
    return bool((apart[:3] <= _SAME_AXIS * voxel).all() and apart[3] <= _SAME_PLACE * voxel.min())
