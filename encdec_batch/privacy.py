"""Names that tell nobody who is meant: keyed hashes in place of ids and URIs, and what must be kept in clear encrypted.

The key comes from the environment and is written nowhere. With another key scenes have other ids: one key an output.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from typing import Any

PRIVATE_SCHEME = "private:"
"""Of the URIs that stand for those of private objects."""
LEAST_CHARACTERS = 16
"""Of a key: short ones are guessed."""


class Pseudonyms:
    """What stands for private names, by one key.

    Args:
        secret: of the environment; at least `LEAST_CHARACTERS`.
    """

    def __init__(self, secret: str) -> None:
        # One key for names and one for contents: neither tells of the other.
        self._names = hashlib.sha256(b"encdec-batch names " + secret.encode()).digest()
        self._contents = hashlib.sha256(b"encdec-batch contents " + secret.encode()).digest()

    def scene_id(self, name: str) -> str:
        """For the id of a scene or volume: `p` and 24 hex digits."""
        return f"p{self._hash('id', name)[:24]}"

    def uri(self, uri: str) -> str:
        """For the URI of an object."""
        return f"{PRIVATE_SCHEME}{self._hash('uri', uri)[:32]}"

    def patient(self, name: str) -> str:
        """For the id of a person: the same in every output by this key."""
        return f"p{self._hash('patient', name)[:24]}"

    def uid(self, uid: str) -> str:
        """For a UID of DICOM."""
        return uid_from(bytes.fromhex(self._hash("uid", uid))[:16])

    @property
    def fingerprint(self) -> str:
        """Tells keys apart, and tells none: 16 hex digits."""
        return self._hash("key", "")[:16]

    def digest_of(self, data: bytes) -> bytes:
        """Of a text: the same for the same, and nobody without the key can tell of which."""
        return self._hash("text", data.hex()).encode()

    def encrypted(self, data: bytes) -> bytes:
        """For nobody without the key (Fernet: AES-128-CBC and HMAC-SHA256)."""
        return bytes(self._fernet().encrypt(data))

    def decrypted(self, data: bytes) -> bytes:
        """What `encrypted` was given.

        Raises:
            ValueError: it was encrypted with another key, or changed since.
        """
        from cryptography.fernet import InvalidToken

        try:
            return bytes(self._fernet().decrypt(data))
        except InvalidToken as error:
            raise ValueError("encrypted with another key, or changed since") from error

    def _hash(self, kind: str, name: str) -> str:
        return hmac.new(self._names, f"{kind} {name}".encode(), hashlib.sha256).hexdigest()

    def _fernet(self) -> Any:
        from cryptography.fernet import Fernet

        return Fernet(base64.urlsafe_b64encode(self._contents))


def uid_from(digest: bytes) -> str:
    """A UID of DICOM (PS3.5, B.2) from 16 bytes, as a UUID of version 8 (RFC 9562), whose other bits are free."""
    number = int.from_bytes(digest) & ~(0xF << 76) & ~(0x3 << 62) | (0x8 << 76) | (0x2 << 62)
    return f"2.25.{number}"


def pseudonyms_of(variable: str) -> Pseudonyms | None:
    """By the key in a variable of the environment; None where there is none, or one that is too short."""
    secret = os.environ.get(variable, "")
    return Pseudonyms(secret) if len(secret) >= LEAST_CHARACTERS else None
