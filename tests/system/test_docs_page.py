"""/docs in a real Chromium lists every operation, with search and links, and loads nothing from elsewhere."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from playwright.sync_api import Browser, Page

from tests.api.described import operations
from tests.support import API_KEY, CALLER_TOKEN
from tests.system.conftest import Served

pytestmark = pytest.mark.system


@pytest.fixture
def page(chromium: Browser, served: Served) -> Iterator[Page]:
    """The page /docs. An error in its console, or a request to another host, fails the test."""
    context = chromium.new_context()
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda r: None if r.url.startswith(served.url) else complaints.append(r.url))
    opened.goto(f"{served.url}/docs")
    opened.wait_for_selector("article")
    yield opened
    context.close()
    assert complaints == []


@pytest.fixture
def described(served: Served) -> Any:
    return urllib3.request("GET", f"{served.url}/openapi.json").json()


def visible(page: Page) -> list[str]:
    return [article.get_attribute("id") or "" for article in page.locator("article:visible").all()]


def test_docs_page_lists_every_operation_with_its_description(page: Page, described: Any) -> None:
    found = list(operations(described))
    assert sorted(visible(page)) == sorted(operation["operationId"] for _, _, operation in found)
    for path, method, operation in found:
        article = page.locator(f"article#{operation['operationId']}")
        article.locator("> details > summary").click()
        text = article.inner_text()
        assert all(part in text for part in (method, path, operation["summary"], "Credential", "Replies"))
        assert all(status in text for status in operation["responses"])
        assert "curl -s" in text
        assert "matching" not in text, "a pattern is described in words"
        for name in (
            operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example", {})
        ):
            assert name in text


def test_search_filters_operations_and_escape_clears_it(page: Page) -> None:
    everything = visible(page)
    page.keyboard.press("/")
    page.keyboard.type("POST callback")
    assert visible(page) == ["callback_get", "callback_delete"]
    assert page.locator("#status").inner_text() == f"2 of {len(everything)} operations"
    page.keyboard.press("Escape")
    assert visible(page) == everything
    page.keyboard.type("verifyUserPermissions")
    assert "add" in visible(page)
    assert page.locator("nav div:visible").count() == 1  # no heading of what isn't shown
    page.keyboard.type("nonsense")
    assert (visible(page), page.locator("#status").inner_text()[:13]) == ([], "Nothing found")


def test_link_to_an_operation_opens_and_focuses_it(page: Page, served: Served) -> None:
    assert page.locator("article#token > details[open]").count() == 0
    page.goto(f"{served.url}/docs#token")
    page.wait_for_selector("article#token > details[open]")
    focused = page.evaluate("document.activeElement.closest('article')?.id")
    assert focused == "token"
    page.locator("nav a[href='#callback_get']").click()
    page.wait_for_selector("article#callback_get > details[open]")


def test_curl_command_of_an_operation_works_as_pasted(page: Page) -> None:
    page.goto(page.url.split("#")[0] + "#add")
    page.wait_for_selector("article#add > details[open]")
    command = page.locator("article#add pre", has_text="curl -s").inner_text()
    variables = {"VELT_API_KEY": API_KEY, "CALLER_TOKEN": CALLER_TOKEN, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", "-c", command], env=variables, capture_output=True, text=True, timeout=20, check=False
    )
    assert '"registration":"registered"' in done.stdout, (shlex.split(command), done)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_docs_page_fits_a_phone_and_follows_the_colour_scheme(page: Page, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 740})
    page.locator("article#add > details > summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
