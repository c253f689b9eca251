"""/v2/notifications/config/set and /get: which channels a person wants, per document or organization."""

from resolver.sandbox.errors import invalid
from resolver.sandbox.replies import Success
from resolver.sandbox.state import State
from resolver.sandbox.validation import Fields, Json, filled_list_of, flag, map_of, one_of, text

_DOCUMENT_LIMIT = 30
_SET = "User config set successfully."


def set_config(state: State, data: Fields) -> Success:
    """Without documents the organization's level is set: the person's default for every document."""
    organization_id = data.required("organizationId", text)
    user_ids = data.required("userIds", filled_list_of(text))
    channels = data.required("config", map_of(one_of("ALL", "MINE", "NONE")))
    document_ids = data.optional("documentIds", filled_list_of(text))
    for user_id in user_ids:
        for level in document_ids or (None,):
            state.preferences.setdefault((organization_id, user_id, level), {}).update(channels)
    return Success(_SET, {user_id: _confirmation(user_id, document_ids) for user_id in user_ids})


def get_config(state: State, data: Fields) -> Success:
    """Velt's SDKs ask for a person alone, and no page says what that gets: here, the organization's level."""
    organization_id = data.required("organizationId", text)
    of_organization = data.optional("getOrganizationConfig", flag) is True
    if of_organization and "userId" not in data.values:
        raise invalid("userId is required when getOrganizationConfig is true")
    user_id = data.required("userId", text)
    document_ids = _document_ids(data)
    levels: list[str | None] = [None] if of_organization or not document_ids else []
    levels += document_ids
    entries = [_entry(state, organization_id, user_id, level) for level in levels]
    return Success("User config fetched successfully.", [entry for entry in entries if entry["config"]])


def _document_ids(data: Fields) -> list[str]:
    document_ids = data.optional("documentIds", filled_list_of(text)) or []
    if len(document_ids) > _DOCUMENT_LIMIT:
        raise invalid(f"documentIds may hold at most {_DOCUMENT_LIMIT} ids")
    return list(dict.fromkeys(document_ids))


def _confirmation(user_id: str, document_ids: list[str] | None) -> Json:
    """Velt keys its reply by person alone, so several documents collapse into the last one."""
    document = {"documentId": document_ids[-1]} if document_ids else {}
    return {"success": True, "userId": user_id, **document, "message": _SET}


def _entry(state: State, organization_id: str, user_id: str, document_id: str | None) -> Json:
    default = state.preferences.get((organization_id, user_id, None), {})
    own = state.preferences.get((organization_id, user_id, document_id), {})
    document = {} if document_id is None else {"documentId": document_id}
    metadata = {"organizationId": organization_id, "apiKey": state.api_key, **document, "userId": user_id}
    return {"config": {**default, **own}, "metadata": metadata}
