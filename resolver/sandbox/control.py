"""The sandbox's own paths under /_sandbox/: set the scene, break things, look at what happened."""

from typing import Any

import orjson
from flask import Blueprint, Response, request

from resolver.sandbox.errors import invalid
from resolver.sandbox.faults import read_faults
from resolver.sandbox.inbox import inbox
from resolver.sandbox.replies import json_response
from resolver.sandbox.state import State
from resolver.sandbox.validation import Fields, mapping


def control(state: State) -> Blueprint:
    blueprint = Blueprint("control", __name__, url_prefix="/_sandbox")

    @blueprint.post("/reset")
    def reset() -> Response:
        state.reset()
        return json_response({"success": True})

    _set_scene(blueprint, state)
    _break_things(blueprint, state)
    _look(blueprint, state)
    return blueprint


def _set_scene(blueprint: Blueprint, state: State) -> None:
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


def _break_things(blueprint: Blueprint, state: State) -> None:
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


def _look(blueprint: Blueprint, state: State) -> None:
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
