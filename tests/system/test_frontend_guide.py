"""The code in docs/frontend.md: every provider works in Chromium, and the React part fits Velt's types."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from playwright.sync_api import Route

from resolver.cli.children import start_child, stop_child
from tests.guides import blocks, steps
from tests.servers import Service, running
from tests.support import BACKEND, notification
from tests.system import npm
from tests.system.balancers import changed
from tests.system.conftest import Served, caller_of, free_port, plain_environment, serving
from tests.waiting import until

pytestmark = pytest.mark.system
# How the SDK calls a provider, by Velt's documentation.
SDK = """
const providers = [];
const client = {
  setDataProviders: (given) => providers.push(given.notification),
  identify: async () => { if (!providers.length) throw new Error("identified without a provider"); },
  setDocuments: async () => {},
  getNotificationElement: () => ({ setTabConfig: () => {} }),
};
async function call({ config = {}, ...functions }, action, request) {
  if (functions[action]) {
    const reply = await functions[action](request);
    return reply.success === true && reply.statusCode === 200 ? reply : null;
  }
  const { url, headers, credentials } = config[`${action}Config`];
  const given = typeof headers === "function" ? await headers() : headers;
  const reply = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...given },
    ...(credentials && { credentials }),
    body: JSON.stringify(request),
  });
  return reply.ok ? await reply.json() : null;
}
"""
USE_EACH = """
const found = [];
for (const [number, provider] of providers.entries()) {
  const id = `n-${number}`, all = providers.map((_, other) => `n-${other}`);
  const before = await call(provider, "get", { organizationId: "acme", notificationIds: all });
  const deleted = await call(provider, "delete", { organizationId: "acme", notificationId: id });
  const after = await call(provider, "get", { organizationId: "acme", notificationIds: all });
  found.push([before.data[id]?.displayBodyMessage, deleted.success, id in after.data]);
}
window.found = found;
"""


@dataclass
class Site:
    """The guide's page, with its own backend on one origin and the resolver on another."""

    origin: str
    resolver: str
    empty_page: str
    folder: Path
    script: str

    def answer(self, route: Route) -> None:
        """Answer the page and its files, pass the resolver's paths on as a balancer does, and give the rest
        to the backend."""
        path = urlsplit(route.request.url).path
        name = path.lstrip("/")
        if path.startswith("/api/velt/notifications/"):
            route.continue_(url=self.resolver + path)
        elif not name:
            # A real server is needed: a browser lets no page from an unknown address call this machine.
            route.continue_(url=self.empty_page)
        elif (self.folder / name).is_file():
            route.fulfill(content_type="text/javascript", path=self.folder / name)
        else:
            route.continue_()


@pytest.fixture
def site(resolver_environment: dict[str, str], tmp_path: Path) -> Iterator[Site]:
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    origin = f"http://localhost:{free_port()}"
    changes = {"RESOLVER_CORS_ORIGINS": origin, "RESOLVER_TOKEN_COOKIE": "__Host-resolver"}
    with serving({**resolver_environment, **changes}, tmp_path / "log") as served:
        # Both hosts are of one site, as in the guide, so that the browser sends a cookie to both.
        resolver = served.url.replace("127.0.0.1", "localhost")
        script = ""
        for step in steps("frontend.md"):
            code = step.block.text.replace("https://resolver.example.com", resolver)
            if step.block.file:
                (tmp_path / step.block.file).write_text(code, encoding="utf-8")
            else:
                script += code
        for number in range(script.count("setDataProviders")):
            add(served, f"n-{number}")
        empty = Service(body=b"<!doctype html><title>page</title>")
        with backend(tmp_path, origin, served), running(empty):
            yield Site(origin, resolver, empty.url, tmp_path, script)


def add(served: Served, id_: str) -> None:
    body = {"data": notification(notificationId=id_)}
    added = urllib3.request("POST", f"{served.url}/v2/notifications/add", json=body, headers=BACKEND)
    assert added.status == 200, added.data


@contextmanager
def backend(folder: Path, origin: str, served: Served) -> Iterator[None]:
    env = plain_environment({**caller_of(served), "PORT": origin.rpartition(":")[2]})
    process = start_child(["node", "backend.mjs"], env=env, cwd=folder)
    try:
        until(lambda: listens(int(env["PORT"])), seconds=10)
        yield
    finally:
        stop_child(process)


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("localhost", port), 1):
        return True
    return False


def test_every_provider_of_the_guide_reads_and_deletes(chromium: Any, site: Site) -> None:
    page = chromium.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.route(f"{site.origin}/**", site.answer)
    page.goto(site.origin)
    page.add_script_tag(type="module", content=SDK + site.script + USE_EACH)
    until(lambda: page.evaluate("window.found") or len(said) > 1, seconds=20)
    found = page.evaluate("window.found")
    page.close()
    assert said == ["Ana Lima"]
    assert found == [["CANARY body", True, False]] * 5


def typed(folder: Path) -> subprocess.CompletedProcess[str]:
    options = (
        "--noEmit --strict --allowJs --checkJs --skipLibCheck --jsx react-jsx --target es2022 --module esnext"
    )
    command = ["npx", "--no-install", "tsc", *options.split(), "--moduleResolution", "bundler"]
    return subprocess.run(
        [*command, "App.jsx"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


LINT = """
import hooks from "eslint-plugin-react-hooks";
const languageOptions = { parserOptions: { ecmaFeatures: { jsx: true } } };
const rules = { "react-hooks/rules-of-hooks": "error", "react-hooks/exhaustive-deps": "error" };
export default [{ files: ["*.jsx"], plugins: { "react-hooks": hooks }, languageOptions, rules }];
"""


def linted(folder: Path) -> str:
    (folder / "eslint.config.mjs").write_text(LINT, encoding="utf-8")
    command = ["npx", "--no-install", "eslint", "App.jsx", "Notifications.jsx"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout + done.stderr


@pytest.mark.timeout(180)
def test_the_react_part_fits_velts_types(tmp_path: Path) -> None:
    for block in blocks("frontend.md"):
        if block.file:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    packages = ("typescript@5", "@veltdev/react@6.0.6", "@veltdev/types@6.0.6", "@types/react@18")
    lint = ("eslint@9", "eslint-plugin-react-hooks@5")
    npm.install(tmp_path, *packages, *lint, options=("--legacy-peer-deps",))
    assert typed(tmp_path).stdout == ""
    assert linted(tmp_path) == ""
    component = (tmp_path / "Notifications.jsx").read_text(encoding="utf-8")
    (tmp_path / "Notifications.jsx").write_text(
        changed(component, {"[setDocuments, documents]": "[documents]"})
    )
    assert "react-hooks/exhaustive-deps" in linted(tmp_path)
    app = (tmp_path / "App.jsx").read_text(encoding="utf-8")
    (tmp_path / "App.jsx").write_text(changed(app, {'{ userId: "ben"': '{ id: "ben"'}))
    assert "'userId'" in typed(tmp_path).stdout
    (tmp_path / "App.jsx").write_text(app)
    provider = (tmp_path / "provider.js").read_text(encoding="utf-8")
    (tmp_path / "provider.js").write_text(changed(provider, {"getConfig: { url": "getConfig: { address"}))
    assert "'url'" in typed(tmp_path).stdout
