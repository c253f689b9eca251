"""`resolver dev`: a Redis, a Velt sandbox and the resolver in one terminal; one Ctrl-C ends them all."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from shlex import quote
from types import FrameType

import click

from resolver.access.tokens import LONGEST_SECONDS, Tokens
from resolver.cli.children import start_child, stop_child
from resolver.cli.commands_file import commands_file
from resolver.cli.keys import fresh_secrets
from resolver.cli.local_redis import LocalRedis, NoServer
from resolver.cli.readiness import raise_if_ended, wait_until_ready
from resolver.cli.serve import gunicorn_command, worker_command
from resolver.metrics import sharing
from resolver.settings import Settings, load

# Where the usual frontend tools serve their pages.
_ORIGINS = ",".join(f"http://localhost:{port}" for port in (3000, 4200, 5173, 8081))
_EXAMPLE = {
    "organizationId": "acme",
    "documentId": "report-7",
    "notificationId": "hello-1",
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
    help="Where development keys and data are kept between runs.",
)
@click.option("--port", default=8080, show_default=True, help="The resolver's; a taken one is stepped over.")
@click.option("--sandbox-port", default=9000, show_default=True, help="The Velt sandbox's, likewise.")
def dev(state: Path, port: int, sandbox_port: int) -> None:
    """Run everything locally: a Redis, a Velt sandbox, the resolver. Ctrl-C ends it all."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    with ExitStack() as stack:
        try:
            _run(state, port, sandbox_port, stack)
        except KeyboardInterrupt:
            # A second Ctrl-C must not interrupt the stopping.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            click.echo("\nStopping.")


def _run(state: Path, port: int, sandbox_port: int, stack: ExitStack) -> None:
    sharing.provide()
    stack.callback(sharing.withdraw)
    variables = {**_defaults(state), **os.environ, "RESOLVER_MODE": "development"}
    sandbox_port = _free_port(sandbox_port)
    variables["VELT_API_URL"] = sandbox_url = f"http://127.0.0.1:{sandbox_port}"
    variables.setdefault("RESOLVER_BIND", f"127.0.0.1:{_free_port(port)}")
    if not variables.get("REDIS_URL"):
        variables["REDIS_URL"] = _start_redis(state, stack)
    settings = load(variables)
    commands = stack.enter_context(commands_file(state / "commands.sh", variables))
    children = [
        stack.enter_context(_child(_sandbox_command(sandbox_port), variables)),
        stack.enter_context(_child(gunicorn_command(settings.bind, 1), variables)),
        stack.enter_context(_child(worker_command(), variables)),
    ]
    url = f"http://{settings.bind}"
    wait_until_ready(f"{url}/readyz", children, partial(_ask_for_replay, settings, commands))
    click.echo(_welcome(settings, state, url, sandbox_url, commands))
    _watch(children)


def _defaults(state: Path) -> dict[str, str]:
    return {
        "VELT_API_KEY": "dev-api-key",
        "RESOLVER_CORS_ORIGINS": _ORIGINS,
        "RESOLVER_AUDIT_LOG": str((state / "audit.log").absolute()),
        "RESOLVER_LOG_FORMAT": "console",
        "RESOLVER_LOG_LEVEL": "warning",
        **_kept_secrets(state / "dev.env"),
    }


def _kept_secrets(file: Path) -> dict[str, str]:
    """Made at the first run and kept, so that what was sealed yesterday still opens today."""
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = {**fresh_secrets(), "VELT_AUTH_TOKEN": secrets.token_urlsafe(32)}
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.writelines(f"{name}={value}\n" for name, value in fresh.items())
    lines = file.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _start_redis(state: Path, stack: ExitStack) -> str:
    try:
        redis = LocalRedis(state / "redis", ["--appendonly", "yes"])
    except (NoServer, subprocess.SubprocessError) as error:
        raise click.ClickException(str(error)) from None
    stack.callback(redis.stop)
    return redis.url


def _sandbox_command(port: int) -> list[str]:
    return [sys.executable, "-m", "resolver.sandbox", "--port", str(port)]


@contextmanager
def _child(command: list[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = start_child(command, env=variables, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        stop_child(process)


def _ask_for_replay(settings: Settings, commands: str) -> None:
    lines = (
        "",
        "This Redis came back from a backup: erasures that it doesn't know of must be done again, and",
        "nothing is served until they are. In another terminal, in this folder:",
        "",
        commands,
        f"resolver privacy replay {quote(settings.certificate_dir or '')}",
        "",
        f"Redis is {_redis_shown(settings)}. Waiting.",
    )
    click.echo("\n".join(lines))


def _watch(children: list[subprocess.Popen[bytes]]) -> None:
    while True:
        raise_if_ended(children)
        time.sleep(0.5)


def _free_port(wanted: int) -> int:
    """The usual port, or the next one that nobody listens on."""
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
    wanted = {"organizationId": "acme", "notificationIds": ["hello-1"]}
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
            "3. All that Velt was sent:",
            "",
            f"curl -s -w '\\n' {sandbox_url}/_sandbox/ledger",
            "",
            "Any other `resolver` command works in another terminal, in this folder, after this line:",
            "",
            commands,
            "",
            f"Redis is {_redis_shown(settings)}; keys and data stay in {state}.",
            f"Ready: resolver on {url}, Velt sandbox on {sandbox_url}. "
            "Paste the curl commands above; Ctrl-C ends it all.",
        )
    )


def _redis_shown(settings: Settings) -> str:
    """Without what may be a password."""
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
