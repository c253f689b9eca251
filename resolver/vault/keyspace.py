"""Every key name in Redis, and nothing readable in any of them.

A name is a keyed digest of (organization, id): fixed length, and without the index key nobody can tell
whose notification it is or test a guess. The partition is part of the name as a Redis hash tag, so a
record and whatever belongs to it share one cluster slot.
"""

from __future__ import annotations

import base64
import hashlib

from resolver.secret import Secret

PARTITIONS = 64
FINGERPRINT_KEY = "vnr:fingerprint"
RECORD_PATTERN = "{p[0-9][0-9]}n:*"
_DIGEST_BYTES = 18  # 144 bits: no collision in any lifetime, and 24 base64 characters without padding


class Keyspace:
    def __init__(self, index_key: Secret) -> None:
        self._key = index_key.reveal_bytes()

    def record(self, organization: str, notification: str) -> str:
        digest = self._digest(organization, notification)
        partition = digest[0] % PARTITIONS
        return f"{{p{partition:02d}}}n:{base64.urlsafe_b64encode(digest).decode()}"

    def fingerprint(self) -> str:
        """Tells two index keys apart without telling anything about either."""
        digest = hashlib.blake2b(b"fingerprint", key=self._key, digest_size=16).hexdigest()
        return f"{digest}/{PARTITIONS}"

    def _digest(self, organization: str, notification: str) -> bytes:
        # The length in front makes the pair injective: ("ab", "c") is never ("a", "bc").
        first, second = organization.encode(), notification.encode()
        material = len(first).to_bytes(4, "big") + first + second
        return hashlib.blake2b(material, key=self._key, digest_size=_DIGEST_BYTES, person=b"record").digest()


def partition_of(key_name: str) -> str:
    """`{p07}`: what a key of this partition starts with."""
    return key_name[: key_name.index("}") + 1]
