"""Every key name in Redis, and nothing readable in any of them.

A name is a keyed digest of (organization, id): fixed length, and without the index key nobody can tell
whose notification it is or test a guess. The partition is part of the name as a Redis hash tag, so a
record and its outbox entry share one cluster slot, and one script writes both.

    {pNN}n:<digest>   a sealed notification                    string
    {pNN}c:<digest>   its commands that Velt hasn't had yet    hash
    {pNN}q            which notifications have some, by when   sorted set of digests
    {pNN}d            commands given up                        hash, by digest and position
    {pNN}r:<digest>   a sealed mark: which tokens of a person are revoked    string
    {pNN}m            how often bytes about people moved back to where an erasure looks first    counter
    {p00}e            erasures that are under way             hash, by erasure id
    {p00}e:<id>       what such an erasure touched            hash, by keyed digest
    {p00}h            who is at work on erasures              string
    {p00}w            every erasure that was asked for        set of ids
    {p00}k            certificates of those that are done     hash, by erasure id
    {p00}i            the secret that idempotency keys become ids with    string
    vnr:audit:<chain>   how long a chain of the audit trail is                              string
    vnr:accepted      when Velt last accepted a call, by Redis's clock    string
    vnr:keys          since when each master key seals        hash
    vnr:signers       public keys of former index keys        hash
    vnr:calls:<digest>  a person's calls in one organization, within RESOLVER_RATE_LIMIT's window    counter
"""

from __future__ import annotations

import base64
import hashlib
import re
from binascii import b2a_base64
from collections.abc import Iterable
from typing import NamedTuple

import orjson

from resolver.config.secret import Secret
from resolver.crypto.envelope import PARTITION

PARTITIONS = 64
IDENTITY_KEY = "vnr:fingerprint"
WORKER_KEY = "vnr:worker"
ACCEPTED_KEY = "vnr:accepted"
ANCHORS = "vnr:audit:"
WAKE_CHANNEL = "vnr:doorbell"
ORDERS, ORDERS_HELD, ORDERS_KNOWN, CERTIFICATES = "{p00}e", "{p00}h", "{p00}w", "{p00}k"
IDEMPOTENCY = "{p00}i"
KEYS_SEEN, FORMER_SIGNERS = "vnr:keys", "vnr:signers"
RECORD_PATTERN = "{p[0-9][0-9]}n:*"
COMMANDS_PATTERN = "{p[0-9][0-9]}c:*"
REVOCATION_PATTERN = "{p[0-9][0-9]}r:*"
_DIGEST_BYTES = 18  # 144 bits: no collision in any lifetime, and 24 base64 characters without padding
_MEMBER_LENGTH = 24
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_RECORDS_IN = [f"{{p{partition:02d}}}n:" for partition in range(PARTITIONS)]


