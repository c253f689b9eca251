"""The chain: a line's hash covers the line and the hash before it, so nothing can be changed, removed, put in
or moved without what follows not fitting any more.

    {"audit":1,"chain":…,"seq":…,"at":…, what happened …,"hash":…}

Whoever can write the file could make all that follows fit again; so once a second the head of the chain is
signed into it, and remembered in Redis, where a line that goes missing at the end is missed.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

GENESIS = "0" * 64
_HASH = b',"hash":"'


class Link(NamedTuple):
    """A line's place: in which chain, how many before it, and the hash that it ends in."""

    chain: str
    seq: int
    hash: str


def linked(previous: Link, at: str, body: bytes) -> tuple[Link, bytes]:
    """The line that follows, and its place. `body`: what happened, as a JSON object of ASCII."""
    seq = previous.seq + 1
    head = f'{{"audit":1,"chain":"{previous.chain}","seq":{seq},"at":"{at}",'.encode()
    said = head + body[1:-1]
    digest = digest_of(previous.hash, said)
    return Link(previous.chain, seq, digest), said + _HASH + digest.encode() + b'"}\n'


def before_first(chain: str) -> Link:
    return Link(chain, -1, GENESIS)


def split_line(line: bytes) -> tuple[bytes, str]:
    """What its hash covers, and the hash that it names."""
    said, _, rest = line.rstrip(b"\n").rpartition(_HASH)
    return said, rest[:-2].decode("ascii", "replace")


def digest_of(previous: str, said: bytes) -> str:
    return hashlib.sha256(previous.encode() + said).hexdigest()


def signed_text(link: Link) -> bytes:
    """What an anchor signs: this head, of this chain, at this length."""
    return f"vnr audit anchor\n{link.chain}\n{link.seq}\n{link.hash}".encode()
