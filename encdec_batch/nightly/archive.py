"""The archive, kept up every night with what is in production: what is new, and by a policy what others have made."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from encdec_batch.job.run import run
from encdec_batch.models.card import CardModel
from encdec_batch.models.version import record_bytes
from encdec_batch.nightly.differing import differing_folders
from encdec_batch.nightly.production import ProductionState, reference_of
from encdec_batch.nightly.records import record_or_none
from encdec_batch.plan.scene import Candidate
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.nightly import NightlySpec
from encdec_batch.store.store import Store


class ArchiveRun(CardModel):
    """What one move of production meant to an archive."""

    format_version: Literal[1] = 1
    move: int
    """Its number."""
    version: str
    """Of production since."""
    policy: str
    folders: dict[str, float] = Field(default_factory=dict)
    """Of `where_they_differ`: each folder's share of differing pixels, fixed before the first scene is done again."""
    words: str = ""
    """What the last run of it came to. Empty: none has ended yet."""


def archive_run(store: Store, move: int) -> ArchiveRun | None:
    """What became of the archive since this move of production; None: nothing was begun."""
    return record_or_none(ArchiveRun, store, _path(move))


def keep_up(spec: NightlySpec, job: JobSpec, store: Store, state: ProductionState, *, verbose: bool) -> str:
    """Runs the archive with what is in production: what is new, and what the policy says of scenes of other models.

    The policy is applied once to each move of production, whoever made it; after a kill the same call goes on.

    Args:
        spec: of the nightly job, with an archive.
        job: of the archive.
        store: of the nightly job's output.
        state: of production.
        verbose: let Ray talk.

    Returns:
        What became of it, in words; empty: nothing is in production.

    Raises:
        EncdecError: the archive cannot be run; the next night tries again.
    """
    asked = spec.archive
    if asked is None:
        raise AssertionError("there is no archive to be run")
    if state.alias is None:
        return ""
    alias = state.alias[0]
    # The version and not the alias: somebody may move it while the archive is computed.
    package = str(reference_of(spec, alias.version))
    job = job.model_copy(update={"model": job.model.model_copy(update={"package": package})})
    move = alias.moves[-1].number
    begun = archive_run(store, move)
    if begun is None or begun.policy != asked.policy:
        differ = differing_folders(spec, asked, job, verbose=verbose) if asked.policy == "where_they_differ" else {}
        begun = ArchiveRun(move=move, version=alias.version, policy=asked.policy, folders=differ)
        # A scene that is done by the new model would change what a second look finds.
        store.put(_path(move), record_bytes(begun))
    again = frozenset(folder for folder, share in begun.folders.items() if share > asked.share)
    keep: Callable[[Candidate], bool] | None = None if asked.policy == "all" else _Outside(again)
    summary = run(job, verbose=verbose, keep=keep)
    aside = f", {len(summary.set_aside)} set aside" if summary.set_aside else ""
    done = f"{summary.scenes_committed} scenes computed by {alias.version}, {summary.scenes_done} are there{aside}"
    differ_in = f"; the models differ in {len(again)} of {len(begun.folders)} folders" if begun.folders else ""
    words = f"archive {job.output.uri} ({asked.policy}): {done}{differ_in}"
    if words != begun.words:
        store.put(_path(move), record_bytes(begun.model_copy(update={"words": words})))
    return words


@dataclass(frozen=True, slots=True)
class _Outside:
    """Scenes of other folders than these stay."""

    folders: frozenset[str]

    def __call__(self, scene: Candidate) -> bool:
        return posixpath.dirname(scene.uri) not in self.folders


def _path(move: int) -> str:
    return f"archive/{move}.json"
