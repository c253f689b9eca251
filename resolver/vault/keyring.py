"""The master keys, and the keys derived from them: one per master and partition."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from resolver.errors import Unreadable
from resolver.secret import Secret
from resolver.vault.keyspace import PARTITION


class Keyring(dict[bytes, AESGCM]):
    """Seals with the first master key, opens with any: `keyring[partition + label]`, where the label is the
    master's id as it stands in sealed bytes. Derived keys stay: 64 partitions times a handful of masters is
    all there can be."""

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
