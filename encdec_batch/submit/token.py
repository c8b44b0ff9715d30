"""The token of a cluster, found where Ray itself looks for one."""

from __future__ import annotations

import os
from pathlib import Path

from encdec_batch.errors import SubmitError

_HINT = "set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to its file (cluster/README.md says where a cluster has it)"


def find_token() -> str:
    """The token; empty where RAY_AUTH_MODE says that the cluster asks for none.

    Raises:
        SubmitError: there is no token here, or it is none.
    """
    # Without the variable Ray's own default hangs on its version and on files of earlier sessions.
    if os.environ.get("RAY_AUTH_MODE", "token") != "token":
        return ""
    where, token = "RAY_AUTH_TOKEN", os.environ.get("RAY_AUTH_TOKEN", "").strip()
    if not token:
        named = os.environ.get("RAY_AUTH_TOKEN_PATH", "")
        path = Path(named or "~/.ray/auth_token").expanduser()
        try:
            where, token = str(path), path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            if named:
                raise SubmitError(f"the file of the cluster's token, {named}, cannot be read: {error}") from None
    if not token:
        raise SubmitError("no token for the cluster is here", hint=_HINT)
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise SubmitError(
            f"{where} holds no token: there are blanks, line ends or letters that no token has within it", hint=_HINT
        )
    return token
