"""Whose signatures count: keys that were named, else this deployment's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from resolver.audit.signing import Signer, is_public_key
from resolver.config import Settings, load
from resolver.errors import SettingsError, Unavailable
from resolver.wiring import build_stores, public_keys

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _PublicKey(click.ParamType[str]):
    name = "key"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> str:
        if not is_public_key(str(value)):
            self.fail(
                f"{value!r} is no public key: `resolver keys status` shows ours, 32 bytes in base64.",
                parameter,
                context,
            )
        return str(value)


def public_key_option(command: _Command) -> _Command:
    help_ = "Accept signatures by this key (`keys status` shows it). Repeat for several."
    return click.option("--public-key", "keys", multiple=True, type=_PublicKey(), help=help_)(command)


def own_keys(settings: Settings) -> tuple[str, ...]:
    """Those of former index keys too, where Redis can be asked for them."""
    try:
        return public_keys(settings, build_stores(settings, replaying=True))
    except Unavailable:
        return (Signer(settings.index_key).public_key,)


def counting(given: tuple[str, ...]) -> tuple[str, ...]:
    """Without either there is nobody to believe."""
    if given:
        return given
    try:
        return own_keys(load())
    except SettingsError as error:
        raise click.ClickException(f"{error}\nWithout them, name a key: --public-key.") from None
