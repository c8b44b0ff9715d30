"""The page of the newest run that did something, made anew: of the output as it is now."""

from __future__ import annotations

import logging

from encdec_batch.commit.packed import PackedMarkers
from encdec_batch.commit.quarantine import list_quarantine
from encdec_batch.errors import EncdecError, ObjectMissing
from encdec_batch.job.rebuild import PastRun, last_run
from encdec_batch.report.build import REPORT, Material, write_report
from encdec_batch.report.record import State
from encdec_batch.store.store import Store

log = logging.getLogger(__name__)


def has_page(store: Store) -> bool:
    """Whether a run has come to write one."""
    try:
        store.info(REPORT)
    except ObjectMissing:
        return False
    return True


def rewrite_page(store: Store, markers: PackedMarkers) -> None:
    """Makes the page anew, whether there is one or not.

    Args:
        store: the root of the output; the caller holds its lease.
        markers: all of it.

    Raises:
        EncdecError: no run has left its spec, or the package of the run is no longer there.
    """
    run = last_run(store, markers)
    material = Material(
        spec=run.spec,
        card=run.package.card,
        summary=run.summary,
        markers=markers,
        quarantine=list(list_quarantine(store)),
        state=_state(run),
    )
    write_report(store, material)


def renew_page(store: Store, markers: PackedMarkers) -> None:
    """The page that is there, after scenes were taken out, which it would show else.

    One that cannot be made is logged: what was asked for has been done.
    """
    if not has_page(store):
        return
    try:
        rewrite_page(store, markers)
    except EncdecError as error:
        log.warning("report.not_renewed", extra={"error": str(error)})


def _state(run: PastRun) -> State:
    if not run.ended:
        return "interrupted"
    return "stopped" if run.summary.get("stopped") else "complete"
