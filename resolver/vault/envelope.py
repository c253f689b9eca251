"""Sealed bytes: AES-256-GCM, bound to the key name they are stored under.

    version (1) | nonce (12) | length of key id (1) | key id | ciphertext and tag

The nonce comes at a fixed place because it is also the record's version: `scripts/replace.lua` compares it.
Hazard: anything sealed for one key name opens under that name alone; move a value and it is lost.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag

from resolver.errors import Unreadable
from resolver.vault.keyring import Keyring
from resolver.vault.keyspace import PARTITION

_VERSION = b"\x01"
_NONCE = slice(1, 13)
LONGEST_HEADER = 14 + 32
"""Up to the end of the longest key id."""


class Envelope:
    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def seal(self, key_name: str, plaintext: bytes) -> bytes:
        nonce, name = secrets.token_bytes(12), key_name.encode()
        label = self._keyring.sealing_id.encode()
        ciphertext = self._keyring[name[PARTITION] + label].encrypt(nonce, plaintext, _VERSION + name)
        return b"".join((_VERSION, nonce, bytes((len(label),)), label, ciphertext))

    def open(self, key_name: str, sealed: bytes) -> bytes:
        try:
            start, name = 14 + sealed[13], key_name.encode()
            cipher = self._keyring[name[PARTITION] + sealed[14:start]]
            return cipher.decrypt(sealed[_NONCE], sealed[start:], sealed[:1] + name)
        except (InvalidTag, ValueError, IndexError):
            raise Unreadable() from None

    @property
    def sealing_id(self) -> str:
        return self._keyring.sealing_id

    def is_fresh(self, sealed: bytes) -> bool:
        """Under the key that seals now."""
        return key_id_of(sealed) == self.sealing_id

    def reseal(self, key_name: str, sealed: bytes) -> bytes:
        return self.seal(key_name, self.open(key_name, sealed))


def nonce_of(sealed: bytes) -> bytes:
    return sealed[_NONCE]


def key_id_of(sealed: bytes) -> str:
    """Of a value, or of its first bytes."""
    if len(sealed) < 14:
        return ""
    return sealed[14 : 14 + sealed[13]].decode("ascii", "replace")
