"""`resolver check`: check the deployment, one line per check. The exit status is 1 if one failed."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import click

from resolver.audit.sink import STANDARD
from resolver.auth.jwks import fetch
from resolver.cli.audit import chains_in, checkpoints_in
from resolver.cli.finding import Finding
from resolver.cli.keys import is_used, key_usage, usage_as_text
from resolver.cli.live import Target, probe_target, probed
from resolver.cli.terminal import counted, say_json
from resolver.config import Settings, load
from resolver.deadline import Deadline
from resolver.errors import (
    ServiceUnreachable,
    SettingsError,
    StoreUnavailable,
    UnknownSigner,
    VeltRefused,
    VeltUnavailable,
)
from resolver.notifications.add import looks_semantic
from resolver.store.diagnostics import RedisFacts, examine
from resolver.store.record import Record
from resolver.velt.client import CREDENTIALS, THROTTLED, VeltEndpoint
from resolver.wiring import build_stores, build_velt, is_unknown_signer

_SAMPLE = 1000
_NEEDED = ("settings", "redis", "vault", "velt", "audit")
"""Checks that must pass before a probe."""
_VELT_SECONDS = 10.0


@click.command()
@click.option("--live", is_flag=True, help="Also add a probe at Velt, examine it, and remove it.")
@click.option("--organization", help="With --live: the organization of the probe.")
@click.option("--document", help="With --live: the document of the probe.")
@click.option("--user", help="With --live: the only recipient of the probe.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="With --live: write a transcript to share, without content, ids or secrets.",
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def check(  # noqa: PLR0913, PLR0917 - a command's options
    live: bool,
    organization: str | None,
    document: str | None,
    user: str | None,
    report: Path | None,
    as_json: bool,
) -> None:
    """Check the settings, Redis and Velt. Exit status 0 if nothing failed, 1 otherwise. With --live, one
    notification is added at Velt with your keys: it shows what Velt stores, and how it answers."""
    target = probe_target(live, organization, document, user)
    if report and not live:
        raise click.UsageError("--report goes with --live.")
    if report:
        _require_writable(report)
    found = []
    # `closing` removes the probe even if printing fails, for example because a pipe was closed.
    with closing(_all(target, report)) as findings:
        for finding in findings:
            found.append(finding)
            if not as_json:
                finding.print()
    if as_json:
        say_json([finding.as_json() for finding in found])
    raise SystemExit(any(finding.outcome == "fail" for finding in found))


def _require_writable(report: Path) -> None:
    """Try to open the file before the probe adds anything at Velt. An earlier report in it is kept for
    now."""
    try:
        report.open("a", encoding="utf-8").close()
    except OSError as error:
        raise click.BadParameter(f"{report}: {error.strerror}", param_hint="--report") from None


def _all(target: Target | None, report: Path | None) -> Generator[Finding]:
    failed = False
    for finding in findings():
        failed = failed or (finding.outcome == "fail" and finding.about in _NEEDED)
        yield finding
    if target and failed:
        yield Finding("fail", "live", "not started: fix the problems above first")
    elif target and load().velt_auth_token is None:
        yield Finding("fail", "live", "not started: this instance has no VELT_AUTH_TOKEN to call Velt with")
    elif target:
        yield from probed(load(), target, report)


def findings() -> Iterator[Finding]:
    try:
        settings = load()
    except SettingsError as error:
        for problem in error.problems:
            yield Finding("fail", "settings", problem)
        return
    yield Finding("ok", "settings", f"complete, for {settings.mode}")
    for look in (_settings, _redis, _velt):
        yield from look(settings)


def _settings(settings: Settings) -> Iterator[Finding]:
    for warning in settings.warnings:
        yield Finding("warn", "settings", warning)
    if "callback" in settings.surfaces:
        if settings.token.secret is None and not settings.token.has_provider:
            readers = "only backends" if settings.knows_backends else "no one"
            yield Finding(
                "warn",
                "callback",
                f"no key to verify tokens with (RESOLVER_TOKEN_SECRET): {readers} can read",
            )
        yield from _key_set(settings)
        if not settings.cors_origins:
            yield Finding(
                "warn", "callback", "no RESOLVER_CORS_ORIGINS: browsers on another origin cannot read"
            )


def _key_set(settings: Settings) -> Iterator[Finding]:
    if not settings.token.jwks_url:
        return
    try:
        usable = fetch(settings.token.jwks_url, settings.token.jwks_ca_file, settings.outbound, _VELT_SECONDS)
    except ServiceUnreachable as error:
        yield Finding("fail", "callback", f"the key set cannot be fetched ({error.reason})")
        return
    outcome: Literal["ok", "fail"] = "ok" if usable else "fail"
    yield Finding(outcome, "callback", f"the key set has {usable} usable keys")


def _redis(settings: Settings) -> Iterator[Finding]:
    try:
        facts = examine(settings.redis_url)
    except StoreUnavailable as error:
        yield Finding("fail", "redis", f"cannot be reached ({error.reason})")
        return
    yield Finding("ok", "redis", f"version {facts.version}, reached as {facts.user}")
    yield from _judged(facts, settings.durability)
    if facts.claimed:
        yield from _store(settings)
    else:
        yield Finding("ok", "vault", "empty: the first process that uses it claims it for its index key")


def _signer(settings: Settings) -> Iterator[Finding]:
    if is_unknown_signer(settings, build_stores(settings)):
        yield Finding("fail", "audit", UnknownSigner.message)


def _durable(facts: RedisFacts, declared: str) -> Finding:
    """Compare what Redis does with what RESOLVER_DURABILITY declares."""
    if declared in ("managed", "none"):
        return Finding("ok", "redis", f"durability is {declared}, as declared")
    if not facts.append_only:
        return Finding("fail", "redis", "keeps no append-only file: a restart loses acknowledged writes")
    if declared == "aof-always" and facts.fsync not in ("always", "unknown"):
        return Finding("fail", "redis", f"appendfsync is {facts.fsync}, weaker than the declared aof-always")
    if facts.fsync == "unknown":
        assumed = f"{declared} is assumed, as declared" if declared else "aof-always is assumed"
        return Finding("ok", "redis", f"keeps an append-only file; appendfsync is not visible: {assumed}")
    return Finding("ok", "redis", f"keeps an append-only file (appendfsync {facts.fsync})")


def _judged(facts: RedisFacts, durability: str) -> Iterator[Finding]:
    if facts.eviction == "noeviction":
        yield Finding("ok", "redis", "evicts nothing")
    else:
        yield Finding(
            "fail", "redis", f"may evict content (maxmemory-policy is {facts.eviction}, not noeviction)"
        )
    yield _durable(facts, durability)
    if not facts.encrypted:
        yield Finding("warn", "redis", "is reached over the network without TLS (use rediss://)")
    if facts.user == "default":
        yield Finding("warn", "redis", "is used as the default user, which may do everything")


def _store(settings: Settings) -> Iterator[Finding]:
    store = build_stores(settings).store
    try:
        sample = list(itertools.islice(store.scan(), _SAMPLE))
    except StoreUnavailable as error:
        yield Finding("fail", "vault", error.reason)
        return
    yield Finding("ok", "vault", f"the database is ours; {len(sample)} records were examined")
    if store.unreadable:
        yield Finding(
            "fail",
            "vault",
            f"{counted(store.unreadable, 'record does', 'records do')} not open with these keys",
        )
    yield from _keys(settings)
    yield from _signer(settings)
    yield from _addresses(sample)
    yield from _semantic_ids(sample)
    yield from _erasures(settings)
    yield from trail(settings)
    yield from _outbox(settings)


def _keys(settings: Settings) -> Iterator[Finding]:
    for name, used in key_usage(settings, build_stores(settings)).items():
        total = usage_as_text(used)
        if name not in settings.master_keys:
            yield Finding("fail", "keys", f"{name!r} is not among the master keys and seals {total}")
        elif name == next(iter(settings.master_keys)):
            yield Finding("ok", "keys", f"{name} seals: {total}")
        elif is_used(used):
            yield Finding("warn", "keys", f"{name} still opens {total} (resolver keys rotate)")
        else:
            yield Finding("ok", "keys", f"{name} opens nothing any more and can be withdrawn")


def _outbox(settings: Settings) -> Iterator[Finding]:
    outbox = build_stores(settings).outbox
    depth = outbox.depth()
    if outbox.has_live_worker():
        yield Finding("ok", "outbox", f"a worker is alive; {depth.waiting} commands wait")
    elif depth.due:
        since = depth.oldest_ms // 1000
        yield Finding(
            "fail", "outbox", f"{depth.due} commands are due (for {since} s) and no worker is alive"
        )
    else:
        yield Finding(
            "warn", "outbox", "no worker is alive: commands that Velt can't take at once would stay queued"
        )
    if depth.dead:
        yield Finding("warn", "outbox", f"{depth.dead} dead letters (resolver outbox dead)")


def _erasures(settings: Settings) -> Iterator[Finding]:
    if under_way := len(build_stores(settings).erasure_store.under_way()):
        yield Finding("ok", "privacy", f"{under_way} erasures are open (resolver privacy status)")
    if settings.certificate_dir:
        yield Finding("ok", "privacy", "erasure certificates are kept outside Redis, which knows them all")
    elif settings.mode == "production":
        yield Finding(
            "warn",
            "privacy",
            "no RESOLVER_CERTIFICATE_DIR: a restored backup would bring erased people back, unnoticed",
        )


def _addresses(sample: list[Record]) -> Iterator[Finding]:
    """Warn if user ids look like e-mail addresses: every user id is sent to Velt."""
    seen = {user for record in sample for user in (record.actor, *record.audience)}
    if addresses := sum("@" in user for user in seen):
        yield Finding(
            "warn",
            "privacy",
            f"{addresses} of {len(seen)} user ids look like e-mail addresses, and Velt receives user ids",
        )


def _refused(refusal: VeltRefused) -> Finding:
    """Classify a refusal: only some statuses mean that the credentials are wrong."""
    status = refusal.status[:40]
    if refusal.status in CREDENTIALS:
        return Finding("fail", "velt", f"refuses our credentials ({status})")
    if refusal.status == THROTTLED:
        return Finding("warn", "velt", f"limits our calls ({status}): our credentials were not checked")
    return Finding("fail", "velt", f"refuses to show the workspace's settings ({status})")


def _semantic_ids(sample: list[Record]) -> Iterator[Finding]:
    """Warn if notification ids have a meaning: Velt receives them, and they can be guessed."""
    semantic = sum(looks_semantic(record.notification) for record in sample)
    # About two in a thousand random ids look semantic too.
    if semantic * 20 > len(sample):
        yield Finding(
            "warn",
            "privacy",
            f"{semantic} of {len(sample)} notification ids look as if they had a meaning, and Velt receives "
            "them: send an Idempotency-Key instead, or omit the id",
        )


def _velt(settings: Settings) -> Iterator[Finding]:
    if settings.velt_auth_token is None:
        yield Finding("ok", "velt", "is never called by this instance, which serves only the callback")
        return
    client = build_velt(settings)
    try:
        client.post(VeltEndpoint.WORKSPACE_GET, {}, Deadline.after(_VELT_SECONDS))
    except VeltRefused as refusal:
        yield _refused(refusal)
    except VeltUnavailable as error:
        yield Finding("fail", "velt", f"cannot be reached ({error.reason})")
    else:
        yield Finding("ok", "velt", f"accepts our credentials ({settings.velt_api_url})")


def trail(settings: Settings) -> Iterator[Finding]:
    """Check where the audit trail goes, and whether other processes write to another file: `audit verify`
    needs both."""
    if settings.audit_log == STANDARD:
        yield Finding("ok", "audit", "goes to standard output (of commands: standard error): keep both")
        return
    recent = {
        name for name, kept in checkpoints_in(build_stores(settings)).items() if kept.at >= _yesterday()
    }
    try:
        elsewhere = recent - _kept_in(Path(settings.audit_log))
    except OSError as error:
        # Without a writable trail every request is refused.
        yield Finding("fail", "audit", f"goes to {settings.audit_log}: {error.strerror}")
        return
    yield Finding("ok", "audit", f"goes to {settings.audit_log}")
    if elsewhere:
        processes = counted(len(elsewhere), "process", "processes")
        where = "a rotated file, another host's, or another RESOLVER_AUDIT_LOG"
        yield Finding(
            "ok",
            "audit",
            f"{processes} wrote elsewhere since yesterday: {where}. `audit verify` needs those files too",
        )


def _kept_in(log: Path) -> set[str]:
    """Return the chains in the file; none if it doesn't exist yet. Raises OSError if it can't be written."""
    exists = log.exists()
    place = log if exists else log.parent
    place.stat()  # raises its own error for a missing directory
    if not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, "this user may not write there")
    return chains_in(log) if exists else set()


def _yesterday() -> str:
    return (datetime.now(UTC) - timedelta(days=1)).isoformat()
