"""What an operator should know of an output before a run changes it: said by the run, which deletes nothing for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from encdec_batch.commit.foreign import find_foreign
from encdec_batch.job.plan import Prepared
from encdec_batch.plan.plan import Committed
from encdec_batch.store.store import Store

USUAL_PERCENT = 10.0
"""More than this of an archive is seldom removed at once."""
LOOKED_AT = 1000
"""Objects of a new output that are looked at: one page of a listing."""


def notes_of(prepared: Prepared, store: Store) -> tuple[str, ...]:
    """A line for each thing that may not be as it was meant."""
    return tuple(_notes(prepared, store))


def _notes(prepared: Prepared, store: Store) -> Iterator[str]:
    known, work = prepared.known, prepared.work
    if prepared.note:
        yield prepared.note
    named = work.keys.keys() | {aside.scene_id for aside in work.set_aside}
    if lost := lost_note(known.committed, named):
        yield lost
    # An output that is in use is not listed for this at each run; `prune` says it of the whole.
    if not known.committed and (foreign := str(find_foreign(store.list(), at_most=LOOKED_AT))):
        yield foreign


def lost_note(committed: Mapping[str, Committed], named: set[str]) -> str:
    """Of committed scenes that the source does not name; empty where there are none.

    Args:
        committed: what lay in the output when the run began, by scene id.
        named: ids of all scenes of the source.
    """
    with_outputs = [scene_id for scene_id, found in committed.items() if found.outputs]
    lost = [scene_id for scene_id in with_outputs if scene_id not in named]
    if not lost:
        return ""
    share = 100 * len(lost) / len(with_outputs)
    check = "check that it lists all it holds; " if share > USUAL_PERCENT else ""
    return (
        f"{len(lost)} of {len(with_outputs)} committed scenes ({share:.1f} %) are no longer in the source (the first "
        f"is {lost[0]}); they were left as they are: {check}prune --removed takes them out"
    )
