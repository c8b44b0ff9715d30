"""What is no longer kept: candidates that never were in production, and trainings of nights that are over."""

from __future__ import annotations

from collections.abc import Sequence

from encdec_batch.models.alias import Alias, read_alias
from encdec_batch.models.reference import ALIASES
from encdec_batch.models.retire import retire, sweep
from encdec_batch.models.version import Version, read_versions, version_names
from encdec_batch.spec.nightly import NightlySpec
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store


def retain(spec: NightlySpec, store: Store, night: str) -> tuple[str, ...]:
    """Deletes what is due; a line for each thing that was.

    Args:
        spec: of the nightly job.
        store: of its output.
        night: that is ending; nothing of it is touched.

    Raises:
        ModelError: a record of the registry is damaged; nothing is deleted then.
    """
    registry, name = open_store(spec.registry, spec.registry_storage), spec.train.card.name
    versions = read_versions(registry, list(version_names(registry, f"{name}/versions/")))
    aliases = {alias: state[0] for alias in ALIASES if (state := read_alias(registry, name, alias))}
    ours = {info.path.rpartition("/")[2].removesuffix(".json") for info in registry.list(f"{name}/lineage/")}
    due = due_versions(versions, aliases, ours, spec.output.keep)
    for version in due:
        retire(registry, version)
    gone = sweep(registry, name)
    _drop_trainings(store, night, spec.output.keep)
    lines = [("retired", [one.version for one in due]), ("deleted half a day after", list(gone))]
    return tuple(f"candidates {what}: {', '.join(found)}" for what, found in lines if found)


def due_versions(
    versions: Sequence[Version], aliases: dict[str, Alias], ours: set[str], keep: int
) -> tuple[Version, ...]:
    """Candidates of nights that were never in production, but the newest; the oldest first.

    Args:
        versions: in the order in which they were added.
        aliases: as they are now.
        ours: digests of the packages that nights made.
        keep: how many candidates stay.
    """
    named = {alias.version for alias in aliases.values()}
    production = aliases.get("production")
    moves = production.moves if production else ()
    named |= {move.version for move in moves}
    # An alias keeps its newest moves alone: what is older than all of them may have been in production as well.
    since = moves[0].time if moves and moves[0].number > 1 else 0.0
    candidates = [one for one in versions if one.digest in ours and one.version not in named and one.added >= since]
    return tuple(candidates[:-keep])


def _drop_trainings(store: Store, night: str, keep: int) -> None:
    """Checkpoints and packages of old nights; their plans, decisions and pages stay."""
    paths = [info.path for info in store.list("nights/")]
    nights = sorted({path.split("/")[1] for path in paths if path.count("/") >= 2})
    old = [one for one in nights[:-keep] if one != night]
    store.delete(
        path for path in paths if path.split("/")[1] in old and path.split("/")[2].startswith(("training-", "package-"))
    )
