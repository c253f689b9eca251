"""`resolver evidence`: write and verify a signed zip file for auditors."""

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
from typing import Any, NamedTuple

import click

from resolver import __version__, clock
from resolver.audit.signing import Signer
from resolver.audit.verify import Verifier
from resolver.cli import manifest as manifests
from resolver.cli.audit import FILES, UNSIGNED_STATUS, Ends, checkpoints_in, in_order, summary
from resolver.cli.auditing import audit_command
from resolver.cli.check import findings
from resolver.cli.keys import key_usage
from resolver.cli.options import accepted_keys, public_key_option
from resolver.cli.terminal import counted, say
from resolver.config import Settings, load
from resolver.config.secret import Secret
from resolver.privacy.erasures import TAMPERED, Erasures
from resolver.wiring import Stores, build_erasures, build_stores, public_keys

JSON = dict[str, Any]
_FILE = click.Path(dir_okay=False, path_type=Path)
_TRAIL, _ERASURES = "audit.json", "erasures.json"
_SPAN = {"d": 1, "w": 7, "y": 365}
_NUMBER = re.compile(r"[0-9]{1,6}")
_LONGEST_DAYS = 36_500
_MARKS = {0: "note", 1: "FAIL", UNSIGNED_STATUS: "UNSIGNED"}


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


class _Problem(NamedTuple):
    text: str
    status: int = 1
    """The exit status it leads to, unless another finding is graver."""


@click.command()
@click.option("--since", default="90d", show_default=True, type=_Since(), help="How far back: 90d, 12w, 1y.")
@click.option("--audit", "trails", multiple=True, type=FILES, help="Files of the audit trail to verify.")
@click.option("-o", "output", type=_FILE, help="Write this zip file.")
@click.option("--verify", "given", type=FILES, help="Verify such a zip file instead, offline.")
@public_key_option
def evidence(
    since: timedelta, trails: tuple[Path, ...], output: Path | None, given: Path | None, keys: tuple[str, ...]
) -> None:
    """Write a zip file for auditors, or verify one. It holds: the settings (secrets as digests), keys and
    their ages, erasures with their erasure certificates, the age of the oldest record, the findings of
    `check`, the state of the audit trail, and the versions of all packages. Its `manifest.json` lists the
    digest of every part and is signed. Exit status 1 if the trail is not whole or an erasure certificate is
    invalid; 3 if the trail is whole but has unsigned lines. The file is written in these cases too, and
    records the problem."""
    if (output is None) is (given is None):
        raise click.UsageError("Say either -o FILE.zip, to write a file, or --verify FILE.zip.")
    if given:
        _verify(given, accepted_keys(keys))
    elif output:
        _write(output, since, trails)


def _verify(path: Path, keys: tuple[str, ...]) -> None:
    """Verify the signature, and report the problems that the file records."""
    manifest, problems = manifests.checked(path, keys)
    for problem in problems:
        say(f"FAIL  {problem}", fg="red")
    if problems:
        raise SystemExit(1)
    say(f"ok    {len(manifest['parts'])} parts, as they were signed at {manifest['made']}", fg="green")
    with zipfile.ZipFile(path) as archive:
        _report(_problems(json.loads(archive.read(_TRAIL)), json.loads(archive.read(_ERASURES))))


def _write(output: Path, since: timedelta, trails: tuple[Path, ...]) -> None:
    if not output.parent.is_dir():
        raise click.ClickException(f"There is no directory {output.parent} for {output.name}.")
    settings = load()
    stores, signer, began = build_stores(settings), Signer(settings.signing_keys), datetime.now(UTC) - since
    audit_command(settings, stores, "evidence")
    parts = dict(_parts(settings, stores, trails, began))
    try:
        manifests.write(output, {name: _bytes(part) for name, part in parts.items()}, _about(began), signer)
    except OSError as error:
        raise click.ClickException(f"{output} can't be written: {error.strerror}.") from None
    say(f"{output}: {len(parts)} parts, signed by {signer.public_key}")
    _report(_problems(parts[_TRAIL], parts[_ERASURES]))


