"""What a person's feed in the browser holds."""

from resolver.sandbox.audience import is_for_you, sees
from resolver.sandbox.records import Record
from resolver.sandbox.retrieval import item
from resolver.sandbox.state import State
from resolver.sandbox.validation import Json


def inbox(state: State, organization_id: str, user_id: str) -> list[Json]:
    """Newest first, as the browser SDK gets it: structure as stored, plus what it computes from it."""
    newest_first = reversed(state.records.of(organization_id))
    return [_feed_item(state, r, user_id) for r in newest_first if sees(r, user_id, state.access)]


def _feed_item(state: State, record: Record, user_id: str) -> Json:
    resolved = record.sent.get("isNotificationResolverUsed", False)
    return {
        **item(record, state.api_key),
        **({"isNotificationResolverUsed": True} if resolved else {}),
        "isUnread": user_id not in record.read,
        "forYou": is_for_you(record, user_id, state.access),
    }
