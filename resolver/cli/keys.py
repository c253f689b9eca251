"""`resolver keys`: the secrets that a deployment needs."""

from __future__ import annotations

import base64
import json
import secrets
from datetime import UTC, datetime

import click


@click.group()
def keys() -> None:
    """Make and look after keys."""


@keys.command("new")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def new(as_json: bool) -> None:
    """Print a fresh set of secrets, ready for an environment file. They are shown once and kept nowhere."""
    fresh = fresh_secrets()
    click.echo(json.dumps(fresh) if as_json else "\n".join(f"{k}={v}" for k, v in fresh.items()))


def fresh_secrets() -> dict[str, str]:
    key_id = datetime.now(UTC).strftime("k%Y%m%d")
    return {
        "RESOLVER_MASTER_KEYS": f"{key_id}:{_key()}",
        "RESOLVER_INDEX_KEY": _key(),
        "RESOLVER_CALLER_TOKENS": f"backend:{secrets.token_urlsafe(32)}",
        "RESOLVER_TOKEN_SECRET": secrets.token_urlsafe(48),
    }


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()
