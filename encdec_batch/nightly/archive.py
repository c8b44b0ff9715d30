"""The archive, once another model is in production: by a run of its own job, less the scenes that may stay."""

from __future__ import annotations

import hashlib
import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from encdec_batch.errors import SceneError, SpecError
from encdec_batch.job.run import run
from encdec_batch.job.survey import survey
from encdec_batch.models.card import CardModel, ImageOutput
from encdec_batch.models.package import Package, load_package
from encdec_batch.models.reference import parse_reference
from encdec_batch.models.version import record_bytes
from encdec_batch.nightly.records import Decision, record_or_none
from encdec_batch.nightly.standing import reference_of
from encdec_batch.plan.discover import find_scenes
from encdec_batch.plan.open import open_scene
from encdec_batch.plan.scene import Candidate
from encdec_batch.predict.array import predict_patch
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.load import load_spec
from encdec_batch.spec.nightly import ArchiveRerun, NightlySpec
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store
from encdec_batch.window import Window

_SAME = 0.01
"""Of the range of an image: values that are nearer are the same."""


class Rerun(CardModel):
    """What became of an archive."""

    format_version: Literal[1] = 1
    version: str
    policy: str
    folders: dict[str, float] = Field(default_factory=dict)
    """Of `where_they_differ`: each folder's share of differing pixels, fixed before the first scene is done again."""
    words: str = ""
    """Empty while it goes on."""


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


def check_archive(spec: NightlySpec) -> JobSpec | None:
    """The job of the archive; None: there is none.

    Raises:
        SpecError: it is no job, or of another model than production of this one.
    """
    if spec.archive is None:
        return None
    job = load_spec(spec.archive.spec)
    wanted, named = reference_of(spec, "production"), parse_reference(job.model.package)
    if named is None or (named.registry.rstrip("/"), named.name, named.wanted) != (
        wanted.registry,
        wanted.name,
        wanted.wanted,
    ):
        raise SpecError(
            f"archive.spec {spec.archive.spec}: its model is {job.model.package}, this job promotes {wanted}",
            hint=f"say there model.package: {wanted}",
        )
    return job


def rerun_of(store: Store, version: str) -> Rerun | None:
    """What became of the archive after this version was promoted; None: nothing was begun."""
    return record_or_none(Rerun, store, f"archive/{version}.json")


def rerun(spec: NightlySpec, job: JobSpec, store: Store, promoted: Decision, *, verbose: bool) -> Rerun:
    """Runs the archive by the policy; after a kill the same call goes on.

    Args:
        spec: of the nightly job, with an archive.
        job: of the archive.
        store: of the nightly job's output.
        promoted: the decision that it follows.
        verbose: let Ray talk.

    Raises:
        EncdecError: the archive cannot be run; the next night tries again.
    """
    asked = spec.archive
    if asked is None or promoted.candidate is None or promoted.judgement is None:
        raise AssertionError("there is no archive to be run")
    version, before = promoted.candidate.version, promoted.judgement.against.version
    # The version and not the alias: somebody may move it while the archive is computed.
    package = str(reference_of(spec, version))
    job = job.model_copy(update={"model": job.model.model_copy(update={"package": package})})
    begun = rerun_of(store, version)
    if begun is None or begun.policy != asked.policy:
        differ = _differing_folders(spec, asked, job, before) if asked.policy == "where_they_differ" else {}
        begun = Rerun(version=version, policy=asked.policy, folders=differ)
        # A scene that is done by the new model would change what a second look finds.
        store.put(f"archive/{version}.json", record_bytes(begun))
    again = frozenset(folder for folder, share in begun.folders.items() if share > asked.share)
    keep: Callable[[Candidate], bool] | None = None if asked.policy == "all" else _Outside(again)
    summary = run(job, verbose=verbose, keep=keep)
    aside = f", {len(summary.set_aside)} set aside" if summary.set_aside else ""
    done = f"{summary.scenes_committed} scenes computed by {version}, {summary.scenes_done} are there{aside}"
    differ_in = f"; the two models differ in {len(again)} of {len(begun.folders)} folders" if begun.folders else ""
    ended = begun.model_copy(update={"words": f"archive {job.output.uri} ({asked.policy}): {done}{differ_in}"})
    store.put(f"archive/{version}.json", record_bytes(ended))
    return ended


@dataclass(frozen=True, slots=True)
class _Outside:
    """Scenes of other folders than these stay."""

    folders: frozenset[str]

    def __call__(self, scene: Candidate) -> bool:
        return posixpath.dirname(scene.uri) not in self.folders


def _differing_folders(spec: NightlySpec, asked: ArchiveRerun, job: JobSpec, before: str) -> dict[str, float]:
    """The share of differing pixels, by folder of scenes that were done before."""
    new = load_package(job.model.package, job.model.storage)
    old = load_package(str(reference_of(spec, before)), spec.registry_storage)
    committed = survey(open_store(job.output.uri, job.output.storage)).committed
    folders: dict[str, list[Candidate]] = defaultdict(list)
    for one in find_scenes(job.source).candidates:
        if one.scene_id in committed:
            folders[posixpath.dirname(one.uri)].append(one)
    return {
        folder: sum(
            (_compare(job, old, new, one, asked.window) for one in _drawn(scenes, asked.sample)), start=Differing()
        ).share
        for folder, scenes in folders.items()
    }


def _drawn(scenes: Iterable[Candidate], number: int) -> list[Candidate]:
    return sorted(scenes, key=lambda one: hashlib.sha256(one.uri.encode()).digest())[:number]


def _compare(job: JobSpec, old: Package, new: Package, scene: Candidate, side: int) -> Differing:
    """One window of a scene through both; a scene that cannot be read says nothing."""
    try:
        with open_scene(job, scene.opened, scene.etag) as reader:
            header, nodata = reader.header, new.card.nodata
            bands = scene.bands or job.source.bands or tuple(range(1, header.num_bands + 1))
            height, width = min(side, header.height), min(side, header.width)
            window = Window((header.width - width) // 2, (header.height - height) // 2, width, height)
            patch = reader.read(window, bands, rule=nodata.rule, nan_is_nodata=nodata.nan == "nodata")
        made = [predict_patch(one, patch, stitch=_stitch(one)) for one in (old, new)]
    except SceneError:
        return Differing()
    differs = made[0] != made[1]
    if isinstance(new.card.output, ImageOutput):
        dtype, (low, high) = new.card.output.dtype, new.card.output.range
        span = high - low if dtype == "float32" else float(np.iinfo(dtype).max)
        far = np.abs(made[0].astype(np.float64) - made[1].astype(np.float64)) > _SAME * span
        differs = far.any(axis=0)
    k = new.card.geometry.scale
    valid = patch.valid_mask.repeat(k, 0).repeat(k, 1)
    return Differing(pixels=int(valid.sum()), differing=int((differs & valid).sum()))


def _stitch(package: Package) -> Literal["crop", "blend"]:
    return "blend" if package.card.geometry.exactness == "global" else "crop"
