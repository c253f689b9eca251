"""`resolver evidence`: what an auditor asks for every quarter, in one file."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import click

from resolver import __version__
from resolver.audit.signing import Signer
from resolver.audit.verify import Verifier
from resolver.cli.audit import FILES, anchors_in, in_order, summary
from resolver.cli.check import findings
from resolver.cli.keys import key_usage
from resolver.cli.on_record import on_record
from resolver.privacy.erasures import Erasures
from resolver.secret import Secret
from resolver.services import Stores, build_erasures, build_stores, public_keys
from resolver.settings import Settings, load

JSON = dict[str, Any]
_SPAN = {"d": 1, "w": 7, "y": 365}
_NUMBER = re.compile(r"[0-9]{1,6}")
_LONGEST_DAYS = 36_500


class _Since(click.ParamType[timedelta]):
    name = "span"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> timedelta:
        number, unit = str(value)[:-1], str(value)[-1:]
        if not _NUMBER.fullmatch(number) or unit not in _SPAN:
            self.fail(f"{value!r} is not a span such as 90d, 12w or 1y", parameter, context)
        days = int(number) * _SPAN[unit]
        if days > _LONGEST_DAYS:
            self.fail(f"{value!r} is longer than a hundred years", parameter, context)
        return timedelta(days=days)


@click.command()
@click.option("--since", default="90d", show_default=True, type=_Since(), help="How far back: 90d, 12w, 1y.")
@click.option("--audit", "trails", multiple=True, type=FILES, help="Files of the audit trail to verify.")
@click.option("-o", "output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="FILE.zip")
def evidence(since: timedelta, trails: tuple[Path, ...], output: Path) -> None:
    """Write what an auditor asks for: settings (secrets as digests), keys and their ages, erasures with their
    certificates, the oldest record, what `check` finds, whether the audit trail is whole, what this is made
    of. `manifest.json` lists every part's digest, and is signed."""
    settings = load()
    stores = build_stores(settings)
    on_record(settings, stores, "evidence")
    began = datetime.now(UTC) - since
    parts = {name: _bytes(part) for name, part in _parts(settings, stores, trails, began)}
    manifest = _bytes(_manifest(parts, began))
    signature = Signer(settings.index_key).sign(_signed_text(manifest)).encode()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in {**parts, "manifest.json": manifest, "manifest.json.sig": signature}.items():
            archive.writestr(name, part)
    click.echo(f"{output}: {len(parts)} parts, signed by {Signer(settings.index_key).public_key}")


def _parts(
    settings: Settings, stores: Stores, trails: tuple[Path, ...], began: datetime
) -> Iterator[tuple[str, Any]]:
    yield "settings.json", _settings(settings, stores)
    own, *former = public_keys(settings, stores)
    yield (
        "keys.json",
        {
            "masterKeys": key_usage(settings, stores),
            "publicKey": own,
            "formerPublicKeys": former,
        },
    )
    erasures = list(_erasures(build_erasures(settings, stores), began))
    yield "erasures.json", erasures
    yield "records.json", _records(settings, stores)
    yield "check.json", [asdict(finding) for finding in findings()]
    yield "audit.json", _audit(settings, stores, trails, began)
    yield "made-of.json", {found.name: found.version for found in distributions()}


def _settings(settings: Settings, stores: Stores) -> JSON:
    """Two quarters' digests of one secret are equal while it is, and tell nothing of it to anybody else."""

    def shown(value: Any) -> Any:
        if isinstance(value, Secret):
            digest = hashlib.sha256(value.reveal_bytes()).hexdigest()
            return f"digest {stores.keyspace.blinded(f'setting {digest}')}"
        if isinstance(value, frozenset | tuple):
            return sorted(map(str, value))
        if hasattr(value, "items"):
            return {name: shown(inner) for name, inner in value.items()}
        if hasattr(value, "__dataclass_fields__"):
            return {field.name: shown(getattr(value, field.name)) for field in fields(value)}
        return value if isinstance(value, str | int | float | bool | None) else str(value)

    found: JSON = shown(settings)
    return found


def _erasures(erasures: Erasures, began: datetime) -> Iterator[JSON]:
    for found in erasures.all():
        finished = found.get("certificate", {}).get("certificate", {}).get("finishedAt")
        if finished is None or datetime.fromisoformat(finished) >= began:
            yield found


def _records(settings: Settings, stores: Stores) -> JSON:
    count, oldest, organizations = 0, 0, Counter[str]()
    for record in stores.vault.scan():
        count += 1
        organizations[record.organization] += 1
        if record.created:
            oldest = min(oldest or record.created, record.created)
    days = (datetime.now(UTC).timestamp() - oldest / 1000) / 86_400 if oldest else 0
    return {
        "records": count,
        "organizations": len(organizations),
        "unreadable": stores.vault.unreadable,
        "oldestAddedAt": _time(oldest) if oldest else None,
        "oldestInDays": round(days, 1),
        "retentionDays": settings.retention_days,
        "withinRetention": not settings.retention_days or days <= settings.retention_days,
    }


def _audit(settings: Settings, stores: Stores, trails: tuple[Path, ...], began: datetime) -> JSON:
    configured = Path(settings.audit_log)
    files = trails or ((configured,) if configured.is_file() else ())
    if not files:
        return {"verified": False, "why": "no file of the audit trail was given (--audit)"}
    verifier = Verifier(public_keys(settings, stores), anchors_in(stores))
    outcomes: Counter[str] = Counter()
    for path in in_order(files):
        with path.open("rb") as lines:
            verifier.read(path.name, _counted(lines, outcomes, began))
    verifier.finish()
    return {"verified": True, "files": [p.name for p in files], "events": outcomes, **summary(verifier)}


def _counted(lines: Iterator[bytes], outcomes: Counter[str], began: datetime) -> Iterator[bytes]:
    """What happened in that time, by surface, action and outcome."""
    for line in lines:
        yield line
        try:
            entry = json.loads(line)
            if "outcome" in entry and datetime.fromisoformat(entry["at"]) >= began:
                outcomes[f"{entry['surface']} {entry['action']} {entry['outcome']}"] += 1
        except (ValueError, TypeError, KeyError):
            continue  # the verifier names it


def _manifest(parts: dict[str, bytes], began: datetime) -> JSON:
    return {
        "made": _time(datetime.now(UTC).timestamp() * 1000),
        "since": _time(began.timestamp() * 1000),
        "version": __version__,
        "parts": {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()},
    }


def _signed_text(manifest: bytes) -> bytes:
    return b"vnr evidence\n" + manifest


def _time(milliseconds: float) -> str:
    return (
        datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    )


def _bytes(part: Any) -> bytes:
    return json.dumps(part, indent=2, default=str).encode()
