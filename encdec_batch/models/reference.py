"""How a spec names a package in a registry: `REGISTRY/NAME@VERSION` or `REGISTRY/NAME@ALIAS`. Text only, no store."""

from __future__ import annotations

import re
from dataclasses import dataclass

from encdec_batch.errors import SpecError

ALIASES = ("candidate", "production")
"""Names that can be moved from version to version; so no version may be called by one."""

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,31}")
"""As models/card.py has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One version of one model, named by itself or by an alias."""

    registry: str
    """URI."""
    name: str
    wanted: str
    """A version or an alias."""

    @property
    def is_alias(self) -> bool:
        return self.wanted in ALIASES

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}@{self.wanted}"

    def pinned(self, version: str) -> Reference:
        """The same model by a version, which means the same for ever."""
        return Reference(registry=self.registry, name=self.name, wanted=version)


def parse_reference(text: str) -> Reference | None:
    """The reference that a text is; None where it names a folder.

    The last part decides: `NAME@VERSION`. A folder that is called so is named with a slash at its end.
    """
    registry, _, last = text.rpartition("/")
    name, found, wanted = last.partition("@")
    if not found or not registry or registry.endswith(":/") or not (NAME.fullmatch(name) and VERSION.fullmatch(wanted)):
        return None
    return Reference(registry=registry, name=name, wanted=wanted)


def expect_reference(text: str) -> Reference:
    """The reference that a text must be.

    Raises:
        SpecError: it is none.
    """
    found = parse_reference(text)
    if found is None:
        raise SpecError(
            f"{text}: names no version of a registered model",
            hint="write REGISTRY/NAME@VERSION, REGISTRY/NAME@production or REGISTRY/NAME@candidate",
        )
    return found


def split_model(text: str) -> tuple[str, str]:
    """Registry and name of `REGISTRY/NAME`.

    Raises:
        SpecError: it is not of this form.
    """
    registry, _, name = text.rstrip("/").rpartition("/")
    if not registry or registry.endswith(":/") or not NAME.fullmatch(name):
        raise SpecError(
            f"{text}: names no registered model", hint="write REGISTRY/NAME; `models list REGISTRY` shows which"
        )
    return registry, name
