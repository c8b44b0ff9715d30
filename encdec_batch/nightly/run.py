"""A night from its beginning to its page. After a kill the same night goes on; what it decided it does not do twice."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass

from encdec_batch.commit.holder import HolderInfo
from encdec_batch.commit.lease import Lease, acquire_lease
from encdec_batch.errors import EncdecError, SpecError, unexpected
from encdec_batch.nightly.archive import keep_up
from encdec_batch.nightly.check import check_archive
from encdec_batch.nightly.flow import NightFlow
from encdec_batch.nightly.night import checked_night, next_try, night_of
from encdec_batch.nightly.page import WORDS, Failure, render_failure, render_night, render_nights
from encdec_batch.nightly.pictures import kept_pictures
from encdec_batch.nightly.production import model_of, production_alias, production_state
from encdec_batch.nightly.promote import settled
from encdec_batch.nightly.records import (
    UNSETTLED,
    Decision,
    page_path,
    read_decision,
    read_decisions,
    write_decision,
)
from encdec_batch.nightly.retention import retain
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.nightly import NightlySpec
from encdec_batch.store.object import join_uri
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store
from encdec_batch.train.pairs.private import sources_hidden
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
        EncdecError: it could not come to a decision, production is what it was, and a page says so; or it came to one,
            and the archive could not be run.
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
    # A page says why a night failed: not with the names of what it read.
    hidden = sources_hidden(spec.privacy, [spec.train.data.train])
    with hidden, acquire_lease(store, HolderInfo.current(f"night-{name}"), wait_s=wait_s) as lease:
        return _NightRun(spec=spec, night=name, store=store, lease=lease, job=job, report=report, verbose=verbose).run()


@dataclass(frozen=True, slots=True, kw_only=True)
class _NightRun:
    """One try of a night. The lease is looked at before everything that it writes."""

    spec: NightlySpec
    night: str
    store: Store
    lease: Lease
    job: JobSpec | None
    """Of the archive."""
    report: Report
    verbose: bool

    def run(self) -> Night:
        """Decision, clearing up, archive; each leaves its word on the page, whatever becomes of it."""
        try:
            decision, already = self._decision()
        except BaseException as error:
            written = self._say_failed(error, "")
            if isinstance(error, EncdecError):
                # Labels may be wrong for weeks: the archive is kept up all the same.
                written = self._say_failed(error, self._archive_after_failure())
            self._note(error, self._what_next(error), page=written)
            raise
        # First of all, also where an earlier try decided and died: the archive may take hours.
        self._write_pages(decision, "the archive is being run" if self.job is not None else "", "")
        note = self._clear_up()
        try:
            archive = self._archive()
        except BaseException as error:
            with suppress(Exception):
                self._write_pages(decision, _archive_failed(error), note)
            again = f"the next night runs the archive again, and so does --night {self.night}"
            self._note(error, f"{WORDS[decision.outcome]}, which holds; {again}", page=True)
            raise
        self._write_pages(decision, archive, note)
        return Night(decision=decision, page=self._page, archive=archive, already=already)

    @property
    def _page(self) -> str:
        return join_uri(self.store.uri, page_path(self.night))

    def _decision(self) -> tuple[Decision, bool]:
        """What this night came to, and whether it had done so before."""
        self._resolve()
        earlier = read_decision(self.store, self.night)
        if earlier is not None and earlier.final and not self._can_be_judged_now(earlier):
            return earlier, True
        flow = NightFlow(
            spec=self.spec,
            night=self.night,
            store=self.store,
            report=self.report,
            verbose=self.verbose,
            keep=self._keep,
        )
        decision = flow.decide()
        self._keep(decision)
        return decision, False

    def _resolve(self) -> None:
        """Of nights that died while promoting, or asked a person to: whether it was done is in the alias's history."""
        unsettled = [one for one in read_decisions(self.store) if one.outcome in UNSETTLED]
        alias = production_alias(self.spec) if unsettled else None
        for one in unsettled:
            promoted = settled(one, alias)
            if promoted is not None:
                self._keep(promoted)
                self._write_page(promoted, "", "")

    def _can_be_judged_now(self, earlier: Decision) -> bool:
        """There was no production then, and there is now: not the candidate, or that would have been settled."""
        return earlier.outcome == "no_production" and production_alias(self.spec) is not None

    def _clear_up(self) -> str:
        """A line where it could not be done: no reason for a night to fail that has decided."""
        self.lease.check()
        try:
            for line in retain(self.spec, self.store, self.night):
                log.info("night.retention", extra={"line": line})
        except EncdecError as error:
            log.warning("night.retention_failed", extra={"error": str(error)})
            return f"what is old could not be deleted, and the next night tries again: {error}"
        return ""

    def _archive(self) -> str:
        """What became of the archive, in words; empty: there is none, or nothing is in production."""
        if self.job is None:
            return ""
        self.lease.check()
        state = production_state(self.spec)
        return keep_up(self.spec, self.job, self.store, state, verbose=self.verbose)

    def _archive_after_failure(self) -> str:
        try:
            return self._archive()
        except EncdecError as error:
            log.warning("night.archive_failed", extra={"error": str(error)})
            return _archive_failed(error)

    def _say_failed(self, error: BaseException, archive: str) -> bool:
        """On the page, unless the store is what failed, or the lease is another's: whether it is there."""
        with suppress(Exception):
            self.lease.check()
            said = _said(error)
            failure = Failure(
                night=self.night,
                message=said.message,
                hint=said.hint,
                time=self.store.now(),
                then=self._what_next(error),
                archive=archive,
            )
            self.store.put(page_path(self.night), render_failure(failure).encode())
            self._write_list()
            return True
        return False

    def _what_next(self, error: BaseException) -> str:
        """What became of production, and how the night goes on."""
        kept = None
        with suppress(Exception):
            kept = read_decision(self.store, self.night)
        if kept is not None and kept.outcome == "promoting":
            return f"the candidate was to be promoted, and perhaps was: {next_try(self.night)}, and says which"
        corrected = "with the spec corrected, " if isinstance(error, SpecError) else ""
        return f"production was not changed; {corrected}{next_try(self.night)}"

    def _note(self, error: BaseException, said: str, *, page: bool) -> None:
        """For whoever reads the error and not the page."""
        error.add_note(f"night {self.night}: {said}")
        if page:
            error.add_note(f"page     {self._page}")

    def _keep(self, decision: Decision) -> None:
        self.lease.check()
        write_decision(self.store, decision)

    def _write_pages(self, decision: Decision, archive: str, note: str) -> None:
        """The night's page, and the list of nights."""
        self._write_page(decision, archive, note)
        self._write_list()

    def _write_page(self, decision: Decision, archive: str, note: str) -> None:
        self.lease.check()
        pictures = kept_pictures(self.store, decision.night) if decision.figures else ()
        page = render_night(decision, pictures, notes=[one for one in (archive, note) if one])
        self.store.put(page_path(decision.night), page.encode())

    def _write_list(self) -> None:
        nights = render_nights(model_of(self.spec), read_decisions(self.store))
        self.store.put("index.html", nights.encode())


def _said(error: BaseException) -> EncdecError:
    """What a page says of the end of a try."""
    if isinstance(error, EncdecError):
        return error
    if isinstance(error, Exception):
        return unexpected(error, "the night")
    return EncdecError("it was stopped before it came to a decision (by SIGTERM, or by hand)")


def _archive_failed(error: BaseException) -> str:
    if isinstance(error, Exception):
        return f"the archive could not be run, and the next night tries again: {error}"
    return "the archive was stopped before it was through (by SIGTERM, or by hand), and the next night goes on"
