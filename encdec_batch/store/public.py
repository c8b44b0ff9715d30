"""Connections that reach public addresses alone, whatever a name resolves to and wherever a server redirects to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

_WIRE_SERVER = ipaddress.ip_address("168.63.129.16")
"""Azure's, which gives machines their secrets; the one metadata service at an address that looks public."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


_NAMING_BUCKETS = frozenset({"gs", "gcs"})
"""What stands for the host in a URI of these is none."""


class PrivateAddress(OSError):
    """A connection to an address of this machine, a private network or a cloud's own services was asked for."""


def is_public(address: str) -> bool:
    """Whether anybody's server may have this address; one that carries an IPv4 address is judged by that too."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = [found.ipv4_mapped, found.sixtofour, *(found.teredo or ())]
        if found in _NAT64 or int(found) >> 32 == 0:
            inner.append(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF))
        if not all(is_public(str(one)) for one in inner if one is not None):
            return False
        if found.ipv4_mapped is not None or found in _NAT64:
            return True
    return found.is_global and not found.is_multicast and not found.is_reserved and found != _WIRE_SERVER


def public_client(hosts: frozenset[str]) -> Callable[..., Awaitable[Any]]:
    """What makes an aiohttp session for fsspec's HTTP file system.

    Args:
        hosts: names or addresses that may be private none the less.
    """

    def connecting(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, (address, *_) = info
        if not is_public(address) and address not in _addresses_of(hosts):
            raise PrivateAddress(f"{address} is not a public address")
        return socket.socket(family=family, type=kind, proto=protocol)

    async def client(**options: Any) -> Any:
        import aiohttp

        # Called for each address before a connection is made to it: after names are resolved, and after redirects.
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=connecting), **options)

    return client


def refuse_private(uri: str, hosts: frozenset[str]) -> None:
    """Does nothing when all addresses of the URI's host are public; for protocols whose connections are not ours.

    Raises:
        PrivateAddress: it has another one.
    """
    scheme, _, rest = uri.partition("://")
    host = urlsplit(f"//{rest.partition('/')[0]}").hostname
    if scheme in _NAMING_BUCKETS or host is None or host in hosts:
        return
    for address in _addresses_of(frozenset({host})):
        if not is_public(address):
            raise PrivateAddress(f"{host} has the address {address}, which is not a public one")


def _addresses_of(hosts: frozenset[str]) -> set[str]:
    found: set[str] = set()
    for host in hosts:
        try:
            found |= {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
        except OSError:
            continue
    return found
