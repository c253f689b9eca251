"""The demo page in a real Chromium, on a real `resolver dev`, as a newcomer goes through it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from tests.system import npm
from tests.system.test_dev import Dev, running

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]
PICTURE = "docs/images/demo.png"
TEXT = "Can we still sign on Friday?"
SAID = (TEXT, "asked you about the merger", "Ana Lima", "Ben Okoro", "@example.com")
LONG_MS = 30_000


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """A running `resolver dev`, not on the usual port, which the page must not count on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with running(tmp_path_factory.mktemp("state"), "--port", str(taken.getsockname()[1])) as dev:
            yield dev


@pytest.fixture
def url(dev: Dev) -> str:
    """The URL that the last printed line says to open."""
    (address,) = [word for word in dev.printed.splitlines()[-1].split() if word.endswith("/demo")]
    return address


def empty_sandbox(dev: Dev) -> None:
    # On a slow machine the sandbox may still be starting.
    patient = urllib3.Retry(40, allowed_methods=None, backoff_factor=0.1, backoff_max=0.5)
    urllib3.request("POST", f"http://127.0.0.1:{dev.ports()[2]}/_sandbox/reset", retries=patient)


@pytest.fixture
def page(chromium: Browser, url: str, dev: Dev) -> Iterator[Page]:
    """The page, opened before Velt holds anything. A request to another origin, or an error in the console,
    fails the test."""
    empty_sandbox(dev)
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page, origin = context.new_page(), url.removesuffix("demo")
    wrong: list[str] = []

    def complained(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            wrong.append(message.text)

    def asked(request: Request) -> None:
        if not request.url.startswith(origin):
            wrong.append(request.url)

    page.on("console", complained)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", asked)
    page.goto(url)
    yield page
    context.close()
    assert wrong == []


def pane(page: Page, name: str) -> Any:
    return page.get_by_role("region", name=name)


def send(page: Page) -> str:
    """Send what is in the composer, and return the notification's id."""
    with page.expect_response("**/v2/notifications/add") as answer:
        page.get_by_role("button", name="Send").click()
    id_: str = answer.value.json()["result"]["data"]["notificationId"]
    organization = page.locator("#organization").input_value()
    expect(page.locator("#chosen")).to_have_value(chosen(organization, id_))
    return id_


def chosen(organization: str, id_: str) -> str:
    return json.dumps([organization, id_], separators=(",", ":"))


def sandbox_ledger(dev: Dev) -> str:
    return json.dumps(dev.paste(2))


def test_page_shows_what_velt_redis_and_the_browser_hold(page: Page, dev: Dev) -> None:
    backend, velt = pane(page, "Your backend"), pane(page, "Velt holds")
    redis, inbox = pane(page, "Your Redis holds"), page.get_by_role("list", name="Inbox")
    first = send(page)
    assert TEXT in backend.locator("#request").inner_text()
    assert "••••" in backend.locator("#request").inner_text()
    expect(backend.locator("#registration")).to_contain_text("registered")

    # Velt has ids, and no content.
    expect(velt.locator("#velt-records")).to_contain_text(first)
    expect(velt).to_contain_text("Ids only")
    for said in SAID:
        assert said not in velt.inner_text()
        assert said not in velt.evaluate("pane => pane.textContent")
        assert said not in sandbox_ledger(dev)

    # Redis has sealed bytes, which the page opens on request.
    assert all(said.encode().hex() not in redis.locator("#sealed").inner_text() for said in SAID)
    redis.get_by_role("button", name="Open it").click()
    expect(redis.locator("#opened")).to_contain_text(TEXT)

    # In the browser, only the recipient reads it.
    inbox_shows(page, "ben", TEXT)
    expect(inbox).to_contain_text("Ana Lima asked you about the merger")
    page.get_by_label("Signed in as").select_option("chi")
    expect(inbox).to_contain_text("Not here, or not meant for Chi Nakamura: the resolver answers both alike.")
    expect(inbox).not_to_contain_text(TEXT)
    page.get_by_label("Signed in as").select_option("zoe")
    expect(page.locator("#inbox-note")).to_contain_text("Nothing for Zoe Martin")
    expect(page.locator("#asked")).to_contain_text("given: []")
    expect(inbox.get_by_role("listitem")).to_have_count(0)

    # During an outage an add is accepted, and sent to Velt later.
    page.get_by_role("button", name="Start a Velt outage").click()
    expect(velt.locator("#velt-state")).to_contain_text("Outage")
    second = send(page)
    expect(backend.locator("#registration")).to_contain_text("pending")
    expect(velt.locator("#velt-records")).not_to_contain_text(second)
    page.get_by_role("button", name="End the outage").click()
    expect(backend.locator("#registration")).to_contain_text("registered", timeout=LONG_MS)
    expect(velt.locator("#velt-records")).to_contain_text(second)

    # After a rotation everything is sealed with the new key, and opens.
    before = redis.locator("#key-id").inner_text()
    sealed = redis.locator("#sealed").inner_text()
    page.get_by_role("button", name="Rotate the keys").click()
    expect(page.get_by_role("button", name="Rotate the keys")).to_be_disabled()
    expect(redis.locator("#key-id")).not_to_have_text(before, timeout=LONG_MS)
    expect(page.get_by_role("status")).to_contain_text("Everything is sealed by", timeout=LONG_MS)
    assert redis.locator("#sealed").inner_text() != sealed
    inbox_shows(page, "ben", TEXT)
    operated = dev.operate(f"resolver inspect -- acme {first}", "resolver keys status --json")
    assert (operated.returncode, TEXT in operated.stdout) == (0, True), operated

    # After an erasure it is gone everywhere.
    page.locator("#erased").select_option("ben")
    page.get_by_role("button", name="Erase everywhere").click()
    expect(page.get_by_role("status")).to_contain_text(
        "Ben Okoro is erased: 2 notifications are gone, 0 go on", timeout=LONG_MS
    )
    expect(inbox.get_by_role("listitem")).to_have_count(0)
    expect(velt.locator("#velt-records")).to_have_text("Nothing.")
    expect(redis.locator("#held")).to_have_text("Nothing yet.")
    for shown in ("#request", "#reply", "#opened", "#sealed", "#asked", "#inbox"):
        text = page.locator(shown).evaluate("part => part.textContent")
        assert not [said for said in (*SAID, first, second) if said in text], shown


def inbox_shows(page: Page, user: str, text: str) -> None:
    page.get_by_label("Signed in as").select_option(user)
    expect(page.get_by_role("list", name="Inbox")).to_contain_text(text)


def test_page_reports_content_that_reached_velt(page: Page, dev: Dev) -> None:
    send(page)
    state = page.locator("#velt-state")
    expect(state).to_contain_text("Ids only")
    # Sent to Velt by another client, not through the resolver.
    sandbox = f"http://127.0.0.1:{dev.ports()[2]}/v2/notifications/update"
    urllib3.request("POST", sandbox, json={"data": {"displayBodyMessage": f"Ana says: {TEXT}"}})
    expect(state).to_contain_text("1 pieces of your content are below. This must not be.")


def test_inbox_reads_and_deletes_notifications(page: Page) -> None:
    inbox, velt = page.get_by_role("list", name="Inbox"), pane(page, "Velt holds")
    send(page)
    inbox_shows(page, "ben", TEXT)
    inbox.get_by_role("button", name="Mark read").click()
    expect(velt.locator("#velt-records")).to_contain_text('"readByUserIds": [\n    "ben"')
    expect(inbox.get_by_role("button", name="Mark read")).to_be_disabled()
    inbox.get_by_role("button", name="Delete").click()
    expect(velt.locator("#velt-records")).to_have_text("Nothing.")
    expect(pane(page, "Your Redis holds").locator("#held")).to_have_text("Nothing under this id.")
    expect(inbox.get_by_role("listitem")).to_have_count(0)


def test_page_shows_records_that_the_sandbox_has_forgotten(page: Page, dev: Dev) -> None:
    older, newer = send(page), send(page)
    expect(page.locator("#held-note")).to_be_empty()
    empty_sandbox(dev)
    page.reload()
    redis = pane(page, "Your Redis holds")
    expect(redis.locator("#chosen option").first).to_have_text(newer)
    expect(redis.locator("#chosen option").nth(1)).to_have_text(older)
    expect(redis.locator("#chosen")).to_have_value(chosen("acme", newer))
    expect(redis.locator("#held-note")).to_contain_text("forgets everything when it ends")
    redis.get_by_role("button", name="Open it").click()
    expect(redis.locator("#opened")).to_contain_text(TEXT)


def test_each_action_reports_its_own_outcome(page: Page) -> None:
    said, press = page.get_by_role("status"), page.get_by_role("button", name="Send").click
    page.get_by_label("Ben Okoro").uncheck()
    press()
    expect(said).to_contain_text("Choose at least one recipient")
    page.get_by_label("Ben Okoro").check()
    send(page)
    expect(said).to_contain_text("Velt has received")
    for field in ("Text", "Headline template"):
        page.get_by_label(field).fill(" ")
        press()
        expect(said).to_contain_text(f"Not sent: write a {field.lower()}")
        page.get_by_label(field).fill(TEXT)
        # The same outcome as before.
        send(page)
        expect(said).to_contain_text("Velt has received")
    page.locator("#organization").select_option("globex")
    send(page)
    expect(said).to_contain_text("of Globex: it isn")


def test_double_click_sends_once_and_the_latest_notification_is_listed_first(page: Page) -> None:
    page.locator("#organization").select_option("globex")
    send(page)
    page.locator("#organization").select_option("acme")
    with page.expect_response("**/v2/notifications/add") as answer:
        page.get_by_role("button", name="Send").dblclick()
    last = answer.value.json()["result"]["data"]["notificationId"]
    records = page.locator("#velt-records details")
    expect(records.first.locator("summary")).to_have_text(last)
    expect(records.first).to_have_attribute("open", "")
    expect(records).to_have_count(2)
    expect(page.locator("#chosen option").first).to_have_text(last)


def test_page_says_what_waits_for_velt_during_an_outage(page: Page) -> None:
    said, inbox = page.get_by_role("status"), page.get_by_role("list", name="Inbox")
    send(page)
    inbox_shows(page, "ben", TEXT)
    page.get_by_role("button", name="Start a Velt outage").click()
    expect(said).to_contain_text("Velt is out")
    page.reload()
    expect(said).to_contain_text("Velt is out")
    inbox.get_by_role("button", name="Mark read").click()
    expect(said).to_contain_text("It stays unread until Velt can be reached")
    inbox.get_by_role("button", name="Delete").click()
    expect(said).to_contain_text("SDK would try again")
    expect(inbox).to_contain_text("Not here, or not meant for Ben Okoro")
    send(page)
    page.get_by_role("button", name="Erase everywhere").click()
    expect(said).to_contain_text("ends when Velt can be reached", timeout=LONG_MS)
    page.get_by_role("button", name="End the outage").click()
    expect(said).to_contain_text("Ben Okoro is erased", timeout=LONG_MS)


def test_rotation_is_still_shown_after_a_reload(page: Page) -> None:
    said, rotate = page.get_by_role("status"), page.get_by_role("button", name="Rotate the keys")
    with page.expect_response("**/demo/keys/rotate"):
        rotate.click()
    page.reload()
    expect(said).to_contain_text("The keys are being rotated")
    expect(rotate).to_be_disabled()
    expect(said).to_contain_text("The rotation is done", timeout=LONG_MS)
    expect(rotate).to_be_enabled()


def test_notification_to_all_reaches_its_organization_and_no_other(page: Page) -> None:
    page.get_by_label("Everyone in the organization").check()
    send(page)
    for user in ("ben", "chi"):
        inbox_shows(page, user, TEXT)
    page.get_by_label("Signed in as").select_option("yan")
    expect(page.get_by_role("list", name="Inbox").get_by_role("listitem")).to_have_count(0)


def test_markup_in_content_is_shown_as_text(page: Page) -> None:
    evil = (
        "<img src=x onerror=alert(1)><script>alert(2)</script> {actionUser} {constructor} ${7*7} $& &lt;b&gt;"
    )
    page.get_by_label("Text").fill(evil)
    page.get_by_label("Headline template").fill(f"{{actionUser}} wrote {evil}")
    send(page)
    inbox = page.get_by_role("list", name="Inbox")
    inbox_shows(page, "ben", evil)
    # The headline is a template: known names are replaced, and other text in braces stays as it is.
    headline = inbox.get_by_role("heading").inner_text()
    assert headline == "Ana Lima wrote " + evil.replace("{actionUser}", "Ana Lima")
    assert inbox.locator("img, script, b").count() == 0
    pane(page, "Your Redis holds").get_by_role("button", name="Open it").click()
    expect(page.locator("#opened")).to_contain_text("onerror")
    assert page.locator("pre *").count() == 0


def test_names_that_are_not_text_leave_the_inbox_readable(page: Page) -> None:
    send(page)
    inbox_shows(page, "ben", TEXT)
    odd = {
        "organizationId": "acme",
        "documentId": "report-7",
        "actionUser": {"userId": "ana"},
        "notifyUsers": [{"userId": "ben"}],
        "displayHeadlineMessageTemplate": "{one}, {two}, {three} of {toString}",
        "displayHeadlineMessageTemplateData": {
            "one": {"name": {"toString": 1, "valueOf": 1}},
            "two": {"name": ["Ana"], "userId": "ana"},
            "three": "four",
        },
        "displayBodyMessage": "Odd names",
    }
    page.evaluate("async (data) => (await import('/demo/api.js')).velt('add', data)", odd)
    inbox = page.get_by_role("list", name="Inbox")
    expect(inbox).to_contain_text("{one}, ana, four of {toString}")
    expect(inbox).to_contain_text(TEXT)


def test_page_works_by_keyboard(page: Page) -> None:
    def press_until(reached: Callable[[], bool]) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if reached():
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none"
                return
        raise AssertionError("never reached")

    def is_on(text: str) -> Callable[[], bool]:
        return lambda: page.evaluate("document.activeElement.textContent") == text

    press_until(is_on("Send"))
    page.keyboard.press("Enter")
    expect(page.locator("#registration")).to_contain_text("registered")
    press_until(is_on("Open it"))
    page.keyboard.press("Space")
    expect(page.locator("#opened")).to_contain_text(TEXT)
    expect(page.get_by_role("list", name="Inbox")).to_contain_text(TEXT)
    expect(page.get_by_role("status")).to_contain_text("Opened with your master key")
    press_until(is_on("Mark read"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("has read it")


def test_focus_stays_while_the_page_updates(page: Page) -> None:
    velt, inbox = pane(page, "Velt holds"), page.get_by_role("list", name="Inbox")
    send(page)
    expect(inbox).to_contain_text(TEXT)
    page.get_by_role("button", name="Start a Velt outage").click()
    expect(velt.locator("#velt-state")).to_contain_text("Outage")
    send(page)
    for one in (inbox.get_by_role("button", name="Mark read"), velt.locator("#velt-ledger summary").first):
        one.focus()
        before = velt.locator("#velt-ledger details").count()
        # The worker retries, and the ledger grows with each attempt.
        expect(velt.locator("#velt-ledger details").nth(before)).to_be_attached(timeout=LONG_MS)
        assert page.evaluate("document.activeElement.tagName") in ("BUTTON", "SUMMARY")
    page.get_by_role("button", name="End the outage").click()
    expect(velt.locator("#velt-records details")).to_have_count(2, timeout=LONG_MS)


def test_readme_shows_a_picture_of_this_page(page: Page, tmp_path: Path) -> None:
    """`make picture` runs this test to take a new picture."""
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    send(page)
    pane(page, "Your Redis holds").get_by_role("button", name="Open it").click()
    expect(page.locator("#opened")).to_contain_text(TEXT)
    inbox_shows(page, "ben", TEXT)
    taken = tmp_path / "demo.png"
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=taken)
    if os.environ.get("WRITE_PICTURES"):
        shutil.copyfile(taken, ROOT / PICTURE)
    shown = (ROOT / PICTURE).read_bytes()
    assert shown[:24] == taken.read_bytes()[:24], "not a PNG of the same width and height"
    assert f"]({PICTURE})" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("axe")
    npm.install(folder, "axe-core@4.14.1")
    return (folder / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("DEMO_SCREENSHOTS") or tmp_path / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_accessible_by_sight_and_by_screen_reader(
    page: Page, axe: str, pictures: Path, scheme: Any
) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    send(page)
    pane(page, "Your Redis holds").get_by_role("button", name="Open it").click()
    expect(page.locator("#opened")).to_be_visible()
    inbox_shows(page, "ben", TEXT)
    page.evaluate(axe)
    for name, width, height in (("desktop", 1280, 900), ("phone", 390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        page.screenshot(path=pictures / f"{name}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = page.evaluate("axe.run()")
        serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
        assert not serious, [(one["id"], [node["html"] for node in one["nodes"]]) for one in serious]
        assert found["passes"]


@pytest.mark.parametrize("seconds", [0.8, 2.0])
def test_interrupted_rotation_loses_nothing(tmp_path: Path, seconds: float) -> None:
    with running(tmp_path) as dev:
        dev.paste(0)
        base = f"http://127.0.0.1:{dev.ports()[0]}"
        asked = urllib3.request("POST", f"{base}/demo/keys/rotate", json={})
        assert asked.status == 202
        with pytest.raises(subprocess.TimeoutExpired):
            dev.process.wait(seconds)
        dev.process.kill()
        dev.process.wait()
    with running(tmp_path) as dev:
        assert dev.paste(1)["data"].keys() == {"nOZ7d0vX2Qk4mJrT9cB1yLwA"}
        assert not (tmp_path / "rotation-wanted").exists()
