"""Get: merge the sealed content into Velt's answer, for the trusted backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resolver.audit.trail import AuditContext
from resolver.deadline import Deadline
from resolver.store.multiplexed import Admit
from resolver.store.record import Record
from resolver.store.records import RecordStore
from resolver.velt import requests
from resolver.velt.client import VeltClient, VeltEndpoint
from resolver.velt.schema import ignored, with_warnings

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class GetNotifications:
    store: RecordStore
    velt: VeltClient

    def __call__(self, data: Any, deadline: Deadline, audit: AuditContext, admit: Admit) -> JSON:
        request = requests.parse(requests.GET, data)
        warnings = ignored(requests.GET, data)
        answer = self.velt.post(VeltEndpoint.GET, request, deadline)
        items = answer["result"].get("data")
        if not isinstance(items, list):
            audit.record(organization=request["organizationId"])
            return with_warnings(answer["result"], warnings)
        ids = list({item["id"]: None for item in items if _is_ours(item)})
        held = self.store.read(request["organizationId"], ids, admit=admit)
        selected = {id_: record for id_, record in held.items() if _is_selected(id_, record, request)}
        denied = [id_ for id_ in held if id_ not in selected]
        audit.record(organization=request["organizationId"], ids=list(selected), denied=denied)
        # Each content once: an answer that repeats an id would multiply it.
        merged = [
            _merged(item, record) if _is_ours(item) and (record := selected.pop(item["id"], None)) else item
            for item in items
        ]
        return with_warnings({**answer["result"], "data": merged}, warnings)


def _is_ours(item: Any) -> bool:
    """Whether an item may be ours: a custom notification, or one without a source. Reading the records of
    others is harmless, since none are held."""
    return (
        isinstance(item, dict)
        and item.get("notificationSource", "custom") == "custom"
        and isinstance(item.get("id"), str)
    )


def _is_selected(id_: str, record: Record, request: JSON) -> bool:
    """Whether the request selects the record: that Velt returned it doesn't decide who gets our content."""
    return record.matches(request) and id_ in request.get("notificationIds", (id_,))


def _merged(item: JSON, record: Record) -> JSON:
    """Merge stored fields into Velt's item. Velt's values win within `metadata`."""
    metadata = {**record.private.get("metadata", {}), **_object(item.get("metadata"))}
    return {
        **item,
        **record.private,
        **record.parsed_content(),
        **({"metadata": metadata} if metadata else {}),
    }


def _object(value: Any) -> JSON:
    return value if isinstance(value, dict) else {}
