"""`resolver dev`: run Redis, a Velt sandbox and the resolver in one terminal until Ctrl-C."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from shlex import quote
from types import FrameType

import click

from resolver.auth.tokens import LONGEST_SECONDS, Tokens
from resolver.cli.children import ChildProcess, raise_if_ended, wait_until_ready
from resolver.cli.dev_rotation import Rotation
from resolver.cli.dev_state import commands_file, managed_master_keys, stored_secrets
from resolver.cli.local_redis import LocalRedis, NoServer
from resolver.cli.serve import gunicorn_command
from resolver.cli.terminal import say
from resolver.config import Settings, load
from resolver.demo.dev_control import DevControl
from resolver.errors import StoreUnavailable
from resolver.ops import metrics_folder
from resolver.ops.embedded_worker import worker_command
from resolver.store.records import RecordStore
from resolver.wiring import build_stores

# The usual ports of frontend tools.
_ORIGINS = ",".join(f"http://localhost:{port}" for port in (3000, 4200, 5173, 8081))
_REDIS_SECONDS = 5.0
_EXAMPLE = {
    "organizationId": "acme",
    "documentId": "report-7",
    "notificationId": "nOZ7d0vX2Qk4mJrT9cB1yLwA",
    "actionUser": {"userId": "ana", "name": "Ana Lima", "email": "ana@example.com"},
    "notifyUsers": [{"userId": "ben", "name": "Ben Okoro", "email": "ben@example.com"}],
    "notifyAll": False,
    "displayHeadlineMessageTemplate": "{actionUser} asked you about the merger",
    "displayHeadlineMessageTemplateData": {"actionUser": {"userId": "ana", "name": "Ana Lima"}},
    "displayBodyMessage": "Can we still sign on Friday?",
}


@click.command()
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".resolver"),
    show_default=True,
    help="Folder that keeps development keys and data between runs.",
)
@click.option("--port", default=8080, show_default=True, help="The resolver's port, or the next free one.")
@click.option(
    "--sandbox-port", default=9000, show_default=True, help="The Velt sandbox's port, or the next free one."
)
def dev(state: Path, port: int, sandbox_port: int) -> None:
    """Run everything locally: Redis, a Velt sandbox, the resolver, and a page at /demo that shows them.
    Ctrl-C stops all of it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    with ExitStack() as stack:
        try:
            _run(state, port, sandbox_port, stack)
        except KeyboardInterrupt:
            # A second Ctrl-C must not interrupt the shutdown.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            say("", "Stopping.")


def _run(state: Path, port: int, sandbox_port: int, stack: ExitStack) -> None:
    _lock(state, stack)
    if reason := metrics_folder.create():
        say(f"metrics_not_shared: {reason}", err=True)
    stack.callback(metrics_folder.remove)
    variables = {**_defaults(state), **os.environ, "RESOLVER_MODE": "development"}
    sandbox_port = _free_port(sandbox_port)
    variables["VELT_API_URL"] = sandbox_url = f"http://127.0.0.1:{sandbox_port}"
    dev_control, keys = DevControl(state), managed_master_keys(variables, state)
    dev_control.clear_rotation()
    if keys:
        variables["RESOLVER_DEV_STATE"] = str(state.absolute())
    variables.setdefault("RESOLVER_BIND", f"127.0.0.1:{_free_port(port)}")
    is_given = bool(variables.get("REDIS_URL"))
    if not is_given:
        variables["REDIS_URL"] = _start_redis(state, stack)
    settings = load(variables)
    if is_given:
        _require_answer(settings)
    url = f"http://{settings.bind.replace('0.0.0.0', '127.0.0.1')}"  # noqa: S104 - called, not bound
    commands = stack.enter_context(
        commands_file(state / "commands.sh", variables, _guide_variables(settings, url))
    )
    _sandbox, web, worker = parts = [
        _start_child_process(command, variables, stack)
        for command in (_sandbox_command(sandbox_port), _web_command(settings), worker_command())
    ]
    children = [part.process for part in parts]
    wait_until_ready(f"{url}/readyz", children, partial(_ask_for_replay, settings, commands))
    say(*_welcome(settings, state, url, sandbox_url, commands).split("\n"))
    _watch(parts, Rotation(keys, dev_control, web, worker, url, variables) if keys else None)


