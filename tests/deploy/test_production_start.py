"""The section "Production start" of docs/operations.md, carried out: `pip install .` into an empty
environment, then the section's commands with its variables alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

from resolver.cli.children import start_child, stop_child
from resolver.sandbox import create_app as create_sandbox
from resolver.sandbox import start
from tests.deploy.installing import run
from tests.deploy.process import ROOT
from tests.support import API_KEY, VELT_TOKEN
from tests.system.balancers import changed
from tests.system.conftest import free_ports, wait_until_ready
from tests.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.single_server, pytest.mark.timeout(300)]
SECTION = (ROOT / "docs/operations.md").read_text().split("\n## Production start\n")[1].split("\n## ")[0]


def block(name: str) -> str:
    found = re.search(rf"<!-- production start: {name} -->\n```sh\n(.*?)```", SECTION, re.DOTALL)
    assert found, name
    return found[1]


def variables_that(consequence: str) -> list[str]:
    """Return the variables of the table whose absence has this effect."""
    rows = [line.split("|") for line in SECTION.splitlines() if line.startswith("| `")]
    return [name for row in rows if consequence in row[3] for name in re.findall(r"`([A-Z_]+)`", row[1])]


REQUIRED = variables_that("it doesn't start")
_USERS = (("-o", "redis"), ("-o", "velt-resolver"), ("chown", "velt-resolver"))


@dataclass(frozen=True)
class Production:
    environment: dict[str, str]
    url: str

    def without(self, name: str) -> dict[str, str]:
        left = {k: v for k, v in self.environment.items() if k.removesuffix("_FILE") != name}
        assert len(left) == len(self.environment) - 1
        return left

    def resolver(self, *command: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["resolver", *command],
            env=env or self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def findings(self, env: dict[str, str] | None = None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.resolver("check", "--json", env=env).stdout)
        return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands in an environment into which `pip install .` installed."""
    if not (shutil.which("redis-server") and shutil.which("openssl")):
        pytest.skip("needs redis-server and openssl")
    environment = tmp_path_factory.mktemp("installed") / "environment"
    run(f"{sys.executable} -m venv {environment} && {environment}/bin/pip install .", ROOT)
    return environment / "bin"


@pytest.fixture(scope="module")
def production(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    root = tmp_path_factory.mktemp("root")
    path = {"PATH": f"{installed}:{os.environ['PATH']}"}
    redis_port, port = free_ports(2)
    subprocess.run(["sh", "-euc", _once(root)], cwd=ROOT, env=path, check=True, timeout=60)
    _at_port(root, redis_port)
    with ExitStack() as stack:
        redis = start_child(["redis-server", str(root / "etc/redis/redis.conf")], stdout=subprocess.DEVNULL)
        stack.callback(stop_child, redis)
        velt = stack.enter_context(start(create_sandbox(API_KEY, VELT_TOKEN)))
        # Besides the documented variables: the address of Velt in this test, and a free port.
        here = {"VELT_API_URL": velt.url, "RESOLVER_BIND": f"127.0.0.1:{port}"}
        environment = {**path, **_variables(root), **here}
        log = root / "log"
        with log.open("wb") as output:
            command = ["sh", "-euc", f"exec {block('run')}"]
            web = start_child(command, env=environment, stdout=output, stderr=output, cwd=root)
        stack.callback(stop_child, web)
        wait_until_ready(f"http://127.0.0.1:{port}/readyz", web, log)
        yield Production(environment, f"http://127.0.0.1:{port}")


def _moved(text: str, root: Path) -> str:
    """Replace the host's folders by ones that this test may write."""
    return re.sub(r"(?<![\w/])/(etc|var)/", rf"{root}/\1/", text)


def _once(root: Path) -> str:
    given = {"VELT_API_KEY": API_KEY, "VELT_AUTH_TOKEN": VELT_TOKEN}
    shown = {f"{name}='from the console of Velt'": f"{name}='{value}'" for name, value in given.items()}
    # All its users become the current one, since the tests may not switch to another.
    users = {f"{word} {user}": f"{word} {os.getuid()}" for word, user in _USERS}
    return _moved(changed(block("once"), {**shown, **users}), root)


def _at_port(root: Path, port: int) -> None:
    """Run the Redis that was set up, with a port and a folder of this test."""
    (root / "var/lib/redis").mkdir(parents=True)
    config, url = root / "etc/redis/redis.conf", root / "etc/velt-resolver/secrets/REDIS_URL"
    config.write_text(changed(_moved(config.read_text(), root), {"tls-port 6379": f"tls-port {port}"}))
    url.write_text(
        changed(
            url.read_text(),
            {":6379/": f":{port}/", "=/etc/velt-resolver": f"={root}/etc/velt-resolver"},
        )
    )


def _variables(root: Path) -> dict[str, str]:
    shown = subprocess.run(
        ["sh", "-euc", f"{_moved(block('environment'), root)}\nexec env -0"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    pairs = dict(pair.split("=", 1) for pair in shown.stdout.split("\0") if pair)
    return {name: pairs[name] for name in re.findall(r"^export (\w+)=", block("environment"), re.MULTILINE)}


def test_production_start_gets_ready(production: Production) -> None:
    reply = urllib3.request("GET", f"{production.url}/readyz", retries=False)
    assert (reply.status, reply.json()) == (200, {"status": "ok", "redis": "ok"})


def test_check_finds_no_problem_in_the_production_start(production: Production) -> None:
    until(lambda: "a worker is alive" in production.resolver("check").stdout, seconds=60)
    checked = production.resolver("check")
    assert checked.returncode == 0
    assert {line.split()[0] for line in checked.stdout.splitlines()} == {"ok"}, checked.stdout
    assert {"settings", "redis", "vault", "outbox", "privacy", "velt"} <= {
        finding["about"] for finding in production.findings()
    }


def test_table_has_every_setting_that_the_configuration_page_requires() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    assert sorted(re.findall(r"^### `([A-Z_]+)`\n\n- Default: required$", page, re.MULTILINE)) == sorted(
        REQUIRED
    )


@pytest.mark.parametrize("name", REQUIRED)
def test_start_without_a_required_setting_fails_and_names_it(production: Production, name: str) -> None:
    done = production.resolver("serve", env=production.without(name))
    assert done.returncode == 1
    assert f"{name}: is required" in done.stderr
    others = [other for other in REQUIRED if other != name and other in done.stderr]
    assert others == []


@pytest.mark.parametrize("name", [n for n in variables_that("`check` warns") if n != "REDIS_URL"])
def test_check_names_a_missing_recommended_setting(production: Production, name: str) -> None:
    found = production.findings(production.without(name))
    assert [f["text"] for f in found if f["outcome"] == "warn" and name in f["text"]] != []
    assert not [f for f in found if f["outcome"] == "fail"]
