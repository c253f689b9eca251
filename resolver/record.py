"""One notification as it is kept: a small header for decisions, and the content as ready-to-send JSON.

A read opens the record, looks at the header and splices the content's bytes into the reply: neither is
parsed on the read path. Plaintext layout: length of header (4) | header JSON, in lines | content JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from resolver.errors import Unreadable
from resolver.header import EVERYONE, LINES, NARROWED, VERIFIED, written

_LENGTH = Struct(">I")
DROPPED = "dropped"
"""Stands for the digest of a request whose registration an operator dropped."""


Opened = tuple[bytes, bytes]
"""All that a read needs of a record: its header in lines, which `resolver.header` reads, and its content from
behind the opening brace, as it stands in a reply. A pair, since a name for it would cost a read of many as
much as finding out who may read."""


def opened(plaintext: bytes) -> Opened:
    try:
        end = 4 + _LENGTH.unpack_from(plaintext)[0]
        if plaintext[end - 1 : end + 1] != b"}{":
            raise Unreadable()  # one of them isn't whole
        header, members = plaintext[4:end], plaintext[end + 1 :]
        return (header if header.startswith(LINES) else Record.of(header, members).header()), members
    except (StructError, AttributeError, TypeError, ValueError):
        raise Unreadable() from None


class Record(NamedTuple):
    organization: str
    notification: str
    document: str
    actor: str
    audience: tuple[str, ...] = ()
    everyone: bool = True
    """`notifyAll` as Velt reads it: absent means true."""
    verified: bool = False
    """`verifyUserPermissions`: Velt shows it only to who may see the document, which isn't known here."""
    hidden: tuple[str, ...] = ()
    """People who took themselves out; they don't read it under any policy."""
    created: int = 0
    request: str = ""
    """Digest of the add that an `Idempotency-Key` came with; empty without one."""
    private: Mapping[str, Any] = MappingProxyType({})
    """For the backend's eyes only: metadata, location, context."""
    content: bytes = b"{}"

    def to_bytes(self) -> bytes:
        header = self.header()
        return b"".join((_LENGTH.pack(len(header)), header, self.content))

    def header(self) -> bytes:
        place = {"o": self.organization, "n": self.notification}
        others = {"d": self.document, "c": self.created, "q": self.request, "p": dict(self.private)}
        marks = {EVERYONE: self.everyone, VERIFIED: self.verified, NARROWED: bool(self.access())}
        return written(
            place | {name: value for name, value in others.items() if value},
            [mark for mark, is_true in marks.items() if is_true],
            self.actor,
            self.audience,
            self.hidden,
        )

    @classmethod
    def from_bytes(cls, plaintext: bytes) -> Record:
        return cls.of(*opened(plaintext))

    @classmethod
    def of(cls, header: bytes, members: bytes) -> Record:
        """Of what was opened."""
        try:
            given = orjson.loads(header)
            get = given.get
            return cls(
                organization=given["o"],
                notification=given["n"],
                document=get("d", ""),
                actor=get("u", ""),
                audience=tuple(get("a", ())),
                everyone=get("e", False),
                verified=get("v", False),
                hidden=tuple(get("h", ())),
                created=get("c", 0),
                request=get("q", ""),
                private=get("p", {}),
                content=b"{" + members,
            )
        except (orjson.JSONDecodeError, KeyError, AttributeError, TypeError):
            raise Unreadable() from None

    def access(self) -> Mapping[str, Any]:
        """`context.access`: who reads must match it; empty when it narrows nothing."""
        found: Mapping[str, Any] = self.private.get("context", {}).get("access") or {}
        return found

    def matches(self, filters: Mapping[str, Any]) -> bool:
        """Whether Velt's filters mean it too, as far as that is known here. What has no place is at none."""
        user = filters.get("userId")
        return self.is_at(filters) and (
            user is None or self.everyone or user == self.actor or user in self.audience
        )

    def is_at(self, filters: Mapping[str, Any]) -> bool:
        """The same, whatever person they name. A place is a string in REST and a number in the browser."""
        place = filters.get("locationId")
        return filters.get("documentId", self.document) == self.document and (
            place is None or str(place) == str(self._place())
        )

    def _place(self) -> Any:
        location = self.private.get("location") or {}
        return self.private.get("locationId", location.get("id"))

    def parsed_content(self) -> dict[str, Any]:
        parsed: dict[str, Any] = orjson.loads(self.content)
        return parsed

    def described(self) -> dict[str, Any]:
        """All of it, content too: for operators."""
        return {
            "organizationId": self.organization,
            "notificationId": self.notification,
            "documentId": self.document,
            "actor": self.actor,
            "audience": list(self.audience),
            "notifyAll": self.everyone,
            "verifyUserPermissions": self.verified,
            "hidden": list(self.hidden),
            "created": self.created,
            "backendOnly": dict(self.private),
            "content": self.parsed_content(),
        }

    def addressees(self) -> frozenset[str]:
        """Whom it is addressed to by name, without those who left."""
        return frozenset(self.audience).difference(self.hidden)
