"""One notification as it lies in Redis: its key's name, its sealed bytes, and what opens from them."""

from __future__ import annotations

from typing import Any, cast

from resolver.record import Record
from resolver.services import Stores
from resolver.vault.envelope import key_id_of

JSON = dict[str, Any]


def sealed(stores: Stores, organization: str, notification: str) -> JSON:
    """`sealed` is null when nothing is held."""
    name = stores.keyspace.record(organization, notification)
    with stores.vault.guard:
        held = cast(bytes | None, stores.redis.get(name))
    return {
        "keyName": name,
        "sealed": held.hex() if held else None,
        "length": len(held or b""),
        "keyId": key_id_of(held or b""),
    }


def opened(stores: Stores, organization: str, notification: str) -> JSON | None:
    held: Record | None = stores.vault.read(organization, [notification]).get(notification)
    return held.described() if held else None
