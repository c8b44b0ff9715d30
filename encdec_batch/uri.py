"""What may be shown of a URI: credentials stand in some, and a URI is written down wherever its scene is.

A link that is signed (`?X-Amz-Signature=...`, `?sig=...`) opens its object for whoever has it, and is another one each
time it is made. So where a scene comes by HTTP, its name in markers, keys, tables and messages is the link without what
is not known to be harmless; only what opens the object has all of it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote_plus

_WEB = ("http", "https")
_NO_PASSWORDS = ("file", "s3", "s3a", "memory")
"""Schemes whose keys and file names may hold "@", and which have no place for a password."""
_CONTAINERS = ("abfs", "abfss", "az")
"""Schemes that name a container before the "@"."""
_HARMLESS = frozenset(
    {
        "band", "bands", "collection", "collections", "coverage", "coverageid", "dl", "download", "export", "file",
        "fileid", "filename", "format", "id", "item", "items", "layer", "layers", "name", "path", "raw", "ref",
        "request", "revision", "service", "time", "version", "versionid",
    }
)  # fmt: skip
"""Names in queries that say which object is meant, or how. Whatever is not among them may be a credential."""
_SHORT = 4
"""Characters of a name, below which it is looked for as a word."""
_LINK = re.compile(r"https?://[^\s'\"<>]+?(?=[.,:;)\]}]*(?:[\s'\"<>]|$))", re.IGNORECASE)
"""Without the punctuation that ends it in a sentence."""


def has_userinfo(uri: str) -> bool:
    """Whether `user@` or `user:password@` stands before the host."""
    scheme, _, rest = uri.partition("://")
    return scheme not in _NO_PASSWORDS and "@" in re.split(r"[/?#]", rest, maxsplit=1)[0]


def public_uri(uri: str) -> str:
    """The URI without user and password and, on the web, without a query in which anything may be a credential.

    The whole query goes, or none of it: half of a signed link is no link.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return uri
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if ":" in place.rpartition("@")[0] or scheme not in _CONTAINERS:
        rest = place.rpartition("@")[2] + rest[len(place) :]
    if scheme.lower() in _WEB:
        rest = rest.partition("#")[0]
        path, _, query = rest.partition("?")
        rest = rest if query and all(_is_harmless(part) for part in re.split("[&;]", query)) else path
    return f"{scheme}://{rest}"


def without_query(uri: str) -> str:
    """Of the web without query and fragment: by its end a format is told. Elsewhere both are part of a name."""
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}://{re.split('[?#]', rest, maxsplit=1)[0]}" if separator and scheme.lower() in _WEB else uri


def public_text(text: str) -> str:
    """A message with every link of the web in it as `public_uri` has it, and what is `hidden` now as it is shown."""
    shown = _hidden_names()
    if shown:
        text = re.sub("|".join(map(_alone, sorted(shown, key=len, reverse=True))), lambda m: shown[m[0]], text)
    return _LINK.sub(lambda found: public_uri(found[0]), text)


def _alone(name: str) -> str:
    """A pattern of it; of a name of few letters only where it stands by itself, as it is part of other words."""
    pattern = re.escape(name)
    return rf"(?<![A-Za-z0-9]){pattern}(?![A-Za-z0-9])" if len(name) < _SHORT else pattern


@contextmanager
def hidden(uri: str, shown: str, *, steps: bool = True) -> Iterator[None]:
    """While an object is open whose URI nobody may read: errors that are made meanwhile, in whatever thread, have what
    is shown in place of it, of its path and of its name.

    Args:
        uri: of the object, or of a folder or table of such.
        shown: in place of it.
        steps: its name alone, and its last folders, are hidden too. Those of a folder may be plain words.
    """
    names = _names_of(uri, steps=steps)
    with _hiding:
        for name in names:
            _now_hidden.setdefault(name, []).append(shown)
    try:
        yield
    finally:
        with _hiding:
            for name in names:
                _now_hidden[name].remove(shown)
                if not _now_hidden[name]:
                    del _now_hidden[name]


_hiding = threading.Lock()
_now_hidden: dict[str, list[str]] = {}


def _hidden_names() -> dict[str, str]:
    with _hiding:
        return {name: shown[-1] for name, shown in _now_hidden.items()}


def _names_of(uri: str, *, steps: bool) -> set[str]:
    """What of a URI may stand in a message: whole, without its scheme, without bucket or host, and its last step."""
    scheme, separator, rest = uri.partition("://")
    path = rest.rstrip("/") if separator else uri.rstrip("/")
    below = path.partition("/")[2] if separator and scheme != "file" else path.lstrip("/")
    names = {uri, uri.rstrip("/"), path}
    if steps:
        parts = below.split("/")
        names |= {"/".join(parts[start:]) for start in range(len(parts))}
    if not separator or scheme == "file":
        names |= {f"file://{path}"}
    return {name for name in names if name}


def public_values(value: Any) -> Any:
    """The same lists and mappings with every URI in them as `public_uri` has it."""
    if isinstance(value, dict):
        return {key: public_values(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [public_values(one) for one in value]
    return public_uri(value) if isinstance(value, str) else value


def _is_harmless(part: str) -> bool:
    name, separator, _ = part.partition("=")
    return bool(separator) and unquote_plus(name).lower() in _HARMLESS
