"""In which folders of an archive a model would say something else than what lies there: found by a sample of each."""

from __future__ import annotations

import hashlib
import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from encdec_batch.errors import ModelError, SceneError
from encdec_batch.job.contents import list_scenes
from encdec_batch.models.card import ImageOutput
from encdec_batch.models.package import Package, load_package
from encdec_batch.models.version import read_versions, version_names
from encdec_batch.nightly.production import reference_of
from encdec_batch.plan.open import open_scene
from encdec_batch.plan.plan import with_etag
from encdec_batch.plan.scene import Candidate, SetAside
from encdec_batch.predict.array import predict_patch, stitch_of
from encdec_batch.report.tables import StoredMarkers
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.nightly import ArchiveRerun, NightlySpec
from encdec_batch.store.open import open_store
from encdec_batch.stream.calls import Device, open_calls
from encdec_batch.window import Window

_SAME = 0.01
"""Of the range of an image: values that are nearer are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Differing:
    """Pixels of a sample."""

    pixels: int = 0
    differing: int = 0

    def __add__(self, other: Differing) -> Differing:
        return Differing(pixels=self.pixels + other.pixels, differing=self.differing + other.differing)

    @property
    def share(self) -> float:
        """All of them where nothing could be looked at: then the scenes are done again."""
        return self.differing / self.pixels if self.pixels else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looking:
    """What every look at a scene has."""

    job: JobSpec
    new: Package
    old: Mapping[str, Package]
    """By digest; what is no longer in the registry is missing."""
    side: int
    """Of the window, pixels."""
    device: Device


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sampled:
    """A scene of the sample."""

    folder: str
    scene: Candidate
    digest: str
    """Of the package that made what lies there, as its marker says."""


def differing_folders(
    spec: NightlySpec, asked: ArchiveRerun, job: JobSpec, *, verbose: bool = False
) -> dict[str, float]:
    """The share of differing pixels, by folder with scenes that another model than the job's has made.

    Each scene of a sample is compared with the package that made it, whichever that was: small changes of one model
    after another add up.

    Raises:
        EncdecError: registry, archive or cluster do not answer.
    """
    new = load_package(job.model.package, job.model.storage)
    sample = list(_sample(job, new, asked.sample))
    if not sample:
        return {}
    old = _packages(spec, {one.digest for one in sample})
    with open_calls(job.compute.stream, job.compute.device, verbose=verbose) as calls:
        shared = _Looking(job=job, new=new, old=old, side=asked.window, device=calls.device)
        found = calls(_look, shared, sample)
    folders: dict[str, Differing] = defaultdict(Differing)
    for one, differing in zip(sample, found, strict=True):
        folders[one.folder] += differing
    return {folder: differing.share for folder, differing in folders.items()}


def _sample(job: JobSpec, new: Package, number: int) -> Iterator[_Sampled]:
    """Some scenes of each folder, of those whose present file another package was applied to."""
    store = open_store(job.output.uri, job.output.storage)
    made = {
        marker.scene_id: (str(marker.summary.get("package", "")), marker.input.etag)
        for marker, _ in StoredMarkers(store)
        if marker.outputs
    }
    folders: dict[str, list[Candidate]] = defaultdict(list)
    for one in list_scenes(job, store).candidates:
        if made.get(one.scene_id, (new.digest, ""))[0] != new.digest:
            folders[posixpath.dirname(one.uri)].append(one)
    for folder, scenes in folders.items():
        for one in _drawn(scenes, number):
            scene = with_etag(job, one)
            digest, etag = made[one.scene_id]
            # A file that was replaced is done again whatever its folder says.
            if not isinstance(scene, SetAside) and scene.etag == etag:
                yield _Sampled(folder=folder, scene=scene, digest=digest)


def _drawn(scenes: Iterable[Candidate], number: int) -> list[Candidate]:
    return sorted(scenes, key=lambda one: hashlib.sha256(one.uri.encode()).digest())[:number]


def _packages(spec: NightlySpec, digests: set[str]) -> dict[str, Package]:
    """Packages of the registry with these digests, as far as they are there."""
    registry, name = open_store(spec.registry, spec.registry_storage), spec.train.card.name
    found: dict[str, Package] = {}
    for version in read_versions(registry, list(version_names(registry, f"{name}/versions/"))):
        if version.digest in digests and version.digest not in found:
            try:
                package = load_package(str(reference_of(spec, version.version)), spec.registry_storage)
            except ModelError:
                continue
            found[version.digest] = package
    return found


def _look(shared: _Looking, sampled: _Sampled) -> Differing:
    """One window of a scene through both packages; a scene that cannot be read says nothing."""
    job, scene, new, old = shared.job, sampled.scene, shared.new, shared.old.get(sampled.digest)
    if old is None or not _comparable(old, new):
        return Differing(pixels=shared.side**2, differing=shared.side**2)
    try:
        with open_scene(job, scene.images) as reader:
            header, nodata = reader.header, new.card.nodata
            bands = scene.bands or job.source.bands or tuple(range(1, header.num_bands + 1))
            height, width = min(shared.side, header.height), min(shared.side, header.width)
            window = Window((header.width - width) // 2, (header.height - height) // 2, width, height)
            patch = reader.read(window, bands, rule=nodata.rule, nan_is_nodata=nodata.nan == "nodata")
        before, after = (
            predict_patch(one, patch, stitch=stitch_of(one.card), device=shared.device) for one in (old, new)
        )
    except SceneError:
        return Differing()
    differs = before != after
    if isinstance(new.card.output, ImageOutput):
        dtype, (low, high) = new.card.output.dtype, new.card.output.units_range
        span = high - low if dtype == "float32" else float(np.iinfo(dtype).max)
        far = np.abs(before.astype(np.float64) - after.astype(np.float64)) > _SAME * span
        differs = far.any(axis=0)
    k = new.card.geometry.scale
    valid = patch.valid_mask.repeat(k, 0).repeat(k, 1)
    return Differing(pixels=int(valid.sum()), differing=int((differs & valid).sum()))


def _comparable(old: Package, new: Package) -> bool:
    """Of the same bands, and giving arrays of the same shape."""
    one, other = old.card, new.card
    kinds = (one.output.kind, one.num_bands, one.geometry.scale) == (
        other.output.kind,
        other.num_bands,
        other.geometry.scale,
    )
    return kinds and (one.output.kind == "classes" or one.output.num_channels == other.output.num_channels)
