"""One notification as it is kept: a small header for decisions, and the content as ready-to-send JSON.

A read opens the record, looks at the header and splices the content's bytes into the reply: content is
never parsed on the read path. Plaintext layout: length of header (4) | header JSON | content JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from resolver.errors import Unreadable

_LENGTH = Struct(">I")


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
    private: Mapping[str, Any] = MappingProxyType({})
    """For the backend's eyes only: metadata, location, context."""
    content: bytes = b"{}"

    def to_bytes(self) -> bytes:
        header = orjson.dumps({name: value for name, value in self._header() if value})
        return b"".join((_LENGTH.pack(len(header)), header, self.content))

    def _header(self) -> tuple[tuple[str, Any], ...]:
        return (
            ("o", self.organization),
            ("n", self.notification),
            ("d", self.document),
            ("u", self.actor),
            ("a", self.audience),
            ("e", self.everyone),
            ("v", self.verified),
            ("h", self.hidden),
            ("c", self.created),
            ("p", dict(self.private)),
        )

    @classmethod
    def from_bytes(cls, plaintext: bytes) -> Record:
        try:
            end = 4 + _LENGTH.unpack_from(plaintext)[0]
            header = orjson.loads(plaintext[4:end])
            get = header.get
            # By position, as they stand above: a read does this for each of many.
            return cls._make(
                (
                    header["o"],
                    header["n"],
                    get("d", ""),
                    get("u", ""),
                    tuple(get("a", ())),
                    get("e", False),
                    get("v", False),
                    tuple(get("h", ())),
                    get("c", 0),
                    get("p", {}),
                    plaintext[end:],
                )
            )
        except (orjson.JSONDecodeError, StructError, KeyError, AttributeError, TypeError):
            raise Unreadable() from None

    def access(self) -> Mapping[str, Any]:
        """`context.access`: who reads must match it; empty when it narrows nothing."""
        found: Mapping[str, Any] = self.private.get("context", {}).get("access") or {}
        return found

    def matches(self, filters: Mapping[str, Any]) -> bool:
        """Whether Velt's filters mean it too, as far as that is known here."""
        user, place = filters.get("userId"), self._place()
        return (
            filters.get("documentId", self.document) == self.document
            and (place is None or filters.get("locationId", place) == place)
            and (user is None or self.everyone or user == self.actor or user in self.audience)
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

    def reply_json(self) -> bytes:
        """What the callback sends, under its id: the id, then the content spliced in as it is."""
        id_, content = orjson.dumps(self.notification), self.content
        comma = b"," if len(content) > 2 else b""
        return b"".join((id_, b':{"notificationId":', id_, comma, content[1:]))
