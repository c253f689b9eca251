"""What lies in Redis: which notifications; of one its key, its sealed bytes, and what opens from them."""

from __future__ import annotations

from itertools import islice
from typing import Any, cast

from resolver.crypto.envelope import key_id_of
from resolver.store.record import Record
from resolver.wiring import Stores

JSON = dict[str, Any]
_LOOKED_AT = 500


def newest(stores: Stores, most: int) -> list[JSON]:
    """Of some hundred records: whose they are and since when, not what they say."""
    looked_at = islice(stores.store.scan(), _LOOKED_AT)
    found = {(record.created, record.organization, record.notification) for record in looked_at}
    return [
        {"organizationId": organization, "notificationId": notification, "created": created}
        for created, organization, notification in sorted(found, reverse=True)[:most]
    ]


def sealed(stores: Stores, organization: str, notification: str) -> JSON:
    """`sealed` is null when nothing is held."""
    name = stores.keyspace.record(organization, notification)
    with stores.store.guard:
        held = cast(bytes | None, stores.redis.get(name))
    return {
        "keyName": name,
        "sealed": held.hex() if held else None,
        "length": len(held or b""),
        "keyId": key_id_of(held or b""),
    }


def opened(stores: Stores, organization: str, notification: str) -> JSON | None:
    held: Record | None = stores.store.read(organization, [notification]).get(notification)
    return held.described() if held else None
