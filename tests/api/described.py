"""The OpenAPI description as the tests use it: the answers that it allows, and the credential that it
requires."""

from __future__ import annotations

import time
from collections.abc import Iterator

import jsonschema_rs
from werkzeug.test import TestResponse

from tests.support import BACKEND, JSON, signed

METRICS = "metrics-token-for-tests-0123456789abcdef"
PRIVACY = "privacy-token-for-tests-0123456789abcdef"
# A run of many hours must not end with tokens that have expired.
END_USER = {"authorization": f"Bearer {signed('ben', 'acme', exp=int(time.time()) + 86_400)}"}
_CREDENTIALS = {
    "callerToken": BACKEND,
    "endUser": END_USER,
    "privacyToken": {"authorization": f"Bearer {PRIVACY}"},
    "metricsToken": {"authorization": f"Bearer {METRICS}"},
}


def operations(description: JSON) -> Iterator[tuple[str, str, JSON]]:
    for path, item in description["paths"].items():
        for method, operation in item.items():
            yield path, method.upper(), operation


def credential(operation: JSON) -> dict[str, str]:
    """The first that it names."""
    names = [name for either in operation["security"][:1] for name in either]
    return dict(_CREDENTIALS[names[-1]]) if names else {}


def conforms(operation: JSON, reply: TestResponse) -> None:
    answers = operation["responses"]
    status = str(reply.status_code)
    answer = answers.get(status) or answers.get(f"{status[0]}XX")
    assert answer, f"{status} is not described"
    (media_type,) = answer["content"]
    assert reply.mimetype == media_type
    body = reply.get_json() if media_type == "application/json" else reply.text
    jsonschema_rs.validate(answer["content"][media_type]["schema"], body)
    for name, header in answer["headers"].items():
        if header.get("required") or name in reply.headers:
            number = header["schema"]["type"] == "integer"
            jsonschema_rs.validate(header["schema"], reply.headers.get(name, type=int if number else str))
    assert reply.headers["cache-control"] == "no-store"
