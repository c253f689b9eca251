"""A page on an allowed origin reads in a real Chromium, by header and by cookie; pages elsewhere cannot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from playwright.sync_api import BrowserContext, Page

from resolver.cli.local_redis import LocalRedis
from tests.servers import Service, running
from tests.support import BACKEND, notification, signed
from tests.system.conftest import Served, serving

pytestmark = pytest.mark.system
COOKIE = "resolver-session"
# What Velt's SDK does in a page: one POST of JSON, with what its `headers` and `credentials` say.
ASK = """
async ([url, body, headers, credentials]) => {
  try {
    const reply = await fetch(url, {
      method: "POST", credentials, body: JSON.stringify(body),
      headers: {"content-type": "application/json", ...headers},
    });
    return {status: reply.status, body: await reply.json(), requestId: reply.headers.get("x-request-id")};
  } catch (error) {
    return {refused: String(error)};
  }
}
"""


@pytest.fixture(scope="module")
def pages() -> Iterator[tuple[str, str]]:
    """Two origins: the team's application, and a page that doesn't belong to the team."""
    page = b"<!doctype html><title>page</title>"
    with running(Service(body=page)) as ours, running(Service(body=page)) as theirs:
        yield ours.url.rstrip("/"), theirs.url.rstrip("/")


@pytest.fixture
def redis_of_its_own(tmp_path: Path) -> Iterator[LocalRedis]:
    server = LocalRedis(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def served(
    resolver_environment: dict[str, str],
    redis_of_its_own: LocalRedis,
    pages: tuple[str, str],
    tmp_path: Path,
) -> Iterator[Served]:
    changes = {
        "REDIS_URL": redis_of_its_own.url,
        "RESOLVER_CORS_ORIGINS": pages[0],
        "RESOLVER_TOKEN_COOKIE": COOKIE,
    }
    with serving({**resolver_environment, **changes}, tmp_path / "log") as served:
        added = urllib3.request(
            "POST", f"{served.url}/v2/notifications/add", json={"data": notification()}, headers=BACKEND
        )
        assert added.status == 200, added.data
        yield served


@pytest.fixture
def browser(chromium: Any, served: Served) -> Iterator[BrowserContext]:
    """A browser that already holds the reader's cookie for the resolver."""
    context = chromium.new_context()
    context.add_cookies(
        [{"name": COOKIE, "value": signed("ben", "acme"), "url": served.url, "sameSite": "Lax"}]
    )
    yield context
    context.close()


def opened(browser: BrowserContext, origin: str) -> Page:
    page = browser.new_page()
    page.goto(origin)
    return page


def ask(page: Page, served: Served, action: str = "get", token: str = "", credentials: str = "omit") -> Any:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    body = {"organizationId": "acme", "notificationIds": ["n-1"], "notificationId": "n-1"}
    return page.evaluate(ASK, [f"{served.url}/api/velt/notifications/{action}", body, headers, credentials])


def test_page_on_an_allowed_origin_reads_by_header_and_by_cookie(
    browser: BrowserContext, served: Served, pages: tuple[str, str]
) -> None:
    page = opened(browser, pages[0])
    for reply in (
        ask(page, served, token=signed("ben", "acme")),
        ask(page, served, credentials="include"),
    ):
        assert reply["status"] == 200
        assert reply["body"]["data"]["n-1"]["displayBodyMessage"] == "CANARY body"
        assert reply["requestId"]
    stranger = ask(page, served, token=signed("zoe", "acme"))
    assert stranger["body"]["data"] == {}


def test_page_on_another_origin_reads_and_deletes_nothing(
    browser: BrowserContext, served: Served, pages: tuple[str, str]
) -> None:
    page = opened(browser, pages[1])
    for action in ("get", "delete"):
        assert "refused" in ask(page, served, action, token=signed("ben", "acme"))
        assert "refused" in ask(page, served, action, credentials="include")
    # The browser sends a request that needs no preflight, with its cookie. It still has no effect, and the
    # browser keeps the reply from the page.
    simple = """async (url) => { await fetch(url, {method: "POST", mode: "no-cors", credentials: "include",
        body: JSON.stringify({organizationId: "acme", notificationId: "n-1"})}).catch(() => {}); }"""
    page.evaluate(simple, f"{served.url}/api/velt/notifications/delete")
    form = """(url) => { document.body.innerHTML = `<form method=post action="${url}" enctype="text/plain">
        <input name='{"organizationId":"acme","notificationId":"n-1","x":"' value='"}'></form>`;
        document.forms[0].submit(); }"""
    with page.expect_navigation():
        page.evaluate(form, f"{served.url}/api/velt/notifications/delete")
    still = ask(opened(browser, pages[0]), served, token=signed("ben", "acme"))
    assert still["body"]["data"].keys() == {"n-1"}


def test_page_on_an_allowed_origin_can_read_errors(
    browser: BrowserContext, served: Served, pages: tuple[str, str], redis_of_its_own: LocalRedis
) -> None:
    page = opened(browser, pages[0])
    refused = ask(page, served, token="nonsense")
    assert (refused["status"], refused["body"]["statusCode"], bool(refused["requestId"])) == (401, 401, True)
    redis_of_its_own.stop()
    for how in ({"token": signed("ben", "acme")}, {"credentials": "include"}):
        down = ask(page, served, **how)
        assert (down["status"], down["body"]["success"], bool(down["requestId"])) == (503, False, True)


def test_page_on_an_allowed_origin_deletes_by_cookie(
    browser: BrowserContext, served: Served, pages: tuple[str, str]
) -> None:
    page = opened(browser, pages[0])
    assert ask(page, served, "delete", credentials="include")["body"] == {"success": True, "statusCode": 200}
    assert ask(page, served, credentials="include")["body"]["data"] == {}
