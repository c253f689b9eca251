"""/v2/notifications/delete"""

from resolver.sandbox.answers import reports
from resolver.sandbox.errors import VeltError
from resolver.sandbox.records import Record
from resolver.sandbox.replies import Success
from resolver.sandbox.scope import Scope
from resolver.sandbox.state import State
from resolver.sandbox.validation import Fields, list_of, text

_OUTCOMES = {True: "Notification deleted.", False: "Failed to delete notification."}


def delete(state: State, data: Fields) -> Success:
    """Without ids the whole scope goes. An empty list is no ids: that is the trap, kept on purpose."""
    scope = Scope.read(data)
    ids = data.optional("notificationIds", list_of(text)) or []
    in_scope = {r.id: r for r in state.records.of(scope.organization_id) if scope.holds(r, state.access)}
    if state.answers.unknownDelete == "refuse" and not in_scope.keys() >= set(ids):
        raise VeltError("NOT_FOUND", "Notification not found.")
    whose = scope.user_id if state.answers.deleteForUser == "copy" else None
    results = {wanted: _outcome(state, in_scope.get(wanted), whose) for wanted in ids or in_scope}
    return Success("Notification(s) deleted successfully.", results)


def _outcome(state: State, record: Record | None, whose: str | None) -> dict[str, object]:
    if record is not None and whose:
        record.take_out(whose)
    if record is not None and not (whose and record.has_readers):
        state.records.remove(record)
    deleted = reports(state.answers.unknownDelete, known=record is not None)
    return {"success": deleted, "message": _OUTCOMES[deleted]}