class Keyspace:
    def __init__(self, index_key: Secret) -> None:
        self._key = index_key.reveal_bytes()
        self._records = hashlib.blake2b(key=self._key, digest_size=_DIGEST_BYTES, person=b"record")
        self._revocations = hashlib.blake2b(key=self._key, digest_size=_DIGEST_BYTES, person=b"revocation")

    def record(self, organization: str, notification: str) -> str:
        return self.records(organization, [notification])[0]

    def records(self, organization: str, notifications: Iterable[str]) -> list[str]:
        """What all have in common, the key and the organization, is hashed once."""
        first = organization.encode()
        common = self._records.copy()
        # The length in front makes the pair injective: ("ab", "c") is never ("a", "bc").
        common.update(len(first).to_bytes(4, "big") + first)
        digests = []
        for notification in notifications:
            hashing = common.copy()
            hashing.update(notification.encode())
            digests.append(hashing.digest())
        # Without padding, the text of all of them is their texts one after the other.
        members = b2a_base64(b"".join(digests), newline=False).translate(_URL_SAFE).decode()
        names, start = [], 0
        for digest in digests:
            end = start + _MEMBER_LENGTH
            names.append(_RECORDS_IN[digest[0] % PARTITIONS] + members[start:end])
            start = end
        return names

    def pseudonym(self, name: str) -> str:
        """What stands for a person or an organization where neither may be named: whoever has the index key
        can tell whether it is this one, and nobody can tell who it is."""
        digest = hashlib.blake2b(name.encode(), key=self._key, digest_size=_DIGEST_BYTES, person=b"person")
        return base64.urlsafe_b64encode(digest.digest()).decode()

    def revocation(self, user: str, organization: str = "") -> str:
        """The mark that revokes a person's tokens; without an organization, in all of them."""
        everywhere, here = self.revocations(user, organization)
        return here if organization else everywhere

    def revocations(self, user: str, organization: str) -> list[str]:
        """The two marks that decide about a call: for the person everywhere, and in this organization."""
        names = []
        for where in ("", organization):
            hashing = self._revocations.copy()
            hashing.update(orjson.dumps([user, where]))
            digest = hashing.digest()
            member = b2a_base64(digest, newline=False).translate(_URL_SAFE).decode()
            names.append(f"{{p{digest[0] % PARTITIONS:02d}}}r:{member}")
        return names

    def calls(self, user: str, organization: str) -> str:
        """The counter of a person's calls in one organization; without one, of their other calls."""
        digest = hashlib.blake2b(
            orjson.dumps([user, organization]),
            key=self._key,
            digest_size=_DIGEST_BYTES,
            person=b"calls",
        ).digest()
        return f"vnr:calls:{base64.urlsafe_b64encode(digest).decode()}"

    def touched(self, order: str, record: str) -> str:
        """What stands for a record among those that an erasure touched: another one for each erasure, so that
        nobody without the index key can tell which records belong together."""
        digest = hashlib.blake2b(
            orjson.dumps([order, record]), key=self._key, digest_size=_DIGEST_BYTES, person=b"touched"
        ).digest()
        return base64.urlsafe_b64encode(digest).decode()

    def fingerprint(self) -> str:
        """Tells two index keys apart without telling anything about either."""
        digest = hashlib.blake2b(b"fingerprint", key=self._key, digest_size=16).hexdigest()
        return f"{digest}/{PARTITIONS}"

    def environment(self, velt_api_key: Secret) -> str:
        """Digest of the Velt API key: tells two environments at Velt apart."""
        return hashlib.blake2b(
            velt_api_key.reveal_bytes(), key=self._key, digest_size=16, person=b"environment"
        ).hexdigest()


def decoded(names: Iterable[bytes]) -> list[str]:
    """Decode names read from Redis, without those that this service never writes: one name put there by
    another writer must not end a scan, an erasure or the worker's round."""
    return [name.decode() for name in names if name.isascii()]


def touched_by(order: str) -> str:
    return f"{ORDERS}:{order}"


def partitions() -> list[str]:
    return [f"{{p{number:02d}}}" for number in range(PARTITIONS)]


def partition_of(key_name: str) -> str:
    """What every key of this partition starts with."""
    return key_name[PARTITION]


class Queue(NamedTuple):
    """Key names of one notification's queue of commands."""

    record: str
    commands: str
    schedule: str
    """When each queue of the partition is due."""
    dead_letters: str
    member: str
    """Names the notification in the schedule."""
    moves: str


def queue_of(key_name: str) -> Queue:
    """The queue with this record name, or commands name."""
    return queue_in(key_name[PARTITION], key_name[PARTITION.stop + 2 :])


def queue_in(partition: str, member: str) -> Queue:
    return Queue(
        record=f"{partition}n:{member}",
        commands=f"{partition}c:{member}",
        schedule=f"{partition}q",
        dead_letters=f"{partition}d",
        member=member,
        moves=f"{partition}m",
    )


def queue_named(name: str) -> Queue:
    """The queue of a command `<partition>:<member>.<position>`, or a dead letter `…:<member>:<claim>`."""
    partition, member, *_ = re.split("[:.]", name)
    return queue_in(partition, member)


def schedule_of(partition: str) -> str:
    return f"{partition}q"


def dead_letters_of(partition: str) -> str:
    return f"{partition}d"


def moves_of(partition: str) -> str:
    return f"{partition}m"
