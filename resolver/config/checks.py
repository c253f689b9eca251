"""What only shows when all settings are looked at together: shared secrets, names that nobody reads."""

from __future__ import annotations

import difflib
from base64 import b64encode

from resolver.config.environment import Environment
from resolver.config.settings import SYMMETRIC, Settings, TokenSettings

_INSIDE_ALONE = ("VELT_AUTH_TOKEN", "RESOLVER_CALLER_TOKENS")


def refuse_shared_secrets(env: Environment, settings: Settings) -> None:
    """One secret, one use. Velt knows its own two, and browsers know the API key: whatever equals one of
    those would be theirs to use here."""
    masters = settings.master_keys.items()
    permission = settings.permission.token if settings.permission else None
    used = [
        ("VELT_API_KEY", settings.velt_api_key.reveal_bytes()),
        ("VELT_AUTH_TOKEN", settings.velt_auth_token.reveal_bytes() if settings.velt_auth_token else b""),
        *((f"RESOLVER_CALLER_TOKENS ({n})", s.reveal_bytes()) for n, s in settings.caller_tokens.items()),
        *((f"RESOLVER_MASTER_KEYS ({n})", b64encode(k.reveal_bytes())) for n, k in masters),
        ("RESOLVER_INDEX_KEY", b64encode(settings.index_key.reveal_bytes())),
        ("RESOLVER_TOKEN_SECRET", settings.token.secret.reveal_bytes() if settings.token.secret else b""),
        ("RESOLVER_METRICS_TOKEN", settings.metrics_token.reveal_bytes() if settings.metrics_token else b""),
        *((f"RESOLVER_PRIVACY_TOKENS ({n})", s.reveal_bytes()) for n, s in settings.privacy_tokens.items()),
        ("RESOLVER_PERMISSION_TOKEN", permission.reveal_bytes() if permission else b""),
    ]
    seen: dict[bytes, str] = {}
    for name, value in used:
        if value and (other := seen.setdefault(value, name)) != name:
            env.problem(name.partition(" ")[0], f"{name} equals {other}: every secret must be its own")


def warnings(
    env: Environment, token: TokenSettings, policy: str, *, is_callback_only: bool
) -> tuple[str, ...]:
    """What is probably not meant, but might be."""
    found = [*_unknown_names(env), *(_unneeded(env) if is_callback_only else ())]
    if token.secret and SYMMETRIC not in token.algorithms:
        found.append("RESOLVER_TOKEN_SECRET is without effect: RESOLVER_TOKEN_ALGORITHMS leaves out HS256")
    if token.has_provider and not (token.issuer and token.audience):
        found.append(
            "RESOLVER_TOKEN_ISSUER and RESOLVER_TOKEN_AUDIENCE should be set: a token that your identity "
            "provider made for another application would be believed here"
        )
    if policy != "document" and env.text("RESOLVER_PERMISSION_URL"):
        found.append("RESOLVER_PERMISSION_URL is asked under RESOLVER_READ_POLICY=document alone")
    return tuple(found)


def _unneeded(env: Environment) -> tuple[str, ...]:
    """Secrets that an instance which faces the internet does without."""
    given = [name for name in _INSIDE_ALONE if env.text(name) or env.text(f"{name}_FILE")]
    return tuple(
        f"{name} is without effect: this instance serves no backend and asks Velt nothing. Leave it out, so "
        f"that nobody can take it from here"
        for name in given
    )


def _unknown_names(env: Environment) -> tuple[str, ...]:
    """A misspelt variable is silently without effect; an orchestrator's own (RESOLVER_SERVICE_HOST) is not
    ours to refuse. So: a warning, with the name that was probably meant."""
    unknown = [
        name
        for prefix in ("RESOLVER_", "VELT_", "REDIS_")
        for name in env.names(prefix)
        if name not in env.known
    ]
    meant = {name: _closest(name, env.known) for name in unknown}
    return tuple(f"{name} is not a setting; {close} may be meant" for name, close in meant.items() if close)


def _closest(name: str, known: set[str]) -> str | None:
    if name.removeprefix("RESOLVER_") in known:
        return name.removeprefix("RESOLVER_")
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.8)), None)
