"""The master keys, and the keys derived from them: one per master and partition."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from resolver.errors import Unreadable
from resolver.secret import Secret


class Keyring:
    """Seals with the first master key, opens with any. Derived keys stay: 64 partitions times a handful of
    masters is all there can be."""

    def __init__(self, masters: Mapping[str, Secret]) -> None:
        self._masters = masters
        self._derived: dict[tuple[bytes, str], AESGCM] = {}
        self.sealing_id = next(iter(masters))

    def cipher(self, label: bytes, partition: str) -> AESGCM:
        """`label`: the key's id, as it stands in sealed bytes."""
        return self._derived.get((label, partition)) or self._derive(label, partition)

    def _derive(self, label: bytes, partition: str) -> AESGCM:
        master = self._masters.get(label.decode("ascii", "replace"))
        if master is None:
            raise Unreadable()
        hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"vnr record key " + partition.encode())
        cipher = AESGCM(hkdf.derive(master.reveal_bytes()))
        self._derived[label, partition] = cipher
        return cipher
