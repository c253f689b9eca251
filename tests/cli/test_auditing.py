"""Every command that changes data or opens sealed content writes an audit line first, with the operating
system's name of the person who ran it."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from redis import Redis

from resolver.cli import main
from resolver.config import load
from resolver.privacy.eraser import Eraser
from resolver.wiring import build_stores
from tests.audit.test_trail import events_in
from tests.erasing import done, erasure_request
from tests.support import JSON, Api, Velt, key, keys_of

Env = dict[str, str]
ONLY_READS = {
    "audit tail",
    "audit verify",
    "check",  # without --live
    "keys new",  # the secrets that it makes are only in its output
    "keys status",
    "outbox dead",
    "outbox status",
    "outbox waiting",
    "privacy status",
    "privacy verify",
    "split",
    "workspace get",
}
RUNS_A_PROCESS = {"dev", "serve", "worker"}
"""These have audit lines for each request, command and erasure instead."""
OPENS = {
    "evidence": ["evidence", "-o", "{folder}/evidence.zip"],
    "explain": ["explain", "acme", "n-1", "--user", "ben"],
    "inspect": ["inspect", "acme", "n-1"],
    "privacy export": ["privacy", "export", "--user", "ben"],
    "token": ["token", "--user", "ben", "--org", "acme"],
}
CHANGES = {
    "check --live": ["check", "--live", "--organization", "acme", "--document", "d", "--user", "ben"],
    "keys adopt": ["keys", "adopt", "--yes"],
    "keys reindex": ["keys", "reindex", "{folder}/new.key", "--yes"],
    "keys rotate": ["keys", "rotate"],
    "outbox drop": ["outbox", "drop", "--all"],
    "outbox retry": ["outbox", "retry", "--all"],
    "privacy erase": ["privacy", "erase", "--user", "ben", "--yes"],
    "privacy replay": ["privacy", "replay", "{folder}/certificates", "--again"],
    "tokens revoke": ["tokens", "revoke", "--user", "ben"],
    "workspace set": ["workspace", "set", "-"],
}
SETTINGS = {"keys adopt": {"VELT_API_KEY": "the-api-key-of-another-environment"}}
"""The arguments with which a command has something to do."""
RECORDED = {**OPENS, **CHANGES}


def commands(group: click.Group, before: tuple[str, ...] = ()) -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*before, name))
        else:
            yield " ".join((*before, name))


def test_every_command_is_listed_as_changing_or_not() -> None:
    named = {*ONLY_READS, *RUNS_A_PROCESS, *RECORDED} - {"check --live"}
    assert set(commands(main)) == named
    assert not (ONLY_READS | RUNS_A_PROCESS) & RECORDED.keys()


@pytest.fixture
def env(make_api: Callable[..., Api], resolver_environment: Env, tmp_path: Path, kept: Path) -> Env:
    """The environment of a resolver that has something for each command to work on."""
    api = make_api()
    api.add(notificationId="n-0", notifyUsers=[{"userId": "cleo"}])
    (tmp_path / "new.key").write_text(key(77))
    return {
        **resolver_environment,
        "RESOLVER_MASTER_KEYS": f"k2:{key(2)},{resolver_environment['RESOLVER_MASTER_KEYS']}",
        "RESOLVER_AUDIT_LOG": str(tmp_path / "audit.log"),
    }


@pytest.fixture
def filled(
    env: Env,
    name: str,
    make_api: Callable[..., Api],
    resolver_environment: Env,
    make_eraser: Callable[..., Eraser],
) -> None:
    if name == "privacy replay":
        done(make_eraser(), resolver_environment, erasure_request("cleo"))
    api = make_api(RESOLVER_REGISTRATION="deferred")
    api.add()
    if name.startswith("outbox"):
        outbox = build_stores(load(env)).outbox
        claimed = outbox.claim(outbox.due()[0])
        assert claimed
        outbox.dead_letter(claimed, "INVALID_ARGUMENT")


def run(env: Env, name: str, folder: Path) -> Result:
    arguments = [word.format(folder=folder) for word in RECORDED[name]]
    own = {**env, **SETTINGS.get(name, {})}
    return CliRunner().invoke(main, arguments, env=own, input='{"useNotificationService": true}')


def state(redis: Redis, velt: Velt) -> JSON:
    """All that a command can change, but for the length of the trail and what asking Redis leaves."""
    names = [name for name in keys_of(redis, "*") if not name.startswith((b"vnr:audit:", b"{p00}h"))]
    paths = {entry["path"] for entry in velt.ledger()} - {"/v2/workspace/notificationconfig/get"}
    return {"redis": {name: redis.dump(name) for name in names}, "velt": paths}


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.usefixtures("filled")
def test_command_does_nothing_when_it_cannot_be_audited(
    name: str, env: Env, redis: Redis, velt: Velt, tmp_path: Path
) -> None:
    before = state(redis, velt)
    refused = run({**env, "RESOLVER_AUDIT_LOG": "/dev/full"}, name, tmp_path)
    assert refused.exit_code == 1
    after = state(redis, velt)
    if name == "check --live":
        # It takes its probe away, which isn't there: that changes nothing at Velt.
        after["velt"] -= {"/v2/notifications/get", "/v2/notifications/delete"}
    assert after == before
    assert "CANARY" not in refused.stdout
    assert not (tmp_path / "evidence.zip").exists()


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.usefixtures("filled")
def test_command_is_audited_with_its_subject(name: str, env: Env, tmp_path: Path) -> None:
    run(env, name, tmp_path)
    events = events_in(Path(env["RESOLVER_AUDIT_LOG"]))
    assert (events[0]["surface"], events[0]["action"]) == ("cli", name.replace("--", ""))
    assert events[0]["who"] == {"kind": "ops", "id": account(os.getuid())}


def account(uid: int) -> str:
    return pwd.getpwuid(uid).pw_name


def operator_of(change: str = "", **variables: str) -> str:
    script = f"import os; {change}\nfrom resolver.cli.auditing import operator; print(operator())"
    env = {"PATH": os.environ["PATH"], **variables}
    found = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def test_operator_name_comes_from_the_system() -> None:
    pretended = dict.fromkeys(("LOGNAME", "USER", "LNAME", "USERNAME"), "alice-the-dpo")
    assert operator_of(**pretended) == account(os.getuid())


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_operator_without_account_is_named_by_uid() -> None:
    imports = "import resolver.cli.auditing; os.setuid(54321)"
    assert operator_of(imports, SUDO_UID="0", LOGNAME="alice") == "uid 54321"


@pytest.mark.skipif(os.getuid() != 0, reason="only root is believed")
@pytest.mark.parametrize(
    ("given", "named"),
    [("1", f"root (sudo: {account(1)})"), ("54321", "root (sudo: uid 54321)"), ("x", "root"), ("-1", "root")],
)
def test_operator_name_includes_the_sudo_user_for_root(given: str, named: str) -> None:
    assert operator_of(SUDO_UID=given, SUDO_USER="alice-the-dpo") == named
