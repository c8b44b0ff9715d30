"""A job's log as it grows, and how the job ended."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from encdec_batch.errors import ClusterSilent
from encdec_batch.submit.cluster import Cluster
from encdec_batch.submit.job import Job

EXIT_CODE = "exit code "
"""Before the number that the driver says last: for Ray a job with something set aside has ended well."""
STOPPED = "stopped by SIGTERM; submitted or started again it goes on where it was"
"""As the driver says it."""
LAST_LINES = 20
"""Of the log of a job that had ended before anybody followed it."""
_SILENCE_S = 60.0
"""Without a line the state is asked for: a connection may be dead without either side knowing."""
PAUSES_S = (2.0, 4.0, 8.0, 16.0, *[30.0] * 8)
"""Before each try to reach a cluster that fell silent: five minutes without a word, and it is given up."""
_COULD_NOT_RUN = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The end of a job."""

    state: str
    """succeeded, failed or stopped."""
    exit_code: int
    """As that of `encdec-batch run`."""
    message: str
    """Why, where it did not end well and the log that was shown does not say it."""


class Log:
    """What of a log was shown; a log that is read again from its start is shown from where that was."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show, self._shown, self._seen, self._last = show, 0, 0, ""

    def begin(self) -> None:
        """The log comes from its start."""
        self._seen = 0

    def add(self, text: str) -> None:
        new = text[max(0, self._shown - self._seen) :]
        self._seen += len(text)
        self._shown = max(self._shown, self._seen)
        if new:
            self._show(new)
            self._last = (self._last + new)[-2000:]

    @property
    def length(self) -> int:
        """Characters that were shown."""
        return self._shown

    def end(self, job: Job) -> Ended:
        """What a job that is over came to; what its log has said is not said again."""
        made = ended(job, exit_code_in(self._last))
        says = STOPPED if job.state == "stopped" else f"error: {made.message}\n"
        return replace(made, message="") if says in self._last else made


def exit_code_in(text: str) -> int | None:
    """What the driver of a job said it ended with, from its log."""
    found = re.findall(rf"^{EXIT_CODE}(\d)$", text, re.MULTILINE)
    return int(found[-1]) if found else None


def follow(  # noqa: PLR0913  (pauses are for tests)
    cluster: Cluster,
    submission_id: str,
    show: Callable[[str], None],
    *,
    tell: Callable[[str], None],
    whole: bool = False,
    pauses: Sequence[float] = PAUSES_S,
) -> Ended:
    """Shows a job's log until the job is over. Of one that had ended before, its last lines: who follows wants to know
    what goes on, and is told at once that nothing does.

    Args:
        cluster: that it runs on.
        submission_id: its id.
        show: gets pieces of the log.
        tell: gets lines on what is waited for, and on a job that had ended before.
        whole: that job was submitted just now, and all of its log is news.
        pauses: seconds before each try to reach a cluster that fell silent; from the first on again once it speaks.

    Raises:
        SubmitError: the cluster does not know it, or stays silent; the job may go on.
    """
    log, failures, told = Log(show), 0, ""
    while True:
        shown = log.length
        try:
            job = cluster.job(submission_id)
            if job.is_over:
                text = cluster.log(submission_id)
                if not whole:
                    line, text = had_ended(job, text, cluster.address)
                    tell(line)
                log.begin()
                log.add(text)
                return log.end(job)
            whole = True
            if job.state == "pending" and (now := not_begun(job)) != told:
                told = now
                tell(told)
            log.begin()
            closed = asyncio.run(_tail(cluster, submission_id, log))
            if closed and log.length == shown:
                time.sleep(pauses[0])
        except ClusterSilent as error:
            # A log that grew is a sign of life, whatever broke then.
            failures = 1 if log.length > shown else failures + 1
            if failures > len(pauses):
                raise ClusterSilent(
                    f"{submission_id} is no longer followed: {error.message}",
                    hint="the job may go on; `encdec-batch status` of its output says how far it is",
                ) from None
            if failures == 1:
                tell(f"{error.message}; tried again")
            time.sleep(pauses[failures - 1])
        else:
            failures = 0


async def _tail(cluster: Cluster, submission_id: str, log: Log) -> bool:
    """True: Ray has closed the log. False: it was silent for a while."""
    async with aclosing(cluster.tail(submission_id)) as pieces:  # type: ignore[type-var]
        while True:
            try:
                log.add(await asyncio.wait_for(anext(pieces), _SILENCE_S))
            except StopAsyncIteration:
                return True
            except TimeoutError:
                return False


def not_begun(job: Job) -> str:
    """A line on a job that is pending."""
    return f"{job.submission_id}: not begun yet{': ' if job.reason else ''}{job.reason}"


def had_ended(job: Job, text: str, address: str) -> tuple[str, str]:
    """A line on a job that had ended before it was followed, and the last lines of its log.

    Args:
        job: that is over.
        text: its log.
        address: of its cluster.
    """
    lines, code = text.splitlines(keepends=True), ended(job, exit_code_in(text)).exit_code
    when = time.strftime(" at %Y-%m-%dT%H:%M:%SZ", time.gmtime(job.ended)) if job.ended else ""
    line = f"{job.submission_id}: had {job.state}{when}, exit code {code}; "
    if len(lines) <= LAST_LINES:
        return line + ("its log:" if lines else "it left no log"), text
    whole = f"`encdec-batch logs {job.submission_id} --address {address}` shows all"
    return f"{line}the last {LAST_LINES} of {len(lines):,} lines ({whole}):", "".join(lines[-LAST_LINES:])


def ended(job: Job, said: int | None) -> Ended:
    """What a job that is over came to.

    Args:
        job: what the cluster says of it.
        said: the exit code in its log.
    """
    if job.state == "succeeded":
        return Ended(state=job.state, exit_code=said or 0, message="")
    if job.state == "stopped":
        message = "cancelled; submitted again it goes on where it was"
        return Ended(state=job.state, exit_code=_COULD_NOT_RUN, message=message)
    code = job.driver_exit_code if job.driver_exit_code in (1, 2) else _COULD_NOT_RUN
    return Ended(state=job.state, exit_code=code, message=job.reason)
