"""`resolver privacy verify` and `replay`: verify erasure certificates, and repeat erasures from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from resolver.cli.auditing import audit_command, open_trail
from resolver.cli.keys import key_usage
from resolver.cli.options import accepted_keys, own_keys, public_key_option
from resolver.cli.terminal import counted, printable, progress_bar, say, say_json
from resolver.config import Settings, load
from resolver.privacy.certificate import (
    LONGEST,
    InvalidCertificate,
    claimed_id,
    has_pseudonyms_of,
    is_about,
    verified,
)
from resolver.privacy.replay import Found, find_people, repeated_request
from resolver.store.keyspace import Keyspace
from resolver.store.restored_backup import SUFFIX, certificates_in
from resolver.wiring import Stores, build_eraser, build_stores

JSON = dict[str, Any]
_HOW_TO_GO_ON = (
    "Nothing was replayed. Remove files that are not erasure certificates from the directory. Replay a "
    "certificate of an older RESOLVER_INDEX_KEY with that key, before the re-index."
)
_OTHER_LOOKUP_KEY = (
    "its pseudonyms were made with another RESOLVER_INDEX_KEY: no person in it would be found."
)
_PATHS = click.Path(exists=True, path_type=Path)


@click.command("verify")
@click.argument("certificates", nargs=-1, required=True, type=_PATHS)
@public_key_option
@click.option(
    "--about", "names", multiple=True, help="Check whether it is about this user id, address or organization."
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def verify(
    certificates: tuple[Path, ...], keys: tuple[str, ...], names: tuple[str, ...], as_json: bool
) -> None:
    """Verify erasure certificates offline. CERTIFICATES are files, or directories of files. With the
    resolver's settings, signatures by its own key are accepted. With --public-key no settings are needed,
    except with --about, which uses RESOLVER_INDEX_KEY."""
    index_key = load().index_key if names else None
    accepted = accepted_keys(keys)
    if not (files := _files(certificates)):
        raise click.ClickException(f"There is no certificate (*{SUFFIX}) in {_named(certificates)}.")
    bad = 0
    for path in files:
        try:
            body = verified(_read(path), accepted)
        except InvalidCertificate as invalid:
            bad += 1
            result: JSON = {"file": _name(path), "valid": False, "why": invalid.message}
        else:
            result = {"file": _name(path), "valid": True, "certificate": body}
            if index_key:
                result["about"] = {
                    name: is_about(body, name, Keyspace(index_key).pseudonym) for name in names
                }
        if as_json:
            say_json(result)
        else:
            _print(result)
        bad += not all(result.get("about", {}).values())
    raise SystemExit(bool(bad))


def _print(result: JSON) -> None:
    if not result["valid"]:
        say(f"FAIL  {result['file']}: {result['why']}", fg="red")
        return
    body = result["certificate"]
    found = body["counts"]
    say(f"ok    {result['file']}: signed by {body['publicKey']}", fg="green")
    lines = [
        f"      erasure {body['erasureId']} of {body['scope']}, requested by {body['askedBy']} at "
        f"{body['askedAt']}, finished at {body['finishedAt']}",
        f"      {found['removed']} removed, {found['cut']} cut, {found['commands']} commands; "
        f"Velt accepted {body['velt']['told']}, refused {body['velt']['refused']}",
    ]
    about = result.get("about", {})
    lines += [f"      {'about' if it_is else 'NOT about'} {name}" for name, it_is in about.items()]
    say(*lines)


@click.command("replay")
@click.argument("certificates", nargs=-1, required=True, type=_PATHS)
@click.option("--again", is_flag=True, help="Also replay erasures that this Redis already knows.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def replay(certificates: tuple[Path, ...], again: bool, as_json: bool) -> None:
    """Repeat erasures after a backup was restored. CERTIFICATES are files, or directories of files. Requests
    are refused until all certificates in RESOLVER_CERTIFICATE_DIR are replayed. If the command is
    interrupted, run it again."""
    settings = load()
    stores = build_stores(settings, replaying=True)
    files = _files(certificates)
    bodies = _to_replay(settings, stores, files, again=again)
    if bodies:
        _require_keys(settings, stores)
    audit_command(settings, stores, "privacy replay", "", [body["erasureId"] for _, body in bodies])
    changed = _replayed(settings, stores, bodies)
    result = {"replayed": len(bodies), "records": changed}
    erasures, records = counted(len(bodies), "erasure"), counted(changed, "record")
    if as_json:
        say_json(result)
    else:
        say(f"{erasures} replayed; {records} changed.")
    if misnamed := _misnamed(settings, stores, files):
        raise click.ClickException("\n".join([*misnamed, "Requests are refused until then."]))


def _to_replay(
    settings: Settings, stores: Stores, files: list[Path], *, again: bool
) -> list[tuple[bytes, JSON]]:
    """Return the certificates to replay, oldest first. Raises if any file is invalid. Known erasures are
    skipped unverified: a former key, no longer available, may have signed them."""
    accepted = own_keys(settings)
    found, bad = [], []
    for path in files:
        try:
            text = _read(path)
            if not again and stores.erasure_store.known([claimed_id(text)]):
                continue
            found.append((text, verified(text, accepted)))
        except InvalidCertificate as invalid:
            bad.append(f"{_name(path)}: {invalid.message}")
    bad += [
        f"erasure {body['erasureId']}: {_OTHER_LOOKUP_KEY}"
        for _, body in found
        if not has_pseudonyms_of(body, stores.keyspace)
    ]
    if bad:
        raise click.ClickException("\n".join([*bad, _HOW_TO_GO_ON]))
    return sorted(found, key=lambda pair: str(pair[1]["finishedAt"]))


def _require_keys(settings: Settings, stores: Stores) -> None:
    """Refuse to replay while a master key is missing. People in unreadable records can't be found; marking
    the erasure as known anyway would serve them again."""
    usage = key_usage(settings, stores)
    missing = [name for name, use in usage.items() if name not in settings.master_keys and _holds_people(use)]
    if missing:
        raise click.ClickException(
            f"Redis also holds data sealed with other master keys ({', '.join(map(repr, missing))}): add "
            f"them to RESOLVER_MASTER_KEYS. Nothing was replayed."
        )


def _holds_people(use: Mapping[str, str | int]) -> bool:
    return any(use[kind] for kind in ("records", "commands", "erasureEntries"))


def _misnamed(settings: Settings, stores: Stores, files: list[Path]) -> list[str]:
    """Report files whose names don't match their erasure. The check at start compares file names, so it would
    go on refusing requests."""
    if stores.certificates is None:
        return []
    unknown = set(stores.certificates.unknown_to(stores.redis))
    wrong = [path for path in files if path.stem in unknown and stores.certificates.is_kept(path)]
    return [f"{_name(path)}: {_problem_of(path, own_keys(settings))}" for path in wrong]


def _problem_of(path: Path, keys: tuple[str, ...]) -> str:
    """Say what is wrong. A forged file may claim the id of another erasure, which is known."""
    try:
        return f"its name must be {verified(_read(path), keys)['erasureId']}{SUFFIX}"
    except InvalidCertificate as invalid:
        return invalid.message


def _replayed(settings: Settings, stores: Stores, bodies: list[tuple[bytes, JSON]]) -> int:
    changed = 0
    with open_trail(settings, stores) as trail, progress_bar() as progress:
        eraser = build_eraser(settings, stores, trail)
        bar = progress.add_task("Replaying", total=stores.erasure_store.size() * (1 + len(bodies)))
        found = Found()
        for step in find_people(
            [b for _, b in bodies], stores.store, stores.outbox, stores.keyspace.pseudonym
        ):
            progress.advance(bar)
            found = step or found
        _require_opened(stores.store.unreadable)
        for text, body in bodies:
            if request := repeated_request(body, found):
                for at in eraser.repeat(request):
                    progress.advance(bar)
                    _require_opened(at.unreadable)
                changed += len(stores.erasure_store.touched(request.id))
            stores.erasure_store.close(body["erasureId"], text)
    return changed


def _require_opened(unreadable: int) -> None:
    """Refuse to mark erasures as known while records are unreadable."""
    if unreadable:
        records = counted(unreadable, "record does", "records do")
        raise click.ClickException(
            f"{records} not open, and the people in them might be served again. Add their master keys to "
            f"RESOLVER_MASTER_KEYS and run the command again. Remove records that no key opens from Redis: "
            f"the lines `record_unreadable` above name them."
        )


def _files(paths: tuple[Path, ...]) -> list[Path]:
    return [file for path in paths for file in (certificates_in(path) if path.is_dir() else [path])]


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST + 1)
    except OSError as error:
        raise InvalidCertificate(f"This can't be read ({type(error).__name__}).") from None


def _named(paths: tuple[Path, ...]) -> str:
    return ", ".join(printable(click.format_filename(path)) for path in paths)


def _name(path: Path) -> str:
    """Return a printable name; a file name may hold any bytes."""
    return printable(click.format_filename(path.name))
