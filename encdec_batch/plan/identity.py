"""Scene ids: safe as a folder's name on every store, and different for different scenes."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from encdec_batch.plan.scene import Candidate, SetAside

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
MAX_LENGTH = 120


_ENDINGS_OF_TWO = (".nii.gz", ".ome.zarr")
"""Of formats whose names end in two extensions."""


def path_id(path: str) -> str:
    """The wanted id of an object: its path below the source, without the extension."""
    ending = next((one for one in _ENDINGS_OF_TWO if path.lower().endswith(one)), "")
    if ending and PurePosixPath(path).name.lower() != ending:
        return path[: -len(ending)]
    pure = PurePosixPath(path)
    return str(pure.with_suffix("")) if pure.suffix else path


def safe_id(wanted: str) -> str:
    """An id that is a plain file name on every store; those that had to be changed end in a hash of what they were."""
    safe = _UNSAFE.sub("_", wanted)
    if safe.startswith("."):
        safe = "_" + safe
    if safe == wanted and 0 < len(safe) <= MAX_LENGTH:
        return safe
    return f"{safe[: MAX_LENGTH - 9]}-{_hash(wanted)}" if len(safe) > MAX_LENGTH - 9 else f"{safe}-{_hash(wanted)}"


def distinct_id(wanted: str, what: str, taken: Collection[str]) -> str:
    """An id for what has none of its own: as wanted if nobody has it (`taken`, without case), else with a hash."""
    scene_id = safe_id(wanted)
    return scene_id if scene_id.casefold() not in taken else f"{scene_id[: MAX_LENGTH - 9]}-{_hash(what)}"


def settle_ids(wanted: Iterable[tuple[str, Candidate]]) -> tuple[list[Candidate], list[SetAside]]:
    """Gives each candidate its id; sets aside those whose wanted ids are equal, and links that differ in nothing that
    may be written down.

    Ids equal but for case are kept apart by a hash: some stores do not tell them apart.
    """
    pairs: Sequence[tuple[str, Candidate]] = list(wanted)
    exact = Counter(name for name, _ in pairs)
    folded = Counter(safe_id(name).casefold() for name in exact)
    links: dict[str, set[str]] = defaultdict(set)
    for _, candidate in pairs:
        if candidate.link:
            links[candidate.uri].add(candidate.link)
    kept: list[Candidate] = []
    aside: list[SetAside] = []
    for name, candidate in pairs:
        scene_id = safe_id(name)
        if folded[scene_id.casefold()] > 1 and not scene_id.endswith(_hash(name)):
            scene_id = f"{scene_id[: MAX_LENGTH - 9]}-{_hash(name)}"
        if exact[name] > 1:
            # Both stay visible: the hash of the URI tells them apart in quarantine.
            aside.append(
                SetAside(
                    scene_id=f"{scene_id[: MAX_LENGTH - 9]}-{_hash(candidate.uri)}",
                    uri=candidate.uri,
                    stage="plan",
                    reason=f"{exact[name]} scenes have the id {scene_id}",
                    hint="give each an id of its own in a table (source.kind: table), or rename one",
                )
            )
            continue
        if (alike := len(links.get(candidate.uri, ()))) > 1:
            aside.append(
                SetAside(
                    scene_id=scene_id,
                    uri=candidate.uri,
                    stage="plan",
                    reason=f"{alike} links are this one but for what follows the ?, which may hold "
                    "credentials and tells no scenes apart",
                    hint="give links whose paths differ",
                )
            )
            continue
        kept.append(_with_id(candidate, scene_id))
    return kept, aside


def apart_from(candidates: Sequence[Candidate], committed: Collection[str]) -> tuple[Candidate, ...]:
    """The same candidates; one whose id is that of a committed scene but for case is told apart from it by a hash.

    `a.tif` may have been `A.tif` when it was committed. Markers stay, and on some disks both would have one.
    """
    folded = {scene_id.casefold() for scene_id in committed}
    return tuple(
        _with_id(found, f"{found.scene_id[: MAX_LENGTH - 9]}-{_hash(found.scene_id)}")
        if found.scene_id.casefold() in folded and found.scene_id not in committed
        else found
        for found in candidates
    )


def _with_id(candidate: Candidate, scene_id: str) -> Candidate:
    return replace(candidate, scene_id=scene_id)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
