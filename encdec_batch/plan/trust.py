"""Which URIs of somebody else's table may be opened: a pure check of their text, before anything is asked of a network.

What text cannot say is looked at when the object is opened: where a link of a disk leads (store/local.py), and which
address a host's name has (store/public.py).
"""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote

from encdec_batch.spec.source import Table
from encdec_batch.store.public import is_public

LOCAL = "file"
_SAME = {"local": LOCAL, "": LOCAL, "s3a": "s3", "gcs": "gs", "abfss": "abfs", "az": "abfs"}
"""Schemes that are two names of one thing."""
_BUCKETS = frozenset({"s3", "gs"})
"""Schemes that name a bucket where others name a host. The host is the endpoint of `source.storage`."""
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*|arn:[A-Za-z0-9:_-]+")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
_PRIVATE_NAMES = re.compile(
    r"(.*\.)?(localhost|localdomain|local|internal|intranet|lan|home|corp|private|arpa)|[^.]*", re.IGNORECASE
)
"""Names that no public server has: reserved ones, those of private networks and clouds, and all without a dot."""
_MOST_DECODINGS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a table may name."""

    schemes: frozenset[str]
    """As `scheme_of` gives them."""
    prefixes: tuple[str, ...]
    """A URI lies below one of these; empty: anywhere."""
    hosts: frozenset[str]
    """Of private networks, which may be named none the less; in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a URI is not opened, and what to do."""

    reason: str
    hint: str


def rules_of(source: Table) -> Rules:
    """What the spec says, and where it says nothing the table's own scheme."""
    named = frozenset(_same(scheme) for scheme in source.schemes or ())
    return Rules(
        schemes=named or frozenset({scheme_of(source.uri)}),
        prefixes=source.prefixes or (),
        hosts=frozenset(host.lower().rstrip(".") for host in source.hosts),
    )


def scheme_of(uri: str) -> str:
    """The scheme in lower case, one name for each; `file` for a path."""
    scheme, separator, _ = uri.partition("://")
    return _same(scheme) if separator else LOCAL


def refusal(uri: str, rules: Rules) -> Refusal | None:
    """Why a row's URI, complete as `discover` makes it, may not be opened; None where it may."""
    scheme = scheme_of(uri)
    rest = uri.partition("://")[2] if "://" in uri else uri
    if "::" in uri:
        return Refusal(
            reason="it is a chain of URIs (::)", hint="give the URI of the object itself, IPv6 addresses in full"
        )
    if not uri.isprintable() or "\\" in uri or uri != uri.strip():
        return Refusal(reason="it has control characters, backslashes or blanks around it", hint="write it plainly")
    if scheme not in rules.schemes:
        return Refusal(
            reason=f"it is of {scheme}://, and the table may name {_listed(rules.schemes)}",
            hint=f"add {scheme} to source.schemes, if this table may be trusted with it"
            if scheme != LOCAL
            else "put the table on the disk where the files are, if they are meant",
        )
    if _climbs(rest):
        return Refusal(reason='it has "." or ".." in its path', hint="give the path that is meant")
    if rules.prefixes and not any(is_below(uri, prefix) for prefix in rules.prefixes):
        return Refusal(
            reason=f"it lies below none of the prefixes that the table may name ({', '.join(rules.prefixes)})",
            hint="add one to source.prefixes, if the table may be trusted with it",
        )
    return None if scheme in (LOCAL, "memory") else _refused_place(scheme, rest.partition("/")[0], rules)


def is_below(uri: str, prefix: str) -> bool:
    """Whether a URI lies in a folder, both without dots; schemes and, where there are any, hosts without case."""
    return scheme_of(uri) == scheme_of(prefix) and _parts(uri)[: len(_parts(prefix))] == _parts(prefix)


def _same(scheme: str) -> str:
    return _SAME.get(scheme.lower(), scheme.lower())


def _parts(uri: str) -> tuple[str, ...]:
    rest = uri.partition("://")[2] if "://" in uri else uri
    place, _, path = rest.partition("/")
    first = place if scheme_of(uri) in _BUCKETS else place.lower()
    return first, *(path.rstrip("/").split("/") if path.strip("/") else ())


def _climbs(rest: str) -> bool:
    """Whether any server between here and the object could take the path for another: also percent-encoded, twice."""
    text = rest
    for _ in range(_MOST_DECODINGS):
        if any(part in (".", "..") for part in re.split(r"[/\\?#;]", unicodedata.normalize("NFKC", text))):
            return True
        decoded = unquote(text, errors="replace")
        if decoded == text:
            return False
        text = decoded
    return True  # encoded five times over: nobody means that


def _refused_place(scheme: str, place: str, rules: Rules) -> Refusal | None:
    if "@" in place and not (scheme == "abfs" and ":" not in place):
        return Refusal(
            reason="it carries a user or password",
            hint="take it out of the table; credentials are named in source.storage",
        )
    host = place.rpartition("@")[2]
    if scheme in _BUCKETS:
        if _BUCKET.fullmatch(host) is None or _address(host) is not None:
            return Refusal(reason="what stands for the bucket is none", hint=f"write {scheme}://bucket/key")
        return None
    match = _HOST.fullmatch(host)
    if match is None:
        return Refusal(
            reason="its host is not plain ASCII letters, digits, dots and dashes",
            hint="write the host's name, international ones as xn--...",
        )
    name = match[1].strip("[]").lower().rstrip(".")
    if name in rules.hosts:
        return None
    address = _address(name)
    private = not is_public(address) if address is not None else _PRIVATE_NAMES.fullmatch(name) is not None
    if private:
        return Refusal(
            reason=f"its host {name} is of this machine, a private network or a cloud's own services",
            hint="add it to source.hosts, if it is really meant",
        )
    return None


def _address(host: str) -> str | None:
    """The address that a host's text is, in every spelling that resolvers take: 127.1, 0x7f000001, 2130706433."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return str(ipaddress.ip_address(socket.inet_aton(host))) if re.fullmatch(r"[0-9a-fA-Fx.]+", host) else None
    except (OSError, ValueError):
        # Digits and dots that even inet_aton takes for no address are no public name either.
        return "0.0.0.0" if re.fullmatch(r"[0-9.]+|0x[0-9a-fA-F]+", host) else None  # noqa: S104


def _listed(schemes: frozenset[str]) -> str:
    return ", ".join(f"{scheme}://" for scheme in sorted(schemes)) + " alone"