def _lock(state: Path, stack: ExitStack) -> None:
    """Lock the folder: two Redis servers would write into the same file. The lock ends with this process."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = stack.enter_context((state / "lock").open("w", encoding="ascii"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise click.ClickException(
            f"`resolver dev` is running on {state} already. Stop it, or use another folder: "
            "resolver dev --state FOLDER"
        ) from None


def _guide_variables(settings: Settings, url: str) -> dict[str, str]:
    """Return the variables that the guides in docs/ and the page /docs use."""
    given = {"RESOLVER": url, "CALLER_TOKEN": next(iter(settings.caller_tokens.values())).reveal()}
    for token in list(settings.privacy_tokens.values())[:1]:
        given["PRIVACY_TOKEN"] = token.reveal()
    return given


def _defaults(state: Path) -> dict[str, str]:
    return {
        "VELT_API_KEY": "dev-api-key",
        "RESOLVER_CORS_ORIGINS": _ORIGINS,
        "RESOLVER_AUDIT_LOG": str((state / "audit.log").absolute()),
        "RESOLVER_LOG_FORMAT": "console",
        "RESOLVER_LOG_LEVEL": "info",
        **stored_secrets(state, os.environ),
    }


def _start_redis(state: Path, stack: ExitStack) -> str:
    try:
        redis = LocalRedis(state / "redis", ["--appendonly", "yes"])
    except (NoServer, subprocess.SubprocessError) as error:
        raise click.ClickException(str(error)) from None
    stack.callback(redis.stop)
    return redis.url


def _require_answer(settings: Settings) -> None:
    """Wait for a Redis that this command didn't start; it may be starting too."""
    store, until = build_stores(settings).store, time.monotonic() + _REDIS_SECONDS
    while reason := _down(store):
        if time.monotonic() > until:
            raise click.ClickException(
                f"REDIS_URL is set to {_public_redis_url(settings)}, which can't be used ({reason}). If it "
                f"is "
                "left over from an earlier run, `unset REDIS_URL`: then this command starts its own Redis."
            )
        time.sleep(0.2)


def _down(store: RecordStore) -> str:
    """Return why Redis is down; empty if it answers, even if its data keeps requests refused."""
    try:
        store.ping()
    except StoreUnavailable as error:
        return error.reason if error.state == "down" else ""
    return ""


def _sandbox_command(port: int) -> list[str]:
    return [sys.executable, "-m", "resolver.sandbox", "--port", str(port)]


def _web_command(settings: Settings) -> list[str]:
    """Short grace period: a page that stays open must not delay a restart."""
    return [*gunicorn_command(settings.bind, 1), "--graceful-timeout", "2"]


def _start_child_process(command: list[str], variables: dict[str, str], stack: ExitStack) -> ChildProcess:
    part = ChildProcess(command, variables, subprocess.DEVNULL)
    stack.callback(part.stop)
    return part


def _ask_for_replay(settings: Settings, commands: str) -> None:
    lines = (
        "",
        "This Redis was restored from a backup: erasures that it doesn't know must be repeated, and",
        "requests are refused until then. In another terminal, in this folder:",
        "",
        commands,
        f"resolver privacy replay {quote(settings.certificate_dir or '')}",
        "",
        f"Redis is {_public_redis_url(settings)}. Waiting.",
    )
    say(*lines)


def _watch(parts: list[ChildProcess], rotation: Rotation | None) -> None:
    while True:
        raise_if_ended([part.process for part in parts])
        if rotation:
            rotation.run_if_requested()
        time.sleep(0.5)


def _free_port(wanted: int) -> int:
    """Return the first free port from `wanted` on."""
    for port in range(wanted, wanted + 50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise click.ClickException(f"No free port from {wanted} to {wanted + 49}.")


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _welcome(settings: Settings, state: Path, url: str, sandbox_url: str, commands: str) -> str:
    caller = next(iter(settings.caller_tokens.values())).reveal()
    backend = [f"x-velt-api-key: {settings.velt_api_key.reveal()}", f"x-velt-auth-token: {caller}"]
    ben = Tokens(settings.token).mint("ben", ["acme"], LONGEST_SECONDS).token
    wanted = {"organizationId": "acme", "notificationIds": ["nOZ7d0vX2Qk4mJrT9cB1yLwA"]}
    return "\n".join(
        (
            "",
            "1. Your backend adds a notification:",
            "",
            _curl(f"{url}/v2/notifications/add", backend, {"data": _EXAMPLE}),
            "",
            "2. Ben's browser reads it back (token good for a day):",
            "",
            _curl(f"{url}/api/velt/notifications/get", [f"authorization: Bearer {ben}"], wanted),
            "",
            "3. Everything that Velt was sent:",
            "",
            f"curl -s -w '\\n' {sandbox_url}/_sandbox/ledger",
            "",
            "Other `resolver` commands work in another terminal, in this folder, after this line:",
            "",
            commands,
            "",
            f"Redis is {_public_redis_url(settings)}; keys and data stay in {state}.",
            f"Ready: resolver on {url}, Velt sandbox on {sandbox_url}. "
            f"Open {url}/demo first, or paste the curl commands above; Ctrl-C stops everything.",
        )
    )


def _public_redis_url(settings: Settings) -> str:
    """Return the URL without user and password."""
    scheme, _, rest = settings.redis_url.reveal().partition("://")
    return f"{scheme}://{rest.rsplit('@', 1)[-1]}"


def _curl(url: str, headers: list[str], body: object) -> str:
    given = ["content-type: application/json", *headers]
    return " ".join(
        [
            "curl -s -w '\\n'",
            quote(url),
            *(f"-H {quote(header)}" for header in given),
            f"-d {quote(json.dumps(body))}",
        ]
    )