def _report(against: list[_Problem]) -> None:
    """Print problems, and exit with the gravest status."""
    for found in against:
        say(f"{_MARKS[found.status]}  {found.text}", fg="red", err=True)
    statuses = {found.status for found in against}
    raise SystemExit(1 if 1 in statuses else max(statuses, default=0))


def _problems(trail: JSON, erasures: list[JSON]) -> list[_Problem]:
    """List the problems an auditor will ask about."""
    found = []
    if "why" in trail:
        found.append(_Problem(f"the audit trail: {trail['why']}", status=0))
    elif trail["whole"] is None:
        ends = counted(len(trail["unsigned"]), "chain")
        found.append(
            _Problem(
                f"the audit trail: no signature covers the end of {ends}, named in {_TRAIL}. "
                f"A killed process leaves such an end, but someone may also have added it",
                status=UNSIGNED_STATUS,
            )
        )
    elif not trail["whole"]:
        found.append(
            _Problem(
                f"the audit trail is not whole: {len(trail['problems'])} problems, in {_TRAIL}; "
                f"`resolver audit verify` names them"
            )
        )
    tampered = [erasure["erasureId"] for erasure in erasures if erasure["status"] == TAMPERED]
    return found + [_Problem(f"the certificate of erasure {id_} isn't what was signed") for id_ in tampered]


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
    yield _ERASURES, erasures
    yield "records.json", _records(settings, stores)
    yield "check.json", [asdict(finding) for finding in findings()]
    yield _TRAIL, _audit(settings, stores, trails, began)
    yield "made-of.json", {found.name: found.version for found in distributions()}


def _settings(settings: Settings, stores: Stores) -> JSON:
    """Show settings with secrets as digests. The digest stays the same as long as the secret does, and only
    the lookup key can relate the two."""

    def shown(value: Any) -> Any:
        if isinstance(value, Secret):
            digest = hashlib.sha256(value.reveal_bytes()).hexdigest()
            return f"digest {stores.keyspace.pseudonym(f'setting {digest}')}"
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
    for record in stores.store.scan():
        count += 1
        organizations[record.organization] += 1
        if record.created:
            oldest = min(oldest or record.created, record.created)
    days = (datetime.now(UTC).timestamp() - oldest / 1000) / 86_400 if oldest else 0
    return {
        "records": count,
        "organizations": len(organizations),
        "unreadable": stores.store.unreadable,
        "oldestAddedAt": clock.second(oldest // 1000) if oldest else None,
        "oldestInDays": round(days, 1),
        "retentionDays": settings.retention_days,
        "withinRetention": not settings.retention_days or days <= settings.retention_days,
    }


def _audit(settings: Settings, stores: Stores, trails: tuple[Path, ...], began: datetime) -> JSON:
    configured = Path(settings.audit_log)
    files = trails or ((configured,) if configured.is_file() else ())
    if not files:
        return {"whole": None, "why": "not checked, since no file of it was given (--audit)"}
    ends = Ends(checkpoints_in(stores))
    verifier = Verifier(public_keys(settings, stores), ends.checkpoints)
    outcomes: Counter[str] = Counter()
    for path in in_order(files):
        with path.open("rb") as lines:
            verifier.read(path.name, _counted(lines, outcomes, began))
    verifier.finish()
    return {"files": [p.name for p in files], "events": outcomes, **summary(verifier, ends)}


def _counted(lines: Iterator[bytes], outcomes: Counter[str], began: datetime) -> Iterator[bytes]:
    """Pass lines on, and count events since `began` by surface, action and outcome."""
    for line in lines:
        yield line
        try:
            entry = json.loads(line)
            if "outcome" in entry and datetime.fromisoformat(entry["at"]) >= began:
                outcomes[f"{entry['surface']} {entry['action']} {entry['outcome']}"] += 1
                if unrecorded := int(entry.get("unrecorded", 0)):
                    outcomes["refusals without a line"] += unrecorded
        except (ValueError, TypeError, KeyError):
            continue  # the verifier reports it


def _about(began: datetime) -> JSON:
    return {
        "made": clock.now(),
        "since": clock.second(int(began.timestamp())),
        "version": __version__,
    }


def _bytes(part: Any) -> bytes:
    return json.dumps(part, indent=2, default=str).encode()
