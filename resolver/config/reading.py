"""Read and check the settings."""

from __future__ import annotations

import difflib
import os
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

from resolver.config import callbacks, outbound, redis_url
from resolver.config.callbacks import SMALLEST_SECRET
from resolver.config.environment import MADE_HERE, Environment
from resolver.config.processes import read_processes
from resolver.config.secret import Secret
from resolver.config.settings import INSIDE, SYMMETRIC, Settings, TokenSettings
from resolver.errors import SettingsError

_NOT_FOR_THE_INTERNET = ("VELT_AUTH_TOKEN", "RESOLVER_CALLER_TOKENS")
DURABILITIES = ("aof-always", "aof-everysec", "managed", "none")
_IN_VELT_CONSOLE = "from Velt's console"
SURFACES = ("callback", "mirror", "token", "privacy", "metrics", "docs")


def load(variables: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment. Raises SettingsError with all problems."""
    variables = os.environ if variables is None else variables
    env = Environment(variables)
    settings = _read(env)
    _refuse_shared_secrets(env, settings)
    if env.problems:
        raise SettingsError(env.problems)
    return settings


def _read(env: Environment) -> Settings:
    mode = env.choice("RESOLVER_MODE", "production", ("production", "development"))
    https_only = mode == "production"
    token = callbacks.token(env, https_only=https_only)
    permission = callbacks.permission(env, https_only=https_only)
    read_policy = env.choice("RESOLVER_READ_POLICY", "recipient", ("recipient", "document", "organization"))
    callbacks.refuse_impossible_policy(env, read_policy, permission, token.documents_claim)
    surfaces = _surfaces(env, mode)
    worker = env.choice("RESOLVER_WORKER", "embedded", ("embedded", "separate"))
    # Such an instance serves only end users, and other processes call Velt.
    is_callback_only = surfaces.isdisjoint(INSIDE) and worker == "separate"
    return Settings(
        mode=cast(Literal["production", "development"], mode),
        velt_api_url=env.url("VELT_API_URL", "https://api.velt.dev", https_only=https_only),
        velt_api_key=env.secret("VELT_API_KEY", required=_IN_VELT_CONSOLE) or Secret(b""),
        velt_auth_token=env.secret("VELT_AUTH_TOKEN", required="" if is_callback_only else _IN_VELT_CONSOLE),
        caller_tokens=env.named_secrets(
            "RESOLVER_CALLER_TOKENS",
            required="" if is_callback_only else MADE_HERE,
            minimum=SMALLEST_SECRET,
        ),
        redis_url=_redis_url(env),
        redis_wait=env.whole("RESOLVER_REDIS_WAIT", 0, 0, 10),
        master_keys=env.named_keys("RESOLVER_MASTER_KEYS"),
        index_key=env.key("RESOLVER_INDEX_KEY"),
        signing_keys=env.keys("RESOLVER_SIGNING_KEY"),
        token=token,
        metrics_token=env.secret("RESOLVER_METRICS_TOKEN", minimum=SMALLEST_SECRET),
        privacy_tokens=env.named_secrets("RESOLVER_PRIVACY_TOKENS", required="", minimum=SMALLEST_SECRET),
        read_policy=cast(Literal["recipient", "document", "organization"], read_policy),
        delete_policy=cast(
            Literal["recipient", "actor", "backend"],
            env.choice("RESOLVER_DELETE_POLICY", "recipient", ("recipient", "actor", "backend")),
        ),
        permission=permission,
        outbound=outbound.read(env),
        withheld_headline=callbacks.withheld_headline(env),
        rate_limit=callbacks.rate_limit(env),
        cors_origins=callbacks.cors_origins(env),
        registration=cast(
            Literal["inline", "deferred"],
            env.choice("RESOLVER_REGISTRATION", "inline", ("inline", "deferred")),
        ),
        worker=cast(Literal["embedded", "separate"], worker),
        outbox_max_attempts=env.whole("RESOLVER_OUTBOX_MAX_ATTEMPTS", 50, 1, 10_000),
        durability=_durability(env),
        deadline_ms=env.whole("RESOLVER_DEADLINE_MS", 2000, 1000, 30_000),
        retention_days=env.whole("RESOLVER_RETENTION_DAYS", 90, 0, 36_500),
        people=cast(
            Literal["full", "reference"], env.choice("RESOLVER_PEOPLE", "full", ("full", "reference"))
        ),
        surfaces=surfaces,
        audit_log=env.text("RESOLVER_AUDIT_LOG", "-"),
        certificate_dir=_directory(env, "RESOLVER_CERTIFICATE_DIR"),
        trusted_proxies=env.whole("RESOLVER_TRUSTED_PROXIES", 0, 0, 10),
        **read_processes(env)._asdict(),
        dev_state=env.text("RESOLVER_DEV_STATE"),
        log_level=env.choice("RESOLVER_LOG_LEVEL", "info", ("debug", "info", "warning", "error")),
        log_format=cast(
            Literal["json", "console"], env.choice("RESOLVER_LOG_FORMAT", "json", ("json", "console"))
        ),
        warnings=_warnings(env, token, read_policy, is_callback_only=is_callback_only),
    )


def _redis_url(env: Environment) -> Secret:
    url = env.secret("REDIS_URL") or Secret.of("redis://127.0.0.1:6379/0")
    try:
        redis_url.parse(url.reveal())
    except ValueError as problem:
        env.problem("REDIS_URL", str(problem))
    return url


def _directory(env: Environment, name: str) -> str:
    path = env.text(name)
    if path and not (Path(path).is_dir() and os.access(path, os.R_OK | os.X_OK)):
        env.problem(name, "is not a readable directory")
    return path


def _durability(env: Environment) -> str:
    if not env.text("RESOLVER_DURABILITY"):
        return ""
    return env.choice("RESOLVER_DURABILITY", "", DURABILITIES)


def _surfaces(env: Environment, mode: str) -> frozenset[str]:
    # In production the description is served only if RESOLVER_SURFACES names it.
    usual = ",".join(s for s in SURFACES if s != "docs" or mode == "development")
    chosen = env.items("RESOLVER_SURFACES", usual)
    if strangers := sorted(set(chosen) - set(SURFACES)):
        env.problem("RESOLVER_SURFACES", f"unknown: {', '.join(strangers)} (of {', '.join(SURFACES)})")
    if not chosen:
        env.problem("RESOLVER_SURFACES", "names no surface")
    return frozenset(chosen)


def _refuse_shared_secrets(env: Environment, settings: Settings) -> None:
    """Refuse a secret with two uses. Velt knows its own two, and browsers know the API key: a secret equal to
    one of these would give them access."""
    masters, signing = settings.master_keys.items(), enumerate(settings.signing_keys, start=1)
    permission = settings.permission.token if settings.permission else None
    used = [
        ("VELT_API_KEY", settings.velt_api_key.reveal_bytes()),
        ("VELT_AUTH_TOKEN", settings.velt_auth_token.reveal_bytes() if settings.velt_auth_token else b""),
        *((f"RESOLVER_CALLER_TOKENS ({n})", s.reveal_bytes()) for n, s in settings.caller_tokens.items()),
        *((f"RESOLVER_MASTER_KEYS ({n})", b64encode(k.reveal_bytes())) for n, k in masters),
        ("RESOLVER_INDEX_KEY", b64encode(settings.index_key.reveal_bytes())),
        *((f"RESOLVER_SIGNING_KEY ({n})", b64encode(k.reveal_bytes())) for n, k in signing),
        ("RESOLVER_TOKEN_SECRET", settings.token.secret.reveal_bytes() if settings.token.secret else b""),
        ("RESOLVER_METRICS_TOKEN", settings.metrics_token.reveal_bytes() if settings.metrics_token else b""),
        *((f"RESOLVER_PRIVACY_TOKENS ({n})", s.reveal_bytes()) for n, s in settings.privacy_tokens.items()),
        ("RESOLVER_PERMISSION_TOKEN", permission.reveal_bytes() if permission else b""),
    ]
    seen: dict[bytes, str] = {}
    for name, value in used:
        if value and (other := seen.setdefault(value, name)) != name:
            env.problem(name.partition(" ")[0], f"{name} equals {other}: every secret must be its own")


def _warnings(
    env: Environment, token: TokenSettings, policy: str, *, is_callback_only: bool
) -> tuple[str, ...]:
    """List settings that are probably mistakes."""
    found = [*_unknown_names(env), *(_unneeded(env) if is_callback_only else ())]
    if token.secret and SYMMETRIC not in token.algorithms:
        found.append("RESOLVER_TOKEN_SECRET has no effect: RESOLVER_TOKEN_ALGORITHMS lacks HS256")
    if token.has_provider and not (token.issuer and token.audience):
        found.append(
            "RESOLVER_TOKEN_ISSUER and RESOLVER_TOKEN_AUDIENCE should be set: otherwise tokens that your "
            "identity provider issued for other applications are accepted"
        )
    if policy != "document" and env.text("RESOLVER_PERMISSION_URL"):
        found.append("RESOLVER_PERMISSION_URL has an effect only with RESOLVER_READ_POLICY=document")
    return tuple(found)


def _unneeded(env: Environment) -> tuple[str, ...]:
    """Warn of secrets that an instance facing the internet doesn't need."""
    given = [name for name in _NOT_FOR_THE_INTERNET if env.text(name) or env.text(f"{name}_FILE")]
    return tuple(
        f"{name} has no effect: this instance neither serves backends nor calls Velt. Remove it, so that it "
        f"can't be stolen from here"
        for name in given
    )


def _unknown_names(env: Environment) -> tuple[str, ...]:
    """Warn of misspelt variables, with the probable name. They can't be refused: an orchestrator sets its
    own, such as RESOLVER_SERVICE_HOST."""
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
