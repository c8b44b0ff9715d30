"""Inputs that are gone, as a run finds its source: which, whether that is to be believed, and what becomes of their
scenes.

What happens when a listing lost many scenes: a disk is not mounted, credentials see half of an archive, and its scenes
look removed. So a run marks what it misses (`report/gone_since.py` says so in the tables), and deletes nothing unless
it is told to. Told so (`run --prune`) it does all else that there is to do, and holds the removal back where more than
USUAL_PERCENT of the committed scenes are missing, unless somebody says how many the source names (`--expect`).
`prune --removed`, which looks without a run, has the limit in its option (`job/prune_removed.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from encdec_batch.commit.marker import Marker
from encdec_batch.errors import EncdecError
from encdec_batch.job.plan import Prepared
from encdec_batch.plan.public_spec import source_name

USUAL_PERCENT = 10.0
"""More than this of an archive is seldom removed at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What is asked for."""

    prune: bool = False
    """Scenes whose input is gone are taken out at the end, and what nothing can name again is deleted."""
    expect: int | None = None
    """The source names at least so many scenes; then what is missing is believed to be gone."""


MARK_ALONE = Removal()
"""Nothing is removed."""


class Sources:
    """The source as a run found it, against what is committed.

    Args:
        prepared: what there is, and what there was.
    """

    def __init__(self, prepared: Prepared) -> None:
        work, committed = prepared.work, prepared.known.committed
        spec = prepared.order.spec
        self._where = "the list" if spec.source.kind == "list" else source_name(spec)
        self._named = frozenset([*work.keys, *(aside.scene_id for aside in work.set_aside)])
        self._with_outputs = frozenset(scene_id for scene_id, found in committed.items() if found.outputs)
        # A scene that goes on under another id is not gone before the other one is committed.
        others = {found.scene_id: found.uri for found in work.todo} | {one.scene_id: one.uri for one in work.set_aside}
        self._others = {scene_id: uri for scene_id, uri in others.items() if scene_id not in self._with_outputs}

    @property
    def missing(self) -> frozenset[str]:
        """Ids of committed scenes that the source does not name."""
        return self._with_outputs - self._named

    @property
    def num_committed(self) -> int:
        """Scenes that had outputs when the run began."""
        return len(self._with_outputs)

    @property
    def num_named(self) -> int:
        """Scenes that the source names."""
        return len(self._named)

    @property
    def is_doubtful(self) -> bool:
        """Whether more is missing than is seldom removed at once."""
        return 100 * len(self.missing) > USUAL_PERCENT * self.num_committed

    def names(self, scene_id: str) -> bool:
        """Whether the source names a scene."""
        return scene_id in self._named

    def gone(self, markers: Iterable[Marker], moved: Collection[str] = ()) -> Iterable[str]:
        """Ids of scenes whose input is gone.

        Args:
            markers: of the output.
            moved: scenes that this run has committed.
        """
        kept = self.kept_uris(moved)
        return (marker.scene_id for marker in markers if marker.outputs and self.is_gone(marker, kept))

    def is_gone(self, marker: Marker, kept: Collection[str]) -> bool:
        """Whether the input of a committed scene is named no more, neither by its id nor (`kept_uris`) by its URI."""
        return marker.scene_id not in self._named and marker.input.uri not in kept

    def kept_uris(self, moved: Collection[str] = ()) -> frozenset[str]:
        """URIs of scenes that are named and not committed yet."""
        return frozenset(uri for scene_id, uri in self._others.items() if scene_id not in moved)

    def check(self, removal: Removal) -> None:
        """Nothing, if the source names what was expected.

        Raises:
            EncdecError: it names fewer scenes than were expected.
        """
        named = self.num_named
        if removal.expect is not None and named < removal.expect:
            raise EncdecError(
                f"{self._where}: {named} scenes are there, fewer than the {removal.expect} that were expected; "
                "nothing was done",
                hint="check that the source lists all it holds; if the others were really removed, say "
                f"--expect {named}",
            )

    def doubt(self, removal: Removal) -> str:
        """Why what is missing must not be removed, though that is asked for, and what to do; empty: it may be."""
        if not removal.prune or removal.expect is not None or not self.is_doubtful:
            return ""
        missing, of = len(self.missing), self.num_committed
        return (
            f"{missing} of {of} committed scenes ({100 * missing / of:.1f} %) are no longer in {self._where} (the "
            f"first is {min(self.missing)}), more than {USUAL_PERCENT:g} %: they were marked and not taken out; check "
            "that the source lists all it holds; if they were really removed, say --prune --expect "
            f"{self.num_named}, the scenes that it names now"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Removing:
    """The same, as the end of a run needs it."""

    sources: Sources
    prune: bool
    """What nothing can name again is deleted, whatever the source lists."""
    held_back: str = ""
    """Why scenes whose input is gone are not taken out before that; empty: with `prune` they are."""

    @property
    def takes_out(self) -> bool:
        """Whether scenes whose input is gone are taken out."""
        return self.prune and not self.held_back
