"""A cluster's Jobs API: the endpoints of Ray's dashboard that jobs need, every failure of which is an error of ours.

Ray's own client has no time limits and hangs with a connection that died; docs/decisions/023 has more.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import version
from typing import Any

from encdec_batch.errors import ClusterSilent, SpecError, SubmitError
from encdec_batch.submit.dashboard import Answer, Dashboard
from encdec_batch.submit.job import Job
from encdec_batch.submit.token import find_token

_FIRST_ANSWER_WITHIN_S = 10.0
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""It stands in paths of URLs and of files."""


def connect(address: str) -> Cluster:
    """The cluster whose dashboard is at `address`, after a look whether it is one of ours.

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
    token = find_token()
    _check_version(Dashboard(address=address, token=token, within_s=_FIRST_ANSWER_WITHIN_S))
    return Cluster(Dashboard(address=address, token=token))


def check_id(submission_id: str) -> None:
    """Raises:
    SpecError: no name for a job.
    """
    if not _ID.fullmatch(submission_id):
        raise SpecError(
            f"{submission_id!r} is no id of a job", hint="letters, digits, dots, - and _ are one, at most 100 of them"
        )


class Cluster:
    """The jobs of one cluster.

    Args:
        dashboard: of it.
    """

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard

    @property
    def address(self) -> str:
        return self._dashboard.address

    def job(self, submission_id: str) -> Job:
        """What the cluster says of a job.

        Raises:
            SpecError: no id.
            ClusterSilent: it does not answer.
            SubmitError: it does not know it.
        """
        found = self.find(submission_id)
        if found is None:
            raise SubmitError(
                f"{self.address} knows no job {submission_id}",
                hint="`ray job list` names those it has; a cluster that was started anew has forgotten earlier ones",
            )
        return found

    def find(self, submission_id: str) -> Job | None:
        """The same, or None where there is no such job."""
        check_id(submission_id)
        answer = self._dashboard.ask(f"/api/jobs/{submission_id}")
        return None if answer.status == 404 else Job.of(submission_id, self._said(answer))

    def log(self, submission_id: str) -> str:
        """All that a job has said so far.

        Raises:
            ClusterSilent, SubmitError: it cannot be had.
        """
        return str(self._said(self._dashboard.ask(f"/api/jobs/{submission_id}/logs")).get("logs") or "")

    async def tail(self, submission_id: str) -> AsyncIterator[str]:
        """A job's log from its start, piece by piece as it grows, until Ray closes it.

        Raises:
            ClusterSilent: the connection broke, or there was none.
        """
        import aiohttp

        patience = aiohttp.ClientTimeout(total=None, sock_connect=self._dashboard.within_s)
        url = f"{self.address}/api/jobs/{submission_id}/logs/tail"
        try:
            async with (
                aiohttp.ClientSession(headers=self._dashboard.headers, timeout=patience) as session,
                session.ws_connect(url, max_msg_size=0) as connection,
            ):
                async for message in connection:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        yield message.data
                if connection.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE:
                    raise self._dashboard.silent(ConnectionError("the connection of the log broke"))
        except (aiohttp.ClientError, OSError) as error:
            raise self._dashboard.silent(error) from None

    def stop(self, submission_id: str) -> None:
        """Asks for a job's end.

        Raises:
            ClusterSilent, SubmitError: it was not asked for.
        """
        self._said(self._dashboard.ask(f"/api/jobs/{submission_id}/stop", method="POST"))

    def upload(self, name: str, folder: bytes) -> str:
        """The zip of a folder, for a job's runtime environment; one that the cluster has is not sent again.

        Args:
            name: that nothing else has.
            folder: its bytes.

        Returns:
            Ray's URI of it.

        Raises:
            ClusterSilent, SubmitError: the cluster does not take it.
        """
        place = f"/api/packages/gcs/_ray_pkg_{name}.zip"
        if (there := self._dashboard.ask(place)).status not in (200, 404):
            self._refuse(there)
        if there.status == 404:
            sent = self._dashboard.ask(place, method="PUT", body=folder, kind="application/octet-stream")
            if sent.status != 200:
                self._refuse(sent)
        return f"gcs://_ray_pkg_{name}.zip"

    def submit(self, submission_id: str, order: Mapping[str, Any]) -> bool:
        """A job of this id.

        Args:
            submission_id: that the cluster has not.
            order: the rest, as the dashboard's JSON has it.

        Returns:
            False: the cluster has a job of this id.

        Raises:
            ClusterSilent: no answer came; it may have been taken.
            SubmitError: it was refused.
        """
        body = json.dumps({"submission_id": submission_id, **order}).encode()
        answer = self._dashboard.ask("/api/jobs/", method="POST", body=body)
        if answer.status != 200 and "already exists" in answer.text:
            return False
        if answer.status != 200:
            raise SubmitError(f"{self.address}: {_one_line(answer)}")
        return True

    def _said(self, answer: Answer) -> dict[str, Any]:
        if answer.status != 200:
            self._refuse(answer)
        try:
            said = json.loads(answer.body)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise ClusterSilent(f"{self.address}: what it answers is not JSON: {_one_line(answer)}")
        return said

    def _refuse(self, answer: Answer) -> None:
        # A proxy before a head that is gone says 502 to 504; a head that does not reach an agent of its own, 500.
        kind = ClusterSilent if answer.status >= 500 else SubmitError
        raise kind(f"{self.address}: HTTP status {answer.status}: {_one_line(answer)}")


def _one_line(answer: Answer) -> str:
    said = re.sub(r"Traceback \(most recent call last\):.*\n(?=\S)", "", answer.text, flags=re.DOTALL)
    return " ".join(said.split())[:300] or "nothing more was said"


def _check_version(dashboard: Dashboard) -> None:
    answer, ours = dashboard.ask("/api/version"), version("ray")
    if answer.status != 200:
        raise _no_dashboard(dashboard.address, f"HTTP status {answer.status}")
    try:
        theirs = str(json.loads(answer.body)["ray_version"])
    except (ValueError, KeyError, TypeError):
        raise _no_dashboard(dashboard.address, "what answers there says no version") from None
    if theirs != ours:
        raise SubmitError(
            f"{dashboard.address} runs Ray {theirs}, this machine has {ours}",
            hint="install the cluster's version here, or bring the cluster up to date: they must be the same",
        )


def _no_dashboard(address: str, why: str) -> SubmitError:
    return SubmitError(
        f"{address} is no Ray dashboard with a Jobs API: {why}",
        hint="give its address, usually port 8265; the head needs ray[default]",
    )
