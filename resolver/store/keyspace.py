"""All key names in Redis. None of them contains readable data.

A record's name is a keyed digest of (organization, id). It has a fixed length, and without the lookup key
(RESOLVER_INDEX_KEY) it can't be read or guessed. The partition is part of the name as a Redis hash tag, so a
record and its queue share one cluster slot, and one script writes both.

    {pNN}n:<digest>     sealed notification                                            string
    {pNN}c:<digest>     its queued commands                                            hash
    {pNN}q              schedule: when each queue is due                               sorted set of digests
    {pNN}d              dead letters                                                   hash
    {pNN}r:<digest>     sealed mark: which tokens of a person are revoked              string
    {pNN}m              how often bytes moved back to where an erasure looks first     counter
    {p00}e              erasures that are not complete                                 hash, by erasure id
    {p00}e:<id>         records that such an erasure touched                           hash, by keyed digest
    {p00}h              lease of the process that works on all records                 string
    {p00}w              every erasure that was carried out here                        set of ids
    {p00}k              erasure certificates                                           hash, by erasure id
    {p00}i              secret that turns idempotency keys into ids                    string
    {p00}u              deletions without ids that are not finished                    hash
    vnr:audit:<chain>   checkpoint: length of a chain of the audit trail               string
    vnr:accepted        when Velt last accepted a call, by Redis's clock               string
    vnr:keys            since when each master key seals                               hash
    vnr:signers         public keys of signing keys, with proofs                       hash
    vnr:fingerprint     database identity: which keys and schema it belongs to         string
    vnr:worker          heartbeat of the workers                                       string
    vnr:calls:<digest>  a person's calls in one organization in the rate limit window  counter
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
CHECKPOINTS = "vnr:audit:"
WAKE_CHANNEL = "vnr:doorbell"
ERASURES, SCAN_LEASE, KNOWN_ERASURES, CERTIFICATES = "{p00}e", "{p00}h", "{p00}w", "{p00}k"
IDEMPOTENCY = "{p00}i"
UNFINISHED_DELETIONS = "{p00}u"
KEYS_SEEN, SIGNERS = "vnr:keys", "vnr:signers"
RECORD_PATTERN = "{p[0-9][0-9]}n:*"
COMMANDS_PATTERN = "{p[0-9][0-9]}c:*"
REVOCATION_PATTERN = "{p[0-9][0-9]}r:*"
_DIGEST_BYTES = 18  # 144 bits: no collisions, and 24 base64 characters without padding
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
        first = organization.encode()
        common = self._records.copy()  # key and organization are hashed once for all
        # The length in front makes the pair injective: ("ab", "c") is never ("a", "bc").
        common.update(len(first).to_bytes(4, "big") + first)
        digests = []
        for notification in notifications:
            hashing = common.copy()
            hashing.update(notification.encode())
            digests.append(hashing.digest())
        # Digests need no padding, so encoding all at once gives each one's text, one after the other.
        members = b2a_base64(b"".join(digests), newline=False).translate(_URL_SAFE).decode()
        names, start = [], 0
        for digest in digests:
            end = start + _MEMBER_LENGTH
            names.append(_RECORDS_IN[digest[0] % PARTITIONS] + members[start:end])
            start = end
        return names

    def pseudonym(self, name: str) -> str:
        """Pseudonym of a person or an organization. A holder of the lookup key can check a guess; it can't be
        reversed."""
        digest = hashlib.blake2b(name.encode(), key=self._key, digest_size=_DIGEST_BYTES, person=b"person")
        return base64.urlsafe_b64encode(digest.digest()).decode()

    def revocation(self, user: str, organization: str = "") -> str:
        """Name of the mark that revokes a person's tokens in an organization, or (empty) in all."""
        everywhere, here = self.revocations(user, organization)
        return here if organization else everywhere

    def revocations(self, user: str, organization: str) -> list[str]:
        """Names of the two marks that decide about a call: for all organizations, and for this one."""
        names = []
        for where in ("", organization):
            hashing = self._revocations.copy()
            hashing.update(orjson.dumps([user, where]))
            digest = hashing.digest()
            member = b2a_base64(digest, newline=False).translate(_URL_SAFE).decode()
            names.append(f"{{p{digest[0] % PARTITIONS:02d}}}r:{member}")
        return names

    def calls(self, user: str, organization: str) -> str:
        """Counter of a person's calls in one organization, or (empty) of their other calls."""
        digest = hashlib.blake2b(
            orjson.dumps([user, organization]),
            key=self._key,
            digest_size=_DIGEST_BYTES,
            person=b"calls",
        ).digest()
        return f"vnr:calls:{base64.urlsafe_b64encode(digest).decode()}"

    def touched(self, erasure: str, record: str) -> str:
        """Digest of a record that an erasure touched. It differs for each erasure: without the lookup key,
        records can't be linked across erasures."""
        digest = hashlib.blake2b(
            orjson.dumps([erasure, record]), key=self._key, digest_size=_DIGEST_BYTES, person=b"touched"
        ).digest()
        return base64.urlsafe_b64encode(digest).decode()

    def fingerprint(self) -> str:
        """Digest of the lookup key: tells two keys apart, and reveals neither."""
        digest = hashlib.blake2b(b"fingerprint", key=self._key, digest_size=16).hexdigest()
        return f"{digest}/{PARTITIONS}"

    def environment(self, velt_api_key: Secret) -> str:
        """Digest of the Velt API key: tells two environments at Velt apart."""
        return hashlib.blake2b(
            velt_api_key.reveal_bytes(), key=self._key, digest_size=16, person=b"environment"
        ).hexdigest()


def decoded(names: Iterable[bytes]) -> list[str]:
    """Decode names read from Redis. Names that this service never writes are left out: one that another
    writer put there must not end a scan, an erasure or the worker's round."""
    return [name.decode() for name in names if name.isascii()]


def touched_by(erasure: str) -> str:
    return f"{ERASURES}:{erasure}"


def partitions() -> list[str]:
    return [f"{{p{number:02d}}}" for number in range(PARTITIONS)]


def partition_of(key_name: str) -> str:
    """The partition of a key name: its hash tag."""
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
