"""Options that name secrets without holding them: "env:NAME" stands for a variable of the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from encdec_batch.errors import SpecError
from encdec_batch.uri import has_userinfo

Options = Mapping[str, str | int | float | bool]

REFERENCE = "env:"

_SECRET_NAME = re.compile(
    r"^(key|username|user|sas)$|secret|token|passw|credential|api_?key|access_?key|account_?key|"
    r"private_?key|connection_?string|passphrase",
    re.IGNORECASE,
)

_HARMLESS = frozenset({"anon", "google_default", "cloud"})
"""Values of gcsfs's `token` that name a way to log in, not a secret."""


def checked_options(options: Options | None) -> dict[str, str | int | float | bool]:
    """A copy of the options, none of which holds a secret.

    Raises:
        SpecError: a value under a key like secret, token, password is not of the form "env:NAME", or a URL
            carries a password.
    """
    checked = dict(options or {})
    for name, value in checked.items():
        if isinstance(value, str) and value.startswith(REFERENCE):
            continue
        if _SECRET_NAME.search(name) and not isinstance(value, bool) and value not in _HARMLESS:
            raise SpecError(
                f"storage option {name!r} holds a secret in clear",
                hint=f'put it into an environment variable and write {name}: "env:NAME"',
            )
        if isinstance(value, str) and "://" in value:
            check_no_userinfo(value, what=f"storage option {name!r}")
    return checked


def check_no_userinfo(url: str, *, what: str) -> None:
    """Refuses a URL with a user or password in it (the message does not repeat it).

    Raises:
        SpecError: the part before the host holds "user@" or "user:password@".
    """
    if has_userinfo(url):
        scheme, host = url.partition("://")[0], urlsplit(url).hostname or "..."
        raise SpecError(
            f"{what} ({scheme}://{host}) carries credentials",
            hint='put them into environment variables and name these in `storage` as "env:NAME"',
        )


def resolved_options(options: Options) -> dict[str, str | int | float | bool]:
    """The options with every "env:NAME" replaced; to be kept nowhere but in the connection.

    Raises:
        SpecError: a variable is not set.
    """
    resolved: dict[str, str | int | float | bool] = {}
    for name, value in options.items():
        if isinstance(value, str) and value.startswith(REFERENCE):
            variable = value.removeprefix(REFERENCE)
            if variable not in os.environ:
                raise SpecError(
                    f"storage option {name!r} names the environment variable {variable}, which is not set",
                    hint=f"set {variable} on the driver and on every worker",
                )
            resolved[name] = os.environ[variable]
        else:
            resolved[name] = value
    return resolved


def secret_values(options: Options) -> tuple[str, ...]:
    """What must never be shown: the values that references stand for, in this process."""
    names = [
        value.removeprefix(REFERENCE)
        for value in options.values()
        if isinstance(value, str) and value.startswith(REFERENCE)
    ]
    names += ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
    return tuple(os.environ[name] for name in names if os.environ.get(name))


def redacted(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret of at least 4 characters replaced."""
    for secret in secrets:
        if len(secret) >= 4:
            text = text.replace(secret, "[redacted]")
    return text
