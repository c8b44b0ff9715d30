"""The end of a job by request; what it holds it gives back meanwhile."""

from __future__ import annotations

import time

from encdec_batch.errors import ClusterSilent
from encdec_batch.submit.cluster import Cluster
from encdec_batch.submit.job import Job
from encdec_batch.submit.parcel import STOP_WITHIN_S

_LOOK_EVERY_S = 0.5
_MORE_S = 15.0
"""Until a job that was killed in the end is written down as stopped."""


def cancel(cluster: Cluster, submission_id: str) -> tuple[Job, bool]:
    """Stops a job and waits until it is.

    Returns:
        What it came to; and whether it ran until now. One that had not begun stays as it is, and is stopped as soon as
        it begins.

    Raises:
        SubmitError: the cluster does not know it, or does not answer.
    """
    before = cluster.job(submission_id)
    if before.is_over:
        return before, False
    cluster.stop(submission_id)
    deadline = time.monotonic() + STOP_WITHIN_S + _MORE_S
    while True:
        try:
            now = cluster.job(submission_id)
            if now.is_over or time.monotonic() > deadline:
                return now, True
        except ClusterSilent:
            # It was asked to stop; what came of that is worth a second look.
            if time.monotonic() > deadline:
                raise
        time.sleep(_LOOK_EVERY_S)
