"""A night from its beginning to its page. After a kill the same night goes on; what it decided it does not do twice."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass

from encdec_batch.commit.holder import HolderInfo
from encdec_batch.commit.lease import Lease, acquire_lease
from encdec_batch.errors import EncdecError, SpecError
from encdec_batch.nightly.archive import check_archive, rerun, rerun_of
from encdec_batch.nightly.flow import NightFlow
from encdec_batch.nightly.night import checked_night, night_of
from encdec_batch.nightly.page import Failure, render_failure, render_night, render_nights
from encdec_batch.nightly.pictures import kept_pictures
from encdec_batch.nightly.production import production_state
from encdec_batch.nightly.records import Decision, page_path, read_decision, read_decisions, write_decision
from encdec_batch.nightly.retention import retain
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.nightly import NightlySpec
from encdec_batch.store.object import join_uri
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store
from encdec_batch.train.tracking.progress import Report

WAIT_S = 60.0
"""For the lease of a try that died on another machine, which is free 45 s after its last renewal."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """How a night ended."""

    decision: Decision
    page: str
    """URI."""
    archive: str
    """What became of the archive, in words; empty: nothing."""
    already: bool
    """It was decided before."""


def run_night(
    spec: NightlySpec,
    night: str | None = None,
    *,
    report: Report = lambda _: None,
    verbose: bool = False,
    wait_s: float = WAIT_S,
) -> Night:
    """Retrain, judge, and promote what is better.

    Args:
        spec: of the job.
        night: `YYYY-MM-DD`; None: the one that it is by the store's clock.
        report: is told how far the training is.
        verbose: let Ray talk.
        wait_s: how long to wait for another night that is not over.

    Raises:
        SpecError: the spec does not fit what is there.
        LeaseHeld: another night goes on.
        EncdecError: it could not come to a decision, production is what it was, and a page says so; or the archive
            could not be run after one.
    """
    wanted = checked_night(night) if night is not None else None
    job = check_archive(spec)
    store = open_store(spec.output.uri, spec.output.storage)
    capabilities = store.probe()
    if not (capabilities.create_only and capabilities.if_match):
        raise SpecError(
            f"{store.uri}: this store overwrites what must not be overwritten",
            hint="use a store with conditional writes; without them two nights could mix",
        )
    name = wanted or night_of(store.now())
    with acquire_lease(store, HolderInfo.current(f"night-{name}"), wait_s=wait_s) as lease:
        run = _NightRun(spec=spec, night=name, store=store, lease=lease)
        earlier = read_decision(store, name)
        already = earlier is not None and earlier.final
        decision = earlier
        if decision is None or not already:
            decision = run.decided(report=report, verbose=verbose)
        archive = run.follow(decision, job, verbose=verbose)
        page = join_uri(store.uri, page_path(name))
        return Night(decision=decision, page=page, archive=archive, already=already)


@dataclass(frozen=True, slots=True, kw_only=True)
class _NightRun:
    """Where a night's papers are written. The lease is looked at before each of them."""

    spec: NightlySpec
    night: str
    store: Store
    lease: Lease

    def decided(self, *, report: Report, verbose: bool) -> Decision:
        """The decision, with its page; where there is none, a page that says so."""
        flow = NightFlow(
            spec=self.spec, night=self.night, store=self.store, report=report, verbose=verbose, keep=self.keep
        )
        try:
            decision = flow.decide()
            self.keep(decision)
        except EncdecError as error:
            # Where the store is what failed the log has to do.
            with suppress(EncdecError):
                self._say_failed(error)
            raise
        self.write_pages(decision, "")
        for line in retain(self.spec, self.store, self.night):
            log.info("night.retention", extra={"line": line})
        return decision

    def _say_failed(self, error: EncdecError) -> None:
        self.lease.check()
        kept = read_decision(self.store, self.night)
        failure = Failure(
            night=self.night,
            message=error.message,
            hint=error.hint,
            time=self.store.now(),
            promoting=kept is not None and kept.outcome == "promoting",
        )
        self.store.put(page_path(self.night), render_failure(failure).encode())

    def follow(self, decision: Decision, job: JobSpec | None, *, verbose: bool) -> str:
        """Runs the archive where the last promotion of a night still holds and was not followed by it yet; in words."""
        promoted = next((one for one in reversed(read_decisions(self.store)) if one.outcome == "promoted"), None)
        if job is None or promoted is None or promoted.candidate is None or promoted.judgement is None:
            return ""
        version = promoted.candidate.version
        found = rerun_of(self.store, version)
        if found is not None and found.words:
            return found.words if promoted.night == self.night else ""
        alias = production_state(self.spec).alias
        if alias is None or alias[0].version != version:
            return ""
        self.write_pages(decision, "the archive is being run")
        try:
            words = rerun(self.spec, job, self.store, promoted, verbose=verbose).words
        except EncdecError as error:
            self.write_pages(decision, f"the archive could not be run, and the next night tries again: {error}")
            raise
        self.write_pages(decision, words)
        return words

    def keep(self, decision: Decision) -> None:
        self.lease.check()
        write_decision(self.store, decision)

    def write_pages(self, decision: Decision, archive: str) -> None:
        """The night's page, and the list of nights."""
        self.lease.check()
        pictures = kept_pictures(self.store, self.night) if decision.judgement else ()
        page = render_night(decision, pictures, archive=archive)
        self.store.put(page_path(self.night), page.encode())
        nights = render_nights(decision.model, read_decisions(self.store))
        self.store.put("index.html", nights.encode())
