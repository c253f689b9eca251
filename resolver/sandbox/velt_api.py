"""Velt's endpoints: credentials, the `data` wrapper, and which path does what."""

import hmac
from collections.abc import Callable

import orjson
from flask import Blueprint, Response, request

from resolver.sandbox.adding import add
from resolver.sandbox.deleting import delete
from resolver.sandbox.errors import VeltError, invalid
from resolver.sandbox.injection import answer, answered_code
from resolver.sandbox.preferences import get_config, set_config
from resolver.sandbox.replies import Success, failure, json_response
from resolver.sandbox.retrieval import get
from resolver.sandbox.state import State
from resolver.sandbox.updating import update
from resolver.sandbox.user_data import Unwrapped, delete_user_data, deletion_status
from resolver.sandbox.validation import Fields, mapping
from resolver.sandbox.workspace import get_workspace, update_workspace

Operation = Callable[[State, Fields], Success | Unwrapped]
_OPERATIONS: dict[str, Operation] = {
    "/v2/notifications/add": add,
    "/v2/notifications/update": update,
    "/v2/notifications/get": get,
    "/v2/notifications/delete": delete,
    "/v2/notifications/config/set": set_config,
    "/v2/notifications/config/get": get_config,
    "/v2/workspace/notificationconfig/get": get_workspace,
    "/v2/workspace/notificationconfig/update": update_workspace,
    "/v2/users/data/delete": delete_user_data,
    "/v2/users/data/delete/status": deletion_status,
}
_NEEDS_NO_BODY = {"/v2/workspace/notificationconfig/get"}
_METHOD_NOT_ALLOWED = 405
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def velt_api(state: State, auth_token: str) -> Blueprint:
    blueprint = Blueprint("velt", __name__)

    @blueprint.route("/v2/<path:_>", methods=_METHODS)
    def receive(_: str) -> Response:
        """Note what arrived, then let the fault that is due, if any, have its way with the work."""
        with state.lock:
            entry = state.ledger.receive(request.path, request.get_data())
            fault = state.faults.strike(request.path)
        response = answer(lambda: _perform(state, auth_token), fault, state.faults)
        entry.status = answered_code(response)
        return response

    return blueprint


def _perform(state: State, auth_token: str) -> Response:
    try:
        operation = _operation()
        _authenticate(state.api_key, auth_token)
        data = _data()
        with state.lock:
            done = operation(state, data)
            return json_response(done.shape(), done.code)
    except VeltError as error:
        return _refusal(error)


def _operation() -> Operation:
    if request.path not in _OPERATIONS:
        raise VeltError("NOT_FOUND", "Endpoint not found.")
    if request.method != "POST":
        raise VeltError("INVALID_ARGUMENT", "Only POST is allowed.", _METHOD_NOT_ALLOWED)
    return _OPERATIONS[request.path]


def _refusal(error: VeltError) -> Response:
    response = failure(error)
    if error.code == _METHOD_NOT_ALLOWED:
        response.headers["Allow"] = "POST"
    return response


def _authenticate(api_key: str, auth_token: str) -> None:
    known_key = _same(request.headers.get("x-velt-api-key", ""), api_key)
    known_token = _same(request.headers.get("x-velt-auth-token", ""), auth_token)
    if not (known_key and known_token):
        raise VeltError("PERMISSION_DENIED", "Invalid API key.")


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _data() -> Fields:
    raw = request.get_data()
    if not raw and request.path in _NEEDS_NO_BODY:
        return Fields({})
    try:
        body = mapping(orjson.loads(raw), "The request body")
    except orjson.JSONDecodeError:
        raise invalid("The request body must be valid JSON") from None
    if not body and request.path in _NEEDS_NO_BODY:
        return Fields({})
    return Fields(Fields(body).required("data", mapping))
