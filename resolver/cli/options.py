"""Option types: identifiers and public keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from resolver.audit.signing import Signer, is_public_key
from resolver.config import Settings, load
from resolver.errors import SettingsError, Unavailable
from resolver.validation.fields import LONGEST_ID, is_identifier, is_valid_unicode
from resolver.wiring import build_stores, public_keys


class _Identifier(click.ParamType[str]):
    name = "text"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> str:
        if not is_valid_unicode(str(value)):
            self.fail("this is not valid Unicode, and no id is so.", parameter, context)
        if not is_identifier(str(value)):
            # A script's unset variable must not count as an omitted option.
            self.fail(f"an id has 1 to {LONGEST_ID} characters.", parameter, context)
        return str(value)


IDENTIFIER = _Identifier()


_Command = TypeVar("_Command", bound=Callable[..., Any])


class _PublicKey(click.ParamType[str]):
    name = "key"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> str:
        if not is_public_key(str(value)):
            self.fail(
                f"{value!r} is no public key: `resolver keys status` shows yours, 32 bytes in base64.",
                parameter,
                context,
            )
        return str(value)


def public_key_option(command: _Command) -> _Command:
    help_ = "Accept signatures by this key (`keys status` shows it). Repeat for several."
    return click.option("--public-key", "keys", multiple=True, type=_PublicKey(), help=help_)(command)


def own_keys(settings: Settings) -> tuple[str, ...]:
    """Return this deployment's public keys, including those of former signing keys if Redis answers."""
    try:
        return public_keys(settings, build_stores(settings, replaying=True))
    except Unavailable:
        return Signer(settings.signing_keys).public_keys


def accepted_keys(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return the given public keys, else this deployment's own. Raises ClickException without either."""
    if given:
        return given
    try:
        return own_keys(load())
    except SettingsError as error:
        raise click.ClickException(f"{error}\nWithout settings, give a key: --public-key.") from None
