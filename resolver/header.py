"""The header of a sealed record: JSON in lines, so that who may read is told without parsing it.

A JSON string can't hold a line break, so a name that stands between two of them stands there itself: nothing
that somebody wrote into another field passes for it. People it is for stand between line feeds, people who
took themselves out between carriage returns, and what is true of it starts a line.

Hazard: names are looked for as they were written. Should `orjson` ever spell one otherwise, nobody would
find themselves; `tests/test_header.py` pins how it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

LINES = b"{\n"
"""What such a header starts with; those of earlier versions don't."""
ANYBODY_GONE = ord("\r")
EVERYONE, VERIFIED, NARROWED = (b'\n"%c":true' % key for key in b"evw")


class Traces(NamedTuple):
    """What one person leaves in a header, where there is anything of them in it."""

    acted: bytes
    named: bytes
    """Acted, or is addressed."""
    gone: bytes

    @classmethod
    def of(cls, user: str) -> Traces:
        return cls(LINES + _acted(user), _named(user), _gone(user))


def written(
    others: Mapping[str, Any],
    marks: Iterable[bytes],
    actor: str,
    audience: Iterable[str],
    hidden: Iterable[str],
) -> bytes:
    """`others` are what nobody looks for here."""
    fields = [_acted(actor)] if actor else []
    if people := b",".join(map(_named, audience)):
        fields.append(b'"a":[%b]' % people)
    if people := b",".join(map(_gone, hidden)):
        fields.append(b'"h":[%b]' % people)
    return b"%b%b}" % (LINES, b",".join([*fields, *marks, orjson.dumps(others)[1:-1]]))


def _acted(user: str) -> bytes:
    return b'"u":' + _named(user)


def _named(user: str) -> bytes:
    return b"\n%b\n" % orjson.dumps(user)


def _gone(user: str) -> bytes:
    return b"\r%b\r" % orjson.dumps(user)
