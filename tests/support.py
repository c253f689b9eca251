"""Shared by the tests: a complete environment, payloads with canaries, and callers of each surface."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import jwt
import orjson
import urllib3
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from resolver.wiring import Services

JSON = dict[str, Any]

API_KEY = "velt-api-key-for-tests"
VELT_TOKEN = "velt-auth-token-for-tests"
CALLER_TOKEN = "caller-token-for-tests-0123456789abcdef"
SIGNING_KEY = "F2kzzBa1t/L5XFfuaEdsTN17aKVrNf2ob2F5cQNH17Y="
TOKEN_SECRET = "end-user-token-secret-for-tests-0123456789"
METRICS_TOKEN = "metrics-token-for-tests-0123456789abcdef"
BACKEND = {"x-velt-api-key": API_KEY, "x-velt-auth-token": CALLER_TOKEN}


def key(byte: int) -> str:
    """Return a key of 32 bytes that pass for random ones. Keys differ in their first byte."""
    return base64.b64encode(bytes([byte, *range(1, 32)])).decode()


def environment(**changes: str) -> dict[str, str]:
    return {
        "RESOLVER_MODE": "development",
        "VELT_API_KEY": API_KEY,
        "VELT_AUTH_TOKEN": VELT_TOKEN,
        "RESOLVER_CALLER_TOKENS": f"backend:{CALLER_TOKEN}",
        "RESOLVER_MASTER_KEYS": f"k1:{key(1)}",
        "RESOLVER_INDEX_KEY": key(9),
        "RESOLVER_SIGNING_KEY": SIGNING_KEY,
        "RESOLVER_TOKEN_SECRET": TOKEN_SECRET,
        "RESOLVER_AUDIT_LOG": "/dev/null",
        **changes,
    }


def stored(redis: Redis, name: bytes | str) -> bytes:
    """Return the bytes under a key, as they are in Redis."""
    value = redis.get(name)
    assert isinstance(value, bytes)
    return value


def keys_of(redis: Redis, pattern: str = "{p*") -> list[bytes]:
    """Return the keys that match a pattern, by default the records' keys."""
    return sorted(name for name in redis.scan_iter(match=pattern, count=1000) if isinstance(name, bytes))


def everything_in(redis: Redis) -> bytes:
    """Return every name and every value: what a thief of the database would have."""
    return b"\n".join(name + b" " + (redis.dump(name) or b"") for name in keys_of(redis, "*"))


def figures_in(metrics: str) -> dict[str, float]:
    """Return the metrics by name and labels, as they are written."""
    lines = [line for line in metrics.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def sendable(value: Any) -> Any:
    """Return a value as a client could encode it: without surrogates and huge integers."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {sendable(name): sendable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [sendable(inner) for inner in value]
    return value if not isinstance(value, int) or abs(value) < 2**63 else float(value)


def notification(**changes: Any) -> JSON:
    """Return an add as a backend would send it. Everything that must not reach Velt contains CANARY."""
    return {
        "organizationId": "acme",
        "documentId": "doc-1",
        "notificationId": "n-1",
        "actionUser": {"userId": "ana", "name": "CANARY Ana", "email": "CANARY-ana@example.com"},
        "notifyUsers": [{"userId": "ben", "name": "CANARY Ben", "email": "CANARY-ben@example.com"}],
        "notifyAll": False,
        "displayHeadlineMessageTemplate": "{actionUser} CANARY wrote to {recipientUser}",
        "displayHeadlineMessageTemplateData": {"recipientUser": {"userId": "ben", "name": "CANARY Ben"}},
        "displayBodyMessage": "CANARY body",
        **changes,
    }


@dataclass(frozen=True)
class Velt:
    """The sandbox, seen from outside."""

    url: str

    def control(self, method: str, path: str, body: Any = None) -> Any:
        reply = urllib3.request(method, f"{self.url}/_sandbox/{path}", json=body, retries=False, timeout=10)
        assert reply.status < 300, reply.data
        return reply.json()

    def ledger(self, path: str | None = None) -> list[JSON]:
        query = f"?{urlencode({'path': path})}" if path else ""
        entries: list[JSON] = self.control("GET", f"ledger{query}")["entries"]
        return entries

    def sent(self, path: str | None = None) -> list[Any]:
        return [entry["body"]["data"] for entry in self.ledger(path)]

    def break_with(self, **fault: Any) -> None:
        self.control("POST", "faults", fault)

    def mend(self) -> None:
        self.control("DELETE", "faults")

    def inbox(self, user: str, organization: str = "acme") -> list[JSON]:
        query = urlencode({"organizationId": organization, "userId": user})
        items: list[JSON] = self.control("GET", f"inbox?{query}")["notifications"]
        return items


@dataclass(frozen=True)
class Api:
    """The resolver's application, with the calls of each kind of caller."""

    client: FlaskClient

    @property
    def services(self) -> Services:
        found: Services = self.client.application.extensions["resolver"]
        return found

    def post(self, path: str, body: Any, headers: Mapping[str, str] = BACKEND) -> TestResponse:
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        given = {"content-type": "application/json", **headers}
        # Buffered, so that the reply is closed once it has been read, as a server does.
        return self.client.post(path, data=raw, headers=given, buffered=True)

    def velt(self, path: str, data: Any) -> TestResponse:
        return self.post(f"/v2/{path}", {"data": data})

    def add(self, **changes: Any) -> TestResponse:
        return self.velt("notifications/add", notification(**changes))

    def token(self, user: str, *organizations: str) -> str:
        reply = self.post("/api/velt/token", {"userId": user, "organizationIds": list(organizations)})
        assert reply.status_code == 200, reply.data
        return str(reply.json["token"])  # type: ignore[index]

    def callback(self, name: str, body: Any, user: str = "ben", *organizations: str) -> TestResponse:
        bearer = {"authorization": f"Bearer {self.token(user, *(organizations or ('acme',)))}"}
        return self.post(f"/api/velt/notifications/{name}", body, bearer)

    def read(self, *ids: Any, user: str = "ben", organization: str = "acme") -> JSON:
        """Return what that user's browser gets for these ids."""
        body = {"organizationId": organization, "notificationIds": list(ids)}
        reply = self.callback("get", body, user, organization)
        assert reply.status_code == 200, reply.data
        found: JSON = reply.json["data"]  # type: ignore[index]
        return found

    def erase(self, id_: str, user: str = "ben", organization: str = "acme") -> TestResponse:
        body = {"organizationId": organization, "notificationId": id_}
        return self.callback("delete", body, user, organization)


def signed(user: str, *organizations: str, secret: str = TOKEN_SECRET, **claims: Any) -> str:
    """Return an end user's token, as a team signs it. It lives for a day, since some are made at
    collection."""
    expires = int(time.time()) + 86_400
    given = {"sub": user, "organizationIds": list(organizations), "exp": expires, **claims}
    return jwt.encode(given, secret, algorithm="HS256")


def error_of(reply: TestResponse) -> tuple[int, str]:
    """Return the HTTP status and Velt's status of an error of the Velt-compatible API."""
    body = reply.get_json()
    assert body.keys() == {"error"}
    assert isinstance(body["error"]["message"], str)
    return reply.status_code, body["error"]["status"]
