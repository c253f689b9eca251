"""The mirror: Velt's eight notification endpoints, path for path."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Blueprint, Response, request

from resolver.audit.attempt import Attempt
from resolver.deadline import Deadline
from resolver.services import Services
from resolver.velt import config_requests
from resolver.velt.client import Endpoint
from resolver.velt.schema import ignored, parse, with_warnings
from resolver.web.body import data_of, read_data_if_any, read_json
from resolver.web.errors import json_reply
from resolver.web.request import attempt, deadline

UseCase = Callable[[Any, Deadline, Attempt], dict[str, Any]]

# The endpoints that hold no content: checked here, answered by Velt, passed back unchanged.
_FORWARDED = {
    Endpoint.CONFIG_SET: config_requests.CONFIG_SET,
    Endpoint.CONFIG_GET: config_requests.CONFIG_GET,
    Endpoint.WORKSPACE_GET: config_requests.WORKSPACE_GET,
    Endpoint.WORKSPACE_UPDATE: config_requests.WORKSPACE_UPDATE,
}


def use_cases(services: Services) -> dict[Endpoint, UseCase]:
    """What is answered from here."""
    return {
        Endpoint.ADD: services.add,
        Endpoint.UPDATE: services.update,
        Endpoint.GET: services.get,
        Endpoint.DELETE: services.delete,
    }


def action(endpoint: Endpoint) -> str:
    """Its name in the audit trail."""
    return endpoint.name.lower()


def blueprint(services: Services) -> Blueprint:
    mirror = Blueprint("mirror", __name__)
    from_here = use_cases(services)

    def answer(endpoint: Endpoint) -> Response:
        data = read_data_if_any() if endpoint is Endpoint.WORKSPACE_GET else data_of(read_json())
        if endpoint is Endpoint.ADD:
            key = request.headers.get("idempotency-key")
            return json_reply(services.add(data, deadline(), attempt(), key))
        if use_case := from_here.get(endpoint):
            return json_reply(use_case(data, deadline(), attempt()))
        return json_reply(_forward(services, endpoint, data))

    for endpoint in Endpoint:
        mirror.add_url_rule(
            endpoint.value,
            endpoint=action(endpoint),
            view_func=partial(answer, endpoint),
            methods=["POST"],
            provide_automatic_options=False,
        )
    return mirror


def _forward(services: Services, endpoint: Endpoint, data: Any) -> dict[str, Any]:
    schema = _FORWARDED[endpoint]
    checked = parse(schema, data)
    attempt().record(organization=checked.get("organizationId", ""))
    answer = services.velt.post(endpoint, checked, deadline())
    return with_warnings(answer["result"], ignored(schema, data))
