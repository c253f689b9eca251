"""The chain: each line's hash covers the line and the previous hash, so a line that is changed, removed,
inserted or moved contradicts the lines after it.

    {"audit":1,"chain":…,"seq":…,"at":…, the event …,"hash":…}

A person who can write the file could compute all later hashes again. Therefore a checkpoint once a second
signs the head of the chain, and is kept in Redis too, which shows when lines are missing at the end.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

GENESIS = "0" * 64
_HASH = b',"hash":"'


class Link(NamedTuple):
    """A line's position in a chain, counted from 0, and its hash."""

    chain: str
    seq: int
    hash: str


def linked(previous: Link, at: str, body: bytes) -> tuple[Link, bytes]:
    """Make the line after `previous`, and its link. `body`: the event as a JSON object in ASCII."""
    seq = previous.seq + 1
    head = f'{{"audit":1,"chain":"{previous.chain}","seq":{seq},"at":"{at}",'.encode()
    said = head + body[1:-1]
    digest = digest_of(previous.hash, said)
    return Link(previous.chain, seq, digest), said + _HASH + digest.encode() + b'"}\n'


def chain_start(chain: str) -> Link:
    return Link(chain, -1, GENESIS)


def split_line(line: bytes) -> tuple[bytes, str]:
    """Split a line into the bytes that its hash covers, and that hash."""
    said, _, rest = line.rstrip(b"\n").rpartition(_HASH)
    return said, rest[:-2].decode("ascii", "replace")


def digest_of(previous: str, said: bytes) -> str:
    return hashlib.sha256(previous.encode() + said).hexdigest()


def signed_text(link: Link) -> bytes:
    """The text that a checkpoint signs: chain, length and hash of its head."""
    return f"vnr audit anchor\n{link.chain}\n{link.seq}\n{link.hash}".encode()
