"""The Flask application: Velt's endpoints, the control paths, and Velt's error shape for all others."""

import hmac
from collections.abc import Callable
from typing import Any

import orjson
from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException

from resolver.sandbox.faults import answer, answered_code, read_faults
from resolver.sandbox.replies import Success, VeltError, failure, invalid, json_response, status_for
from resolver.sandbox.retrieval import get, inbox
from resolver.sandbox.settings import get_config, get_workspace, set_config, update_workspace
from resolver.sandbox.state import State
from resolver.sandbox.user_data import Unwrapped, delete_user_data, deletion_status
from resolver.sandbox.validation import Fields, mapping
from resolver.sandbox.writing import add, delete, update

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
        """Record the request in the ledger, then do its work, with a fault if one applies."""
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


def control(state: State) -> Blueprint:
    """The sandbox's own paths under /_sandbox/: access, answers, faults, and what is stored."""
    blueprint = Blueprint("control", __name__, url_prefix="/_sandbox")

    @blueprint.post("/reset")
    def reset() -> Response:
        state.reset()
        return json_response({"success": True})

    _access_and_answers(blueprint, state)
    _faults(blueprint, state)
    _views(blueprint, state)
    return blueprint


def _access_and_answers(blueprint: Blueprint, state: State) -> None:
    @blueprint.post("/access")
    def declare_access() -> Response:
        declared = Fields(mapping(_body(), "The request body"))
        with state.lock:
            state.access.declare(declared)
            return json_response(state.access.shape())

    @blueprint.get("/access")
    def show_access() -> Response:
        with state.lock:
            return json_response(state.access.shape())

    @blueprint.post("/answers")
    def declare_answers() -> Response:
        declared = Fields(mapping(_body(), "The request body"))
        with state.lock:
            state.answers = state.answers.declared(declared)
            return json_response(state.answers.shape())

    @blueprint.get("/answers")
    def show_answers() -> Response:
        with state.lock:
            return json_response(state.answers.shape())


def _faults(blueprint: Blueprint, state: State) -> None:
    @blueprint.post("/faults")
    def declare_faults() -> Response:
        faults = read_faults(_body())
        with state.lock:
            state.faults.declare(faults)
            return json_response({"faults": state.faults.shape()})

    @blueprint.get("/faults")
    def show_faults() -> Response:
        with state.lock:
            return json_response({"faults": state.faults.shape()})

    @blueprint.delete("/faults")
    def clear_faults() -> Response:
        with state.lock:
            state.faults.clear()
            return json_response({"faults": []})


def _views(blueprint: Blueprint, state: State) -> None:
    @blueprint.get("/ledger")
    def show_ledger() -> Response:
        with state.lock:
            return json_response({"entries": state.ledger.shape(request.args.get("path"))})

    @blueprint.get("/inbox")
    def show_inbox() -> Response:
        organization_id, user_id = _argument("organizationId"), _argument("userId")
        with state.lock:
            return json_response({"notifications": inbox(state, organization_id, user_id)})

    @blueprint.get("/notifications")
    def show_notifications() -> Response:
        with state.lock:
            return json_response({"notifications": [record.raw() for record in state.records]})


def _argument(name: str) -> str:
    if not request.args.get(name):
        raise invalid(f"{name} is required")
    return request.args[name]


def _body() -> Any:
    try:
        return orjson.loads(request.get_data())
    except orjson.JSONDecodeError:
        raise invalid("The request body must be valid JSON") from None


def create_app(api_key: str, auth_token: str) -> Flask:
    app = Flask(__name__, static_folder=None)
    # Merging slashes would answer with a redirect, which clients of Velt don't expect.
    app.url_map.merge_slashes = False
    state = State(api_key)
    app.register_blueprint(velt_api(state, auth_token))
    app.register_blueprint(control(state))
    app.register_error_handler(VeltError, failure)
    app.register_error_handler(HTTPException, _http_failure)
    return app


def _http_failure(error: HTTPException) -> Response:
    code = error.code or 500
    response = failure(VeltError(status_for(code), f"{error.name}.", code))
    response.headers.extend(_allow(error))
    return response


def _allow(error: HTTPException) -> list[tuple[str, str]]:
    return [(name, value) for name, value in error.get_headers() if name == "Allow"]
