"""`resolver check`: is this deployment right? One line for each thing looked at; the exit status sums up."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import click

from resolver.auth.jwks import fetch
from resolver.cli.check_trail import trail
from resolver.cli.finding import Finding
from resolver.cli.keys import is_used, key_usage, usage_as_text
from resolver.cli.live import Where, meant, probed
from resolver.cli.terminal import say_json
from resolver.cli.words import counted
from resolver.config import Settings, load
from resolver.deadline import Deadline
from resolver.errors import ServiceUnreachable, SettingsError, StoreUnavailable, VeltRefused, VeltUnavailable
from resolver.notifications.add import looks_semantic
from resolver.store.diagnostics import RedisFacts, examine
from resolver.store.record import Record
from resolver.velt.client import CREDENTIALS, THROTTLED, Endpoint
from resolver.wiring import build_stores, build_velt

_SAMPLE = 1000
_NEEDED = ("settings", "redis", "vault", "velt", "audit")
"""By a probe."""
_VELT_SECONDS = 10.0


@click.command()
@click.option("--live", is_flag=True, help="Also add a probe at Velt, look at it, and remove it.")
@click.option("--organization", help="With --live: the organization of the probe.")
@click.option("--document", help="With --live: the document of the probe.")
@click.option("--user", help="With --live: the only recipient of the probe.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="With --live: a transcript without content, ids or secrets, to share.",
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
    """Look at the settings, Redis and Velt. Exit status 0 when nothing failed, 1 otherwise. With --live one
    notification is added at Velt, with your keys: it shows what Velt stores, and how it answers."""
    where = meant(live, organization, document, user)
    if report and not live:
        raise click.UsageError("--report goes with --live.")
    if report:
        _require_writable(report)
    found = []
    # Closed at once, whatever ends the telling: a pipe that is closed too leaves no probe behind.
    with closing(_all(where, report)) as findings:
        for finding in findings:
            found.append(finding)
            if not as_json:
                finding.tell()
    if as_json:
        say_json([finding.as_json() for finding in found])
    raise SystemExit(any(finding.outcome == "fail" for finding in found))


def _require_writable(report: Path) -> None:
    """Open the file before the probe, which adds a notification at Velt. An earlier report in it stays until
    there is a new one."""
    try:
        report.open("a", encoding="utf-8").close()
    except OSError as error:
        raise click.BadParameter(f"{report}: {error.strerror}", param_hint="--report") from None


def _all(where: Where | None, report: Path | None) -> Generator[Finding]:
    failed = False
    for finding in findings():
        failed = failed or (finding.outcome == "fail" and finding.about in _NEEDED)
        yield finding
    if where and failed:
        yield Finding("fail", "live", "not begun: mend the above first")
    elif where and load().velt_auth_token is None:
        yield Finding("fail", "live", "not begun: this instance has no VELT_AUTH_TOKEN to ask Velt with")
    elif where:
        yield from probed(load(), where, report)


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
            readers = "only backends" if settings.knows_backends else "nobody"
            yield Finding(
                "warn",
                "callback",
                f"no key to believe tokens by (RESOLVER_TOKEN_SECRET): {readers} can read",
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
        yield Finding("fail", "callback", f"the key set cannot be had ({error.reason})")
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
        yield Finding("ok", "vault", "empty: the first process to use it will claim it for its index key")


def _durable(facts: RedisFacts, declared: str) -> Finding:
    """What the Redis does, beside what RESOLVER_DURABILITY says it does."""
    if declared in ("managed", "none"):
        return Finding("ok", "redis", f"durability is {declared}, as declared")
    if not facts.append_only:
        return Finding("fail", "redis", "keeps no append-only file: a restart loses what was acknowledged")
    if declared == "aof-always" and facts.fsync not in ("always", "unknown"):
        return Finding("fail", "redis", f"appendfsync is {facts.fsync}, weaker than the declared aof-always")
    if facts.fsync == "unknown":
        word = f"your word is taken, {declared}" if declared else "aof-always is hoped for"
        return Finding(
            "ok", "redis", f"keeps an append-only file; how often it is flushed isn't shown: {word}"
        )
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
        yield Finding("warn", "redis", "is used as the default user, who may do everything")


def _store(settings: Settings) -> Iterator[Finding]:
    store = build_stores(settings).store
    try:
        sample = list(itertools.islice(store.scan(), _SAMPLE))
    except StoreUnavailable as error:
        yield Finding("fail", "vault", error.reason)
        return
    yield Finding("ok", "vault", f"the database is ours; {len(sample)} records looked at")
    if store.unreadable:
        yield Finding(
            "fail",
            "vault",
            f"{counted(store.unreadable, 'record does', 'records do')} not open with these keys",
        )
    yield from _keys(settings)
    yield from _addresses(sample)
    yield from _telling_ids(sample)
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
            "warn", "outbox", "no worker is alive: what Velt can't take at once would wait for ever"
        )
    if depth.dead:
        yield Finding("warn", "outbox", f"{depth.dead} commands were given up (resolver outbox dead)")


def _erasures(settings: Settings) -> Iterator[Finding]:
    if under_way := len(build_stores(settings).erasure_store.under_way()):
        yield Finding("ok", "privacy", f"{under_way} erasures are under way (resolver privacy status)")
    if settings.certificate_dir:
        yield Finding("ok", "privacy", "certificates are kept outside Redis, which knows them all")
    elif settings.mode == "production":
        yield Finding(
            "warn",
            "privacy",
            "no RESOLVER_CERTIFICATE_DIR: with a restored backup the erased would be back, unnoticed",
        )


def _addresses(sample: list[Record]) -> Iterator[Finding]:
    """Velt is sent every user id. Whoever uses addresses as ids hands them over after all."""
    seen = {user for record in sample for user in (record.actor, *record.audience)}
    if addresses := sum("@" in user for user in seen):
        yield Finding(
            "warn",
            "privacy",
            f"{addresses} of {len(seen)} user ids look like e-mail addresses, and Velt receives user ids",
        )


def _refused(refusal: VeltRefused) -> Finding:
    """Only a refusal of the credentials says that they are wrong."""
    status = refusal.status[:40]
    if refusal.status in CREDENTIALS:
        return Finding("fail", "velt", f"refuses our credentials ({status})")
    if refusal.status == THROTTLED:
        return Finding("warn", "velt", f"asks us to slow down ({status}): it says nothing of our credentials")
    return Finding("fail", "velt", f"refuses to show the workspace's settings ({status})")


def _telling_ids(sample: list[Record]) -> Iterator[Finding]:
    """Velt reads notification ids, and an id that says what it is about can be guessed."""
    sender = sum(looks_semantic(record.notification) for record in sample)
    # Of random ids, two in a thousand look so as well.
    if sender * 20 > len(sample):
        yield Finding(
            "warn",
            "privacy",
            f"{sender} of {len(sample)} notification ids look as if they say what they are about, and Velt "
            "receives them: send an Idempotency-Key instead, or leave the id out",
        )


def _velt(settings: Settings) -> Iterator[Finding]:
    if settings.velt_auth_token is None:
        yield Finding("ok", "velt", "is never asked by this instance, which serves the callback alone")
        return
    client = build_velt(settings)
    try:
        client.post(Endpoint.WORKSPACE_GET, {}, Deadline.after(_VELT_SECONDS))
    except VeltRefused as refusal:
        yield _refused(refusal)
    except VeltUnavailable as error:
        yield Finding("fail", "velt", f"cannot be reached ({error.reason})")
    else:
        yield Finding("ok", "velt", f"takes our credentials ({settings.velt_api_url})")
