"""Questions to a cluster's dashboard over HTTP: each has a time limit, none follows a redirect with the token."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from email.message import Message
from typing import IO

from encdec_batch.errors import ClusterSilent, SubmitError

ANSWERS_WITHIN_S = 30.0
"""Each step of an answer: connection, first byte, next bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the dashboard said."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A cluster's dashboard."""

    address: str
    """`http://HOST:8265`, without a slash at its end."""
    token: str = field(default="", repr=False)
    """Empty: none is sent."""
    within_s: float = ANSWERS_WITHIN_S

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def ask(
        self, path: str, *, method: str = "GET", body: bytes | None = None, kind: str = "application/json"
    ) -> Answer:
        """What the dashboard says, whatever its status.

        Args:
            path: from the address.
            method: of HTTP.
            body: that is sent.
            kind: media type of the body.

        Raises:
            ClusterSilent: no answer came.
            SubmitError: it does not let us in, or sends us elsewhere.
        """
        request = urllib.request.Request(self.address + path, data=body, method=method)  # noqa: S310
        if body is not None:
            request.add_header("Content-Type", kind)
        for name, value in self.headers.items():
            request.add_unredirected_header(name, value)
        try:
            with _OPENER.open(request, timeout=self.within_s) as given:
                return Answer(status=given.status, body=given.read())
        except urllib.error.HTTPError as error:
            return self._answer(error)
        except (OSError, http.client.HTTPException) as error:
            raise self.silent(error) from None

    def silent(self, error: Exception) -> ClusterSilent:
        """No answer, as an error of ours."""
        reason = getattr(error, "reason", error)
        said = " ".join(str(reason).split())[:200] or type(error).__name__
        return ClusterSilent(
            f"no cluster answers at {self.address}: {said}",
            hint="give the address of the dashboard, usually port 8265; a port-forward or tunnel to it must be running",
        )

    def _answer(self, error: urllib.error.HTTPError) -> Answer:
        with error:
            try:
                body = error.read()
            except (OSError, http.client.HTTPException) as broken:
                raise self.silent(broken) from None
        if error.code in (401, 403):
            what = "does not take this token" if self.token else "wants a token, and none was sent"
            raise SubmitError(
                f"{self.address} {what}",
                hint="set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH as the cluster has them",
            )
        if 300 <= error.code < 400:
            raise SubmitError(
                f"{self.address} sends to another address (HTTP status {error.code}), and a token is not sent after it",
                hint="give the address where the dashboard itself answers, with http or https as it has it",
            )
        return Answer(status=error.code, body=body)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0913, PLR0917  (as urllib has it)
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Nothing: the redirect itself is the answer."""


_OPENER = urllib.request.build_opener(_NoRedirects)
