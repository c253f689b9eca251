"""A real sandbox over real HTTP, emptied before each test, and a client for each of its two sides."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson
import pytest
import urllib3

from resolver.sandbox import RunningSandbox, create_app, start

API_KEY = "test-api-key"
AUTH_TOKEN = "test-auth-token"
CREDENTIALS = {"x-velt-api-key": API_KEY, "x-velt-auth-token": AUTH_TOKEN}


class Reply(NamedTuple):
    code: int
    body: Any
    headers: urllib3.HTTPHeaderDict

    @property
    def data(self) -> Any:
        return self.body["result"]["data"]

    @property
    def error(self) -> Any:
        return self.body["error"]


class Client:
    """Speaks JSON to the sandbox; every failure of the connection surfaces, nothing is retried."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.pool = urllib3.PoolManager(retries=False, timeout=5)

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        answer = self.pool.request(method, self.url + path, body=body, headers=headers)
        return Reply(answer.status, orjson.loads(answer.data) if answer.data else None, answer.headers)


class Velt(Client):
    """What a backend sees: Velt's own paths, with credentials."""

    def raw(self, path: str, body: bytes) -> Reply:
        return self.send("POST", path, body, **CREDENTIALS)

    def post(self, path: str, data: Any) -> Reply:
        return self.raw(path, orjson.dumps({"data": data}))

    def add(self, notification_id: str = "n1", **fields: Any) -> Reply:
        return self.post("/v2/notifications/add", notification(notificationId=notification_id, **fields))

    def update(self, **data: Any) -> Reply:
        return self.post("/v2/notifications/update", {"organizationId": "org1", **data})

    def get(self, **data: Any) -> Reply:
        return self.post("/v2/notifications/get", {"organizationId": "org1", **data})

    def delete(self, **data: Any) -> Reply:
        return self.post("/v2/notifications/delete", {"organizationId": "org1", **data})

    def ids(self, **data: Any) -> list[str]:
        return [item["id"] for item in self.get(**data).data]


class Control(Client):
    """What a test author sees: the sandbox's own paths."""

    def post(self, name: str, body: Any = None) -> Reply:
        return self.send("POST", f"/_sandbox/{name}", orjson.dumps(body))

    def get(self, name: str) -> Reply:
        return self.send("GET", f"/_sandbox/{name}")

    def inbox(self, user_id: str, organization_id: str = "org1") -> list[Any]:
        reply = self.get(f"inbox?organizationId={organization_id}&userId={user_id}")
        return list(reply.body["notifications"])

    def inbox_ids(self, user_id: str) -> list[str]:
        return [item["id"] for item in self.inbox(user_id)]

    def for_you(self, user_id: str) -> list[str]:
        return [item["id"] for item in self.inbox(user_id) if item["forYou"]]

    def ledger(self) -> list[Any]:
        return list(self.get("ledger").body["entries"])

    def stored(self) -> dict[str, Any]:
        return {record["id"]: record for record in self.get("notifications").body["notifications"]}

    def declare(self, **organization: Any) -> None:
        self.post("access", {"organizations": {"org1": organization}})


def notification(**fields: Any) -> dict[str, Any]:
    """The least an add in resolver mode takes, with the test's own fields on top."""
    least = {
        "organizationId": "org1",
        "documentId": "doc1",
        "actionUser": {"userId": "actor"},
        "isNotificationResolverUsed": True,
        "notifyUsers": [{"userId": "u1"}],
        "notifyAll": False,
    }
    return {**least, **fields}


@pytest.fixture(scope="session")
def running() -> Iterator[RunningSandbox]:
    with start(create_app(API_KEY, AUTH_TOKEN)) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def shared_control(running: RunningSandbox) -> Iterator[Control]:
    client = Control(running.url)
    yield client
    client.pool.clear()


@pytest.fixture(scope="session")
def shared_velt(running: RunningSandbox) -> Iterator[Velt]:
    client = Velt(running.url)
    yield client
    client.pool.clear()


@pytest.fixture
def control(shared_control: Control) -> Control:
    shared_control.post("reset")
    return shared_control


@pytest.fixture
def velt(shared_velt: Velt, control: Control) -> Velt:
    return shared_velt
