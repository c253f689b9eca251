"""The Velt-compatible API: Velt's eight notification endpoints, path for path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from resolver.api.body import read_data, read_data_if_any
from resolver.api.endpoint import Route
from resolver.api.reply import Reply, json_reply
from resolver.api.request import Call
from resolver.audit.trail import AuditContext
from resolver.auth.callers import Backend
from resolver.deadline import Deadline
from resolver.velt import config_requests
from resolver.velt.client import VeltEndpoint
from resolver.velt.schema import Request, ignored, parse, with_warnings
from resolver.wiring import Services

Handle = Callable[[Call[Backend]], Reply]
UseCase = Callable[[Any, Deadline, AuditContext], dict[str, Any]]

# Endpoints without content: the request is checked here, and Velt's answer is returned unchanged.
_FORWARDED = {
    VeltEndpoint.CONFIG_SET: config_requests.CONFIG_SET,
    VeltEndpoint.CONFIG_GET: config_requests.CONFIG_GET,
    VeltEndpoint.WORKSPACE_GET: config_requests.WORKSPACE_GET,
    VeltEndpoint.WORKSPACE_UPDATE: config_requests.WORKSPACE_UPDATE,
}


def routes(services: Services) -> Iterator[Route]:
    yield _route(VeltEndpoint.ADD, _adding(services))
    yield _route(VeltEndpoint.UPDATE, _answering(services.update))
    yield _route(VeltEndpoint.GET, _getting(services))
    yield _route(VeltEndpoint.DELETE, _answering(services.delete))
    for endpoint, schema in _FORWARDED.items():
        yield _route(endpoint, _forwarding(services, endpoint, schema))


def _route(endpoint: VeltEndpoint, handle: Handle) -> Route:
    return Route("POST", endpoint.value, endpoint.name.lower(), handle)


def _adding(services: Services) -> Handle:
    def add(call: Call[Backend]) -> Reply:
        key = call.request.headers.get("idempotency-key")
        return json_reply(services.add(read_data(call.request), call.deadline, call.audit, key))

    return add


def _getting(services: Services) -> Handle:
    def get(call: Call[Backend]) -> Reply:
        admit = call.reservation.admit_for(call.caller.name)
        return json_reply(services.get(read_data(call.request), call.deadline, call.audit, admit))

    return get


def _answering(use_case: UseCase) -> Handle:
    def answer(call: Call[Backend]) -> Reply:
        return json_reply(use_case(read_data(call.request), call.deadline, call.audit))

    return answer


def _forwarding(services: Services, endpoint: VeltEndpoint, schema: Request) -> Handle:
    read = read_data_if_any if endpoint is VeltEndpoint.WORKSPACE_GET else read_data

    def forward(call: Call[Backend]) -> Reply:
        data = read(call.request)
        checked = parse(schema, data)
        call.audit.record(organization=checked.get("organizationId", ""))
        answer = services.velt.post(endpoint, checked, call.deadline)
        return json_reply(with_warnings(answer["result"], ignored(schema, data)))

    return forward
