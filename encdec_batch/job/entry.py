"""Before a run does anything: whom it waits for, and what an output cannot have done to it."""

from __future__ import annotations

import logging

from encdec_batch.errors import LeaseHeld, SpecError
from encdec_batch.job.gone_inputs import Removal
from encdec_batch.job.plan import Prepared
from encdec_batch.job.progress import Watch
from encdec_batch.report.catalogue_before import refuse_foreign
from encdec_batch.store.object import Capabilities
from encdec_batch.store.store import Store

log = logging.getLogger(__name__)


class Waiting:
    """Says for whom a run waits, and remembers that it did."""

    def __init__(self, watch: Watch) -> None:
        self._watch, self.waited = watch, False

    def __call__(self, held: LeaseHeld) -> None:
        self.waited = True
        self._watch.update(message=f"waiting: {held.message}")
        log.warning("run.waits", extra={"reason": held.message})


def refuse(prepared: Prepared, store: Store, capabilities: Capabilities, removal: Removal) -> None:
    """Nothing, if all that is asked for can be done to this output.

    Raises:
        SpecError: markers are to be replaced, and the store cannot do it safely; or a catalogue is to be written, and
            somebody else's is there.
    """
    if prepared.order.spec.output.catalogue:
        refuse_foreign(store)
    if capabilities.if_match:
        return
    replaced = [c.scene_id for c in prepared.work.todo if c.scene_id in prepared.known.committed]
    if replaced:
        raise SpecError(
            f"{store.uri}: {len(replaced)} committed scenes are to be replaced (the first is {replaced[0]}), "
            "and this store ignores If-Match",
            hint="write to a new output.uri, or use a store with conditional writes",
        )
    if removal.prune:
        raise SpecError(
            f"{store.uri}: this store ignores If-Match, and no marker can be replaced safely",
            hint="leave --prune out, or use a store with conditional writes",
        )
