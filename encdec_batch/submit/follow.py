"""A job's log as it grows, and how the job ended."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from encdec_batch.errors import SubmitError
from encdec_batch.submit.cluster import asking, details

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

EXIT_CODE = "exit code "
"""Before the number that the driver says last: for Ray a job with something set aside has ended well."""
_SILENCE_S = 60.0
"""Without a line the state is asked for: a connection may be dead without either side knowing."""
_TRIES, _PAUSE_S = 6, 2.0
_COULD_NOT_RUN = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The end of a job."""

    status: str
    """As Ray calls it."""
    exit_code: int
    """As that of `encdec-batch run`."""
    message: str
    """Why, where it did not end well."""


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
    def exit_code(self) -> int | None:
        """What the driver said it ended with."""
        found = re.findall(rf"^{EXIT_CODE}(\d)$", self._last, re.MULTILINE)
        return int(found[-1]) if found else None


def follow(
    client: JobSubmissionClient, submission_id: str, show: Callable[[str], None], tell: Callable[[str], None]
) -> Ended:
    """Shows a job's log until the job is over.

    Args:
        client: of its cluster.
        submission_id: its id.
        show: gets pieces of the log.
        tell: gets lines on what is waited for.

    Raises:
        SubmitError: the cluster does not know it, or is gone; the job may go on.
    """
    log, failures, waited, told = Log(show), 0, False, ""
    while True:
        info = details(client, submission_id)
        if info.status.is_terminal():
            log.begin()
            with asking(client.get_address()):
                log.add(client.get_job_logs(submission_id))
            return ended(info, log.exit_code)
        if waited and info.status.value == "PENDING" and info.message and info.message != told:
            told = info.message
            tell(f"not begun yet: {told}")
        log.begin()
        try:
            asyncio.run(_tail(client, submission_id, log))
        except TimeoutError:
            waited = True
        except (RuntimeError, OSError) as error:
            failures += 1
            if failures > _TRIES:
                raise SubmitError(
                    f"{submission_id}: its log cannot be followed: {' '.join(str(error).split())[:200]}",
                    hint="the job may go on; `encdec-batch status` of its output says how far it is",
                ) from error
            time.sleep(_PAUSE_S)


async def _tail(client: JobSubmissionClient, submission_id: str, log: Log) -> None:
    import aiohttp

    try:
        async with aclosing(client.tail_job_logs(submission_id)) as pieces:  # type: ignore[type-var]
            while True:
                log.add(await asyncio.wait_for(anext(pieces), _SILENCE_S))
    except StopAsyncIteration:
        return
    except aiohttp.ClientError as error:
        raise OSError(str(error)) from error


def ended(info: JobDetails, said: int | None) -> Ended:
    """What a job that is over came to.

    Args:
        info: what Ray says of it.
        said: the exit code in its log.
    """
    status = info.status.value
    if status == "SUCCEEDED":
        return Ended(status=status, exit_code=said or 0, message="")
    if status == "STOPPED":
        message = "cancelled; submitted again it goes on where it was"
        return Ended(status=status, exit_code=_COULD_NOT_RUN, message=message)
    code = info.driver_exit_code if info.driver_exit_code in (1, 2) else _COULD_NOT_RUN
    return Ended(status=status, exit_code=code, message=reason(info))


def reason(info: JobDetails) -> str:
    """Why a job failed, one line."""
    text = info.message or ""
    errors = re.findall(r"^error: (.*)$", text, re.MULTILINE)
    if errors:
        return str(errors[-1])
    if "No module named 'encdec_batch'" in text or "No module named encdec_batch" in text:
        return "the nodes have no encdec-batch; leave --wheel none out, or give them an image that has it"
    if "No module named" in text or "python: not found" in text or "python: command not found" in text:
        return f"the nodes' python is not that of an image of ours: {' '.join(text.split())[-200:]}"
    return " ".join(f"{info.error_type or ''} {text}".split())[-400:]
