"""A spec file that is encrypted: on a cluster whoever has its token can fetch what was sent for a job."""

from __future__ import annotations

from pathlib import Path

from encdec_batch.errors import SpecError
from encdec_batch.privacy import LEAST_CHARACTERS, Pseudonyms, pseudonyms_of

SUFFIX = ".sealed"
"""Behind the name of such a file, which otherwise says its format: `spec.yaml.sealed`."""
_HEAD = "encdec-batch spec, encrypted by the key in "


def sealed(text: bytes, variable: str, names: Pseudonyms) -> bytes:
    """The file: the variable of the environment that holds the key, and what only that opens.

    Raises:
        SpecError: what encrypts is not installed.
    """
    try:
        return f"{_HEAD}{variable}\n".encode() + names.encrypted(text)
    except ModuleNotFoundError as error:
        raise SpecError(
            f"a spec with private names is encrypted by {error.name}, which is not installed",
            hint='pip install "encdec-batch[medical]", or say privacy: off',
        ) from None


def unsealed(data: bytes, path: Path) -> bytes:
    """The text of such a file.

    Raises:
        SpecError: it is none, or the key is not here.
    """
    head, _, token = data.partition(b"\n")
    first = head.decode(errors="replace")
    if not first.startswith(_HEAD):
        raise SpecError(f"{path} is no encrypted spec", hint="submit writes them; a spec in clear needs no such ending")
    variable = first.removeprefix(_HEAD)
    names = pseudonyms_of(variable)
    if names is None:
        raise SpecError(
            f"{path} is encrypted, and {variable} holds no key of {LEAST_CHARACTERS} characters here",
            hint=f"set {variable} on every node to the key with which it was submitted",
        )
    try:
        return names.decrypted(token)
    except ValueError as error:
        raise SpecError(f"{path}: {error}", hint=f"set {variable} to the key with which it was submitted") from None
