"""What an operator should know of an output before a run changes it: said by the run, which deletes nothing for it."""

from __future__ import annotations

from collections.abc import Iterator

from encdec_batch.commit.foreign import find_foreign
from encdec_batch.job.gone_inputs import Removing, Sources
from encdec_batch.job.plan import Prepared
from encdec_batch.job.volumes import volumes_note
from encdec_batch.store.store import Store

LOOKED_AT = 1000
"""Objects of a new output that are looked at: one page of a listing."""


def notes_of(prepared: Prepared, store: Store, removing: Removing) -> tuple[str, ...]:
    """A line for each thing that may not be as it was meant."""
    return tuple(_notes(prepared, store, removing))


def _notes(prepared: Prepared, store: Store, removing: Removing) -> Iterator[str]:
    known = prepared.known
    if prepared.note:
        yield prepared.note
    if idle := volumes_note(prepared.order, prepared.groups):
        yield idle
    if not removing.prune and (lost := lost_note(removing.sources)):  # held back, the removal itself says it
        yield lost
    # An output that is in use is not listed for this at each run; `prune` says it of the whole.
    if not known.committed and (foreign := str(find_foreign(store.list(), at_most=LOOKED_AT))):
        yield foreign


def lost_note(sources: Sources) -> str:
    """Of committed scenes that the source does not name; empty where there are none."""
    lost, of = sources.missing, sources.num_committed
    if not lost:
        return ""
    check, expect = "", ""
    if sources.is_doubtful:
        check, expect = "check that it lists all it holds; ", f" --expect {sources.num_named}"
    return (
        f"{len(lost)} of {of} committed scenes ({100 * len(lost) / of:.1f} %) are no longer in the source (the first "
        f"is {min(lost)}); they were marked and left as they are: {check}run --prune{expect} or prune --removed takes "
        "them out"
    )
