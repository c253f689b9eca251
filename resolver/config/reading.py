"""Reads the settings from the environment; `load` names every problem at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

from resolver.config import callbacks, checks, outbound, redis_url
from resolver.config.callbacks import SMALLEST_SECRET
from resolver.config.environment import MADE_HERE, Environment
from resolver.config.processes import read_processes
from resolver.config.secret import Secret
from resolver.config.settings import INSIDE, Settings
from resolver.errors import SettingsError

DURABILITIES = ("aof-always", "aof-everysec", "managed", "none")
_IN_VELTS_CONSOLE = "from Velt's console"
SURFACES = ("callback", "mirror", "token", "privacy", "metrics", "docs")


def load(variables: Mapping[str, str] | None = None) -> Settings:
    """Raises SettingsError with every problem there is."""
    variables = os.environ if variables is None else variables
    env = Environment(variables)
    settings = _read(env)
    checks.refuse_shared_secrets(env, settings)
    if env.problems:
        raise SettingsError(env.problems)
    return settings


def _read(env: Environment) -> Settings:
    mode = env.choice("RESOLVER_MODE", "production", ("production", "development"))
    https_only = mode == "production"
    token = callbacks.token(env, https_only=https_only)
    permission = callbacks.permission(env, https_only=https_only)
    read_policy = env.choice("RESOLVER_READ_POLICY", "recipient", ("recipient", "document", "organization"))
    callbacks.refuse_a_policy_that_cannot_be_kept(env, read_policy, permission, token.documents_claim)
    surfaces = _surfaces(env, mode)
    worker = env.choice("RESOLVER_WORKER", "embedded", ("embedded", "separate"))
    # Then nobody calls but end users, and Velt is asked by processes elsewhere.
    is_callback_only = surfaces.isdisjoint(INSIDE) and worker == "separate"
    return Settings(
        mode=cast(Literal["production", "development"], mode),
        velt_api_url=env.url("VELT_API_URL", "https://api.velt.dev", https_only=https_only),
        velt_api_key=env.secret("VELT_API_KEY", required=_IN_VELTS_CONSOLE) or Secret(b""),
        velt_auth_token=env.secret("VELT_AUTH_TOKEN", required="" if is_callback_only else _IN_VELTS_CONSOLE),
        caller_tokens=env.named_secrets(
            "RESOLVER_CALLER_TOKENS",
            required="" if is_callback_only else MADE_HERE,
            minimum=SMALLEST_SECRET,
        ),
        redis_url=_redis_url(env),
        redis_wait=env.whole("RESOLVER_REDIS_WAIT", 0, 0, 10),
        master_keys=env.named_keys("RESOLVER_MASTER_KEYS"),
        index_key=env.key("RESOLVER_INDEX_KEY"),
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
        warnings=checks.warnings(env, token, read_policy, is_callback_only=is_callback_only),
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
        env.problem(name, "is no directory that can be read")
    return path


def _durability(env: Environment) -> str:
    if not env.text("RESOLVER_DURABILITY"):
        return ""
    return env.choice("RESOLVER_DURABILITY", "", DURABILITIES)


def _surfaces(env: Environment, mode: str) -> frozenset[str]:
    # A description helps whoever builds against it; on the internet only whoever says so gets to serve it.
    usual = ",".join(s for s in SURFACES if s != "docs" or mode == "development")
    chosen = env.items("RESOLVER_SURFACES", usual)
    if strangers := sorted(set(chosen) - set(SURFACES)):
        env.problem("RESOLVER_SURFACES", f"unknown: {', '.join(strangers)} (of {', '.join(SURFACES)})")
    if not chosen:
        env.problem("RESOLVER_SURFACES", "names no surface")
    return frozenset(chosen)
