"""A parcel to a cluster, once for each id."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from encdec_batch.errors import SubmitError
from encdec_batch.submit.cluster import asking, details, find
from encdec_batch.submit.parcel import DIGEST, Parcel

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A job that the cluster has."""

    submission_id: str
    already: bool
    """It had it before: by this id, with the same contents."""


def new_id(kind: str, now: float) -> str:
    """`encdec-archive-20261128-013000-5f3a`: that of this one submission."""
    return f"encdec-{kind}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(2)}"


def send(client: JobSubmissionClient, parcel: Parcel, submission_id: str) -> Sent:
    """Give the cluster a job, unless it has it.

    Args:
        client: of the cluster.
        parcel: what is sent.
        submission_id: the same for what is to be done once.

    Raises:
        SpecError: no id.
        SubmitError: the cluster has another job of this id, or does not take it.
    """
    if find(client, submission_id) is None:
        with parcel.runtime_env() as environment, asking(client.get_address()):
            try:
                client.submit_job(
                    entrypoint=parcel.entrypoint,
                    runtime_env=environment,
                    metadata=dict(parcel.metadata),
                    submission_id=submission_id,
                )
            except RuntimeError as error:
                # Another was faster, or our own request was sent twice.
                if "already exists" not in str(error):
                    raise
            else:
                return Sent(submission_id=submission_id, already=False)
    there = details(client, submission_id)
    if (there.metadata or {}).get(DIGEST) != parcel.metadata[DIGEST]:
        raise SubmitError(
            f"{client.get_address()} has another job called {submission_id} ({there.status.value.lower()})",
            hint="an id is for one spec, model and wheel; give another --id",
        )
    return Sent(submission_id=submission_id, already=True)
