"""A stored notification: one MessagePack array, typed and decoded by msgspec.

The array starts with the header, the values that decide who may read. The content follows as JSON, which a
read copies into its reply unparsed. Fields for the backend only come last: a read skips them. The order of
the fields is the stored order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import orjson
from msgspec import DecodeError, Struct
from msgspec.msgpack import Decoder, Encoder
from msgspec.structs import force_setattr

from resolver.errors import Unreadable

DROPPED = "dropped"
"""Replaces the digest of a request whose registration an operator dropped."""


class Header(Struct, frozen=True, array_like=True, gc=False):
    """The values that decide who may read a notification."""

    organization: str
    notification: str
    document: str
    actor: str
    audience: tuple[str, ...] = ()
    everyone: bool = True
    """`notifyAll` as Velt reads it: absent means true."""
    verified: bool = False
    """`verifyUserPermissions`: Velt shows it only to users with access to the document, unknown here."""
    dismissed_by: tuple[str, ...] = ()
    """People who dismissed it; they can't read it under any policy."""
    narrowed: bool = False
    """Whether `context.access` restricts `everyone`."""
    created: int = 0
    request: str = ""
    """Digest of an add with an `Idempotency-Key`; empty without one."""

    def addressees(self) -> frozenset[str]:
        """People that it names, without those who dismissed it."""
        return frozenset(self.audience).difference(self.dismissed_by)


class Opened(Header, frozen=True, array_like=True, gc=False):
    """The part of a record that a read decodes: header and content."""

    content: bytes = b"{}"
    """A JSON object."""


class Record(Opened, frozen=True, array_like=True, gc=False):
    """The whole record."""

    private: dict[str, Any] = {}
    """Fields for the backend only: metadata, location, context."""

    def __post_init__(self) -> None:
        force_setattr(self, "narrowed", bool(self.access()))

    @staticmethod
    def from_bytes(plaintext: bytes) -> Record:
        return _record(plaintext)

    def to_bytes(self) -> bytes:
        return _encode(self)

    def access(self) -> Mapping[str, Any]:
        """`context.access`, which a reader must match; empty when it restricts nothing."""
        found: Mapping[str, Any] = self.private.get("context", {}).get("access") or {}
        return found

    def matches(self, filters: Mapping[str, Any]) -> bool:
        """Whether Velt's filters select it, as far as known here. A record without a location matches
        none."""
        user = filters.get("userId")
        return self.is_at(filters) and (
            user is None or self.everyone or user == self.actor or user in self.audience
        )

    def is_at(self, filters: Mapping[str, Any]) -> bool:
        """Whether the filters for document and location select it. A location's id is a string in REST, and a
        number in the browser."""
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
        """The whole record with its content, for operators."""
        return {
            "organizationId": self.organization,
            "notificationId": self.notification,
            "documentId": self.document,
            "actor": self.actor,
            "audience": list(self.audience),
            "notifyAll": self.everyone,
            "verifyUserPermissions": self.verified,
            "hidden": list(self.dismissed_by),
            "created": self.created,
            "backendOnly": dict(self.private),
            "content": self.parsed_content(),
        }


Form = TypeVar("Form", Opened, Record)
_encode = Encoder().encode
_ARRAY = 0x90 | len(Record.__struct_fields__)
"""First byte of a MessagePack array of all fields (up to 15). A shorter array would decode to defaults."""
_OPENING, _CLOSING = b"{}"


def _decoded(decode: Callable[[bytes], Form], plaintext: bytes) -> Form:
    """Raise Unreadable unless it is a whole record with values of the right types."""
    try:
        found = decode(plaintext)
        if plaintext[0] == _ARRAY and found.content[0] == _OPENING and found.content[-1] == _CLOSING:
            return found
    except (DecodeError, UnicodeDecodeError, AttributeError, IndexError, RecursionError):
        pass
    raise Unreadable()


_record = partial(_decoded, Decoder(Record).decode)
opened = partial(_decoded, Decoder(Opened).decode)
