"""split, inspect and token: what they print, and what they need."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from resolver.cli import main
from tests.auth.test_permission_provider import answering
from tests.servers import Service, running
from tests.support import Api, key, keys_of, notification

Write = Callable[[str, str], Path]


def run(*arguments: str, env: dict[str, str] | None = None, text: str | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), env=env, input=text)


@pytest.mark.parametrize("wrapped", [True, False])
def test_split_shows_what_goes_and_what_stays_without_any_settings(write: Write, wrapped: bool) -> None:
    payload: dict[str, Any] = {**notification(), "forYou": True, "metadata": {"m": 1}}
    file = write("add.json", json.dumps({"data": payload} if wrapped else payload))
    shown = json.loads(run("split", str(file), "--json").output)
    assert shown["velt"]["data"]["actionUser"] == {"userId": "ana"}
    assert "CANARY" not in json.dumps(shown["velt"])
    assert shown["content"]["displayBodyMessage"] == "CANARY body"
    assert shown["backend"] == {"metadata": {"m": 1}}
    assert shown["dropped"] == ["forYou"]


def test_split_reads_standard_input_and_updates() -> None:
    entries = [{"id": "n-1", "readByUserIds": ["ben"], "displayBodyMessage": "x"}]
    payload = {"organizationId": "acme", "notifications": entries}
    shown = json.loads(run("split", "-", "--json", text=json.dumps(payload)).output)
    told = {"organizationId": "acme", "notifications": [{"id": "n-1", "readByUserIds": ["ben"]}]}
    assert shown["velt"] == {"data": told}


def test_split_of_an_update_of_content_alone_sends_nothing() -> None:
    payload = {"organizationId": "acme", "notifications": [{"id": "n-1", "displayBodyMessage": "x"}]}
    assert json.loads(run("split", "-", "--json", text=json.dumps(payload)).output)["velt"] is None


@pytest.mark.parametrize("text", ["{", "[]", "7", '{"data": "x"}', '{"organizationId": "acme"}'])
def test_split_says_what_is_wrong_in_a_line(text: str) -> None:
    done = run("split", "-", text=text)
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert done.output.startswith("Error: ")


def test_inspect_opens_what_is_held(api: Api, resolver_environment: dict[str, str]) -> None:
    api.add(metadata={"m": 1})
    done = run("inspect", "acme", "n-1", "--json", env=resolver_environment)
    shown = json.loads(done.output)
    assert (shown["actor"], shown["audience"], shown["backendOnly"]) == (
        "ana",
        ["ben"],
        {"metadata": {"m": 1}},
    )
    assert shown["content"]["displayBodyMessage"] == "CANARY body"


def test_inspect_is_refused_and_not_audited_with_another_lookup_key(
    api: Api, resolver_environment: dict[str, str], tmp_path: Path
) -> None:
    api.add()
    trail = tmp_path / "audit.log"
    another = {**resolver_environment, "RESOLVER_INDEX_KEY": key(77), "RESOLVER_AUDIT_LOG": str(trail)}
    done = run("inspect", "acme", "n-1", env=another)
    assert (done.exit_code, "belongs to another index key" in done.output) == (1, True)
    assert not trail.exists()


def test_inspect_says_when_nothing_is_held(api: Api, resolver_environment: dict[str, str]) -> None:
    done = run("inspect", "acme", "no-such-id", env=resolver_environment)
    assert (done.exit_code, "Not held" in done.output) == (1, True)


def test_inspect_tells_damage_from_absence(
    api: Api, resolver_environment: dict[str, str], redis: Redis
) -> None:
    api.add()
    redis.set(keys_of(redis)[0], b"damaged")
    done = run("inspect", "acme", "n-1", env=resolver_environment)
    assert (done.exit_code, "does not open" in done.output) == (1, True)


@pytest.mark.parametrize(
    ("user", "changes", "reads", "why"),
    [
        ("ben", {}, True, "addressed to them"),
        ("ana", {}, True, "own action"),
        ("zoe", {}, False, "not addressed"),
        ("zoe", {"notifyAll": True}, True, "everyone"),
        ("zoe", {"notifyAll": True, "context": {"access": {"team": "red"}}}, False, "context.access"),
        ("zoe", {"notifyAll": True, "verifyUserPermissions": True}, False, "verifyUserPermissions"),
    ],
)
def test_explain_says_why(  # noqa: PLR0917
    api: Api, resolver_environment: dict[str, str], user: str, changes: Any, reads: bool, why: str
) -> None:
    api.add(**changes)
    done = run("explain", "acme", "n-1", "--user", user, "--json", env=resolver_environment)
    said = json.loads(done.output)
    assert (said["reads"], why in said["why"], said["policy"]) == (reads, True, "recipient")
    spoken = run("explain", "acme", "n-1", "--user", user, env=resolver_environment)
    assert (spoken.exit_code, spoken.output.count("\n")) == (0, 1)


def test_explain_names_dismissed_and_absent_notifications(
    api: Api, resolver_environment: dict[str, str]
) -> None:
    api.add(notifyUsers=[{"userId": "ben"}, {"userId": "cleo"}])
    api.erase("n-1")
    left = run("explain", "acme", "n-1", "--user", "ben", env=resolver_environment)
    assert "they dismissed it" in left.output
    absent = run("explain", "acme", "nothing", "--user", "ben", env=resolver_environment)
    assert "not held here" in absent.output


def test_inspect_names_the_unavailable_service(resolver_environment: dict[str, str]) -> None:
    down = {**resolver_environment, "REDIS_URL": "redis://127.0.0.1:1/0"}
    done = run("explain", "acme", "n-1", "--user", "ben", env=down)
    assert (done.exit_code, "redis: ConnectionError" in done.output) == (1, True)


def test_explain_asks_who_may_see_the_document(api: Api, resolver_environment: dict[str, str]) -> None:
    api.add()
    with running(Service(body=answering("doc-1"))) as service:
        asking = {"RESOLVER_READ_POLICY": "document", "RESOLVER_PERMISSION_URL": service.url}
        env = {**resolver_environment, **asking}
        assert "may see the document" in run("explain", "acme", "n-1", "--user", "zoe", env=env).output
        service.status = 500
        assert "grants them the document" in run("explain", "acme", "n-1", "--user", "zoe", env=env).output
    claimed = {"RESOLVER_READ_POLICY": "document", "RESOLVER_TOKEN_DOCUMENTS_CLAIM": "docs"}
    arguments = ("explain", "acme", "n-1", "--user", "zoe")
    env = {**resolver_environment, **claimed}
    assert "grants them the document" in run(*arguments, env=env).output
    assert "may see the document" in run(*arguments, "--document", "doc-1", env=env).output


def test_minted_token_is_accepted_by_the_callback(api: Api, resolver_environment: dict[str, str]) -> None:
    api.add()
    token = run("token", "--user", "ben", "--org", "acme", env=resolver_environment).output.strip()
    body = {"organizationId": "acme", "notificationIds": ["n-1"]}
    reply = api.post("/api/velt/notifications/get", body, {"authorization": f"Bearer {token}"})
    assert reply.get_json()["data"].keys() == {"n-1"}


def test_missing_settings_are_listed_and_no_traceback_is_shown() -> None:
    done = run("inspect", "acme", "n-1", env={"VELT_API_KEY": ""})
    assert done.exit_code == 1
    assert "RESOLVER_MASTER_KEYS" in done.output
    assert "RESOLVER_INDEX_KEY" in done.output
    assert "Traceback" not in done.output


def test_wrong_usage_exits_with_2() -> None:
    assert run("token").exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", "acme", "n-\udcff"),
        ("explain", "\udcff", "n-1", "--user", "ben"),
        ("explain", "acme", "n-1", "--user", "\udcff"),
        ("token", "--user", "\udcff", "--org", "acme"),
    ],
)
def test_invalid_unicode_is_refused_as_an_id(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.exit_code, "not valid Unicode" in done.output) == (2, True)
