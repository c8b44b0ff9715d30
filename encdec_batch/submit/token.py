"""The token of a cluster, and that it is asked for: Ray's own default hangs on its version and on leftover files."""

from __future__ import annotations

import os
from pathlib import Path

from encdec_batch.errors import SubmitError

_HINT = "set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to its file (cluster/README.md says where a cluster has it)"


def use_token() -> dict[str, str]:
    """Headers of a request; also sets Ray's mode for this process, unless the user has.

    Raises:
        SubmitError: there is no token here. Ray would end the process for some of what this looks at.
    """
    if os.environ.setdefault("RAY_AUTH_MODE", "token") != "token":
        return {}
    token = os.environ.get("RAY_AUTH_TOKEN", "")
    if not token:
        named = os.environ.get("RAY_AUTH_TOKEN_PATH", "")
        path = Path(named or "~/.ray/auth_token").expanduser()
        try:
            token = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            if named:
                raise SubmitError(f"the file of the cluster's token, {named}, cannot be read: {error}") from None
    if not token:
        raise SubmitError("no token for the cluster is here", hint=_HINT)
    return {"Authorization": f"Bearer {token}"}
