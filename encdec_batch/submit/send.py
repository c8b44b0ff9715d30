"""A parcel to a cluster, once for each id; what died or was cancelled may go on by the same id."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from encdec_batch.errors import ClusterSilent, SubmitError
from encdec_batch.submit.cluster import Cluster
from encdec_batch.submit.job import Job
from encdec_batch.submit.parcel import Parcel

_DIED = ("failed", "stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Which job an id stands for now."""

    submission_id: str
    """That of the first try, or with `.2`, `.3`, ... after it: Ray gives no id twice."""
    job: Job | None
    """That the cluster has; None: it is to be submitted."""


def new_id(kind: str, now: float) -> str:
    """`encdec-archive-20261128-013000-5f3a`: that of this one submission."""
    return f"encdec-{kind}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(2)}"


def turn_of(cluster: Cluster, parcel: Parcel, wanted: str) -> Turn:
    """Of the jobs that were submitted by an id, the one that has not died; else the next.

    Args:
        cluster: that is asked.
        parcel: what is to be sent.
        wanted: the id, the same for what is to be done once.

    Raises:
        SpecError: no id.
        SubmitError: the cluster has another job of this id, or does not answer.
    """
    number = 1
    while True:
        name = wanted if number == 1 else f"{wanted}.{number}"
        job = cluster.find(name)
        if job is None:
            return Turn(submission_id=name, job=None)
        if job.digest != parcel.digest:
            raise SubmitError(
                f"{cluster.address} has another job called {name} ({job.state})",
                hint="an id is for one spec, model and wheel; give another --id",
            )
        if job.state not in _DIED:
            return Turn(submission_id=name, job=job)
        number += 1


def send(cluster: Cluster, parcel: Parcel, submission_id: str) -> Job | None:
    """Give the cluster a job.

    Args:
        cluster: that gets it.
        parcel: what is sent.
        submission_id: that the cluster has not.

    Returns:
        None; or, where another was faster, the job of this id that the cluster has.

    Raises:
        SubmitError: it has another job of this id, does not take it, or does not say whether it did.
    """
    uri = cluster.upload(parcel.digest[:40], parcel.folder)
    order = {
        "entrypoint": parcel.entrypoint,
        "runtime_env": {"working_dir": uri, "env_vars": dict(parcel.environment)},
        "metadata": dict(parcel.metadata),
    }
    try:
        taken = cluster.submit(submission_id, order)
    except ClusterSilent as error:
        raise ClusterSilent(
            f"{error.message}; the job may have been taken",
            hint=f"encdec-batch status {submission_id} --address {cluster.address}",
        ) from None
    return None if taken else turn_of(cluster, parcel, submission_id).job
