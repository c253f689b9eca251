"""`resolver workspace`: the workspace's notification settings at Velt."""

from __future__ import annotations

from typing import Any, TextIO

import click

from resolver.cli.auditing import audit_command
from resolver.cli.notifications import read_object
from resolver.cli.terminal import say_json
from resolver.config import Settings, load
from resolver.deadline import Deadline
from resolver.errors import VeltRefused
from resolver.velt.client import VeltEndpoint
from resolver.velt.config_requests import WORKSPACE_UPDATE
from resolver.velt.requests import parse
from resolver.wiring import build_stores, build_velt

_SECONDS = 10.0


@click.group()
def workspace() -> None:
    """Read and change the workspace's notification settings at Velt."""


@workspace.command("get")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def get(as_json: bool) -> None:
    """Print the settings as Velt holds them."""
    _ask(load(), VeltEndpoint.WORKSPACE_GET, {}, as_json)


@workspace.command("set")
@click.argument("file", type=click.File(encoding="utf-8-sig"))
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def set_(file: TextIO, as_json: bool) -> None:
    """Change the settings. FILE ("-" for standard input) holds useNotificationService and/or
    notificationServiceConfig; omitted settings stay unchanged. Prints the settings afterwards."""
    data = parse(WORKSPACE_UPDATE, read_object(file))
    settings = load()
    audit_command(settings, build_stores(settings), "workspace set")
    _ask(settings, VeltEndpoint.WORKSPACE_UPDATE, data, as_json)


def _ask(settings: Settings, endpoint: VeltEndpoint, data: dict[str, Any], as_json: bool) -> None:
    client = build_velt(settings)
    try:
        answer = client.post(endpoint, data, Deadline.after(_SECONDS))
    except VeltRefused as refusal:
        raise click.ClickException(f"Velt refused: {refusal.status}") from None
    say_json(answer["result"].get("data"), indent=None if as_json else 2)
