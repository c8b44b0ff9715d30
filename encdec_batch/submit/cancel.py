"""The end of a job by request; what it holds it gives back meanwhile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from encdec_batch.submit.cluster import asking, details
from encdec_batch.submit.parcel import STOP_WITHIN_S

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

_LOOK_EVERY_S = 0.5
_MORE_S = 15.0
"""Until a job that was killed in the end is written down as stopped."""


def cancel(client: JobSubmissionClient, submission_id: str) -> tuple[JobDetails, bool]:
    """Stops a job and waits until it is.

    Returns:
        What it came to; and whether it ran until now. One that had not begun stays as it is, and is stopped as soon as
        it begins.

    Raises:
        SubmitError: the cluster does not know it, or does not answer.
    """
    before = details(client, submission_id)
    if before.status.is_terminal():
        return before, False
    with asking(client.get_address()):
        client.stop_job(submission_id)
    deadline = time.monotonic() + STOP_WITHIN_S + _MORE_S
    while True:
        now = details(client, submission_id)
        if now.status.is_terminal() or time.monotonic() > deadline:
            return now, True
        time.sleep(_LOOK_EVERY_S)
