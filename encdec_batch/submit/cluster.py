"""A cluster's Jobs API, every failure of which is an error of ours."""

from __future__ import annotations

import http.client
import json
import logging
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from encdec_batch.errors import SpecError, SubmitError
from encdec_batch.submit.token import use_token

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

_ANSWERS_WITHIN_S = 10.0
_OVERRIDES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Variables that Ray's client prefers to the address that it is given."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""It stands in paths of URLs and of files."""
_CHATTER = ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk")


def connect(address: str) -> JobSubmissionClient:
    """A client of the cluster whose dashboard is at `address`, after a look whether it is one of ours.

    Raises:
        SpecError: it is no such address.
        SubmitError: it does not answer, does not let us in, or has another Ray.
    """
    address = address.rstrip("/")
    if not re.fullmatch(r"https?://[^/\s@]+(/[^\s]*)?", address):
        raise SpecError(
            f"--address {address}: not the address of a cluster's dashboard",
            hint="write http://HOST:8265; a password does not belong into it",
        )
    _check_version(address, use_token())
    before = {name: os.environ.pop(name, None) for name in _OVERRIDES}
    try:
        from ray.job_submission import JobSubmissionClient

        for name in _CHATTER:
            logging.getLogger(name).setLevel(logging.WARNING)
        with asking(address):
            return JobSubmissionClient(address)
    finally:
        os.environ.update({name: value for name, value in before.items() if value is not None})


@contextmanager
def asking(address: str) -> Iterator[None]:
    """What the client raises, as errors of ours.

    Raises:
        SubmitError: the cluster cannot be reached, or refuses.
    """
    from ray.exceptions import AuthenticationError

    try:
        yield
    except AuthenticationError as error:
        raise _not_let_in(address) from error
    except OSError as error:  # those of `requests` are such
        raise _unreachable(address, error) from error
    except RuntimeError as error:
        said = re.sub(r"Traceback \(most recent call last\):.*\n(?=\S)", "", str(error), flags=re.DOTALL)
        raise SubmitError(f"{address}: {' '.join(said.split())[:300]}") from error


def details(client: JobSubmissionClient, submission_id: str) -> JobDetails:
    """What the cluster says of a job.

    Raises:
        SpecError: no id.
        SubmitError: it does not know it, or does not answer.
    """
    found = find(client, submission_id)
    if found is None:
        raise SubmitError(
            f"{client.get_address()} knows no job {submission_id}",
            hint="`ray job list` names those it has; a cluster that was started anew has forgotten the earlier ones",
        )
    return found


def check_id(submission_id: str) -> None:
    """Raises:
    SpecError: no name for a job.
    """
    if not _ID.fullmatch(submission_id):
        raise SpecError(
            f"{submission_id!r} is no id of a job", hint="letters, digits, dots, - and _ are one, at most 100 of them"
        )


def find(client: JobSubmissionClient, submission_id: str) -> JobDetails | None:
    """The same, or None where there is no such job."""
    check_id(submission_id)
    with asking(client.get_address()):
        try:
            return client.get_job_info(submission_id)
        except RuntimeError as error:
            if "status code 404" in str(error):
                return None
            raise


def _check_version(address: str, headers: Mapping[str, str]) -> None:
    """By itself, as Ray's client has no timeout and takes every version since 2.0."""
    import ray

    request = urllib.request.Request(f"{address}/api/version", headers=dict(headers))  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_ANSWERS_WITHIN_S) as answer:  # noqa: S310
            said = json.loads(answer.read())
        version = str(said["ray_version"])
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):
            raise _not_let_in(address) from None
        raise _no_dashboard(address, f"HTTP status {error.code}") from None
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(address, error) from None
    except (ValueError, KeyError, TypeError):
        raise _no_dashboard(address, "what answers there says no version") from None
    if version != ray.__version__:
        raise SubmitError(
            f"{address} runs Ray {version}, this machine has {ray.__version__}",
            hint="install the cluster's version here, or bring the cluster up to date: they must be the same",
        )


def _unreachable(address: str, error: Exception) -> SubmitError:
    reason = getattr(error, "reason", error)
    return SubmitError(
        f"no cluster answers at {address}: {' '.join(str(reason).split())[:200]}",
        hint="give the address of the dashboard, usually port 8265; a port-forward or tunnel to it must be running",
    )


def _no_dashboard(address: str, why: str) -> SubmitError:
    return SubmitError(
        f"{address} is no Ray dashboard with a Jobs API: {why}",
        hint="give its address, usually port 8265; the head needs ray[default]",
    )


def _not_let_in(address: str) -> SubmitError:
    return SubmitError(
        f"{address} does not take this token",
        hint="set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH as the cluster has them",
    )
