"""Sealed bytes: AES-256-GCM, bound to the key name that they are stored under.

    version (1) | nonce (12) | length of key id (1) | key id | ciphertext and tag

The nonce has a fixed position because it is also the record's version, which `scripts/commit.lua` compares.
Hazard: sealed bytes open only under the key name that they were sealed for. A value that is moved to another
name can't be opened.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from resolver.config.secret import Secret
from resolver.errors import Unreadable

PARTITION = slice(0, 5)
"""The part of a key name with its partition, such as `{p07}`. Each partition has its own encryption key."""
_VERSION = b"\x01"
_NONCE = slice(1, 13)
LONGEST_HEADER = 14 + 32
"""Bytes up to the end of the longest key id."""


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
        """Whether it is sealed under the first master key."""
        return key_id_of(sealed) == self.sealing_id

    def reseal(self, key_name: str, sealed: bytes) -> bytes:
        return self.seal(key_name, self.open(key_name, sealed))


def nonce_of(sealed: bytes) -> bytes:
    return sealed[_NONCE]


def key_id_of(sealed: bytes) -> str:
    """The id of the master key of sealed bytes, or of their first `LONGEST_HEADER` bytes."""
    length = int.from_bytes(sealed[13:14])  # 0 for bytes too short to have one
    return sealed[14 : 14 + length].decode("ascii", "replace")


class Keyring(dict[bytes, AESGCM]):
    """Derived keys by `partition + label`, where the label is the master key's id as in sealed bytes.

    The first master key seals; any can open. Derived keys are cached without limit: there are only 64 for
    each master key. Raises Unreadable for an unknown master key.
    """

    def __init__(self, masters: Mapping[str, Secret]) -> None:
        super().__init__()
        self._masters = masters
        self.sealing_id = next(iter(masters))

    def __missing__(self, which: bytes) -> AESGCM:
        partition, label = which[PARTITION], which[PARTITION.stop :]
        master = self._masters.get(label.decode("ascii", "replace"))
        if master is None:
            raise Unreadable()
        hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"vnr record key " + partition)
        self[which] = cipher = AESGCM(hkdf.derive(master.reveal_bytes()))
        return cipher
