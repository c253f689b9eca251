"""`resolver privacy verify` and `replay`: what certificates of erasures are good for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from resolver.audit.signing import Signer
from resolver.cli.keys import key_usage
from resolver.cli.on_record import on_record, trail_of
from resolver.cli.progress import progress_bar
from resolver.cli.signers import counting, own_keys, public_key_option
from resolver.cli.terminal import printable, say, say_json
from resolver.cli.words import counted
from resolver.config import Settings, load
from resolver.privacy.certificate import LONGEST, InvalidCertificate, claimed_id, is_about, verified
from resolver.privacy.replay import Found, order_again, people_behind
from resolver.store.keyspace import Keyspace
from resolver.store.restored_backup import SUFFIX, certificates_in
from resolver.wiring import Stores, build_eraser, build_stores

JSON = dict[str, Any]
_HOW_TO_GO_ON = (
    "Nothing was replayed. What is no certificate, take out of the directory. One that was made with an "
    "older index key is replayed with that key, before the re-index."
)
_PATHS = click.Path(exists=True, path_type=Path)


@click.command("verify")
@click.argument("certificates", nargs=-1, required=True, type=_PATHS)
@public_key_option
@click.option(
    "--about", "names", multiple=True, help="Say whether it is about this user id, address or organization."
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def verify(
    certificates: tuple[Path, ...], keys: tuple[str, ...], names: tuple[str, ...], as_json: bool
) -> None:
    """Check erasure certificates, offline. CERTIFICATES are files, or directories of them. With the
    resolver's settings its own key's signatures are accepted. With --public-key the settings aren't needed,
    except with --about, which uses RESOLVER_INDEX_KEY."""
    index_key = load().index_key if names else None
    believed = counting(keys)
    if not (files := _files(certificates)):
        raise click.ClickException(f"There is no certificate (*{SUFFIX}) in {_named(certificates)}.")
    bad = 0
    for path in files:
        try:
            body = verified(_read(path), believed)
        except InvalidCertificate as invalid:
            bad += 1
            told: JSON = {"file": _name(path), "valid": False, "why": invalid.message}
        else:
            told = {"file": _name(path), "valid": True, "certificate": body}
            if index_key:
                told["about"] = {name: is_about(body, name, Keyspace(index_key).pseudonym) for name in names}
        if as_json:
            say_json(told)
        else:
            _tell(told)
        bad += not all(told.get("about", {}).values())
    raise SystemExit(bool(bad))


def _tell(told: JSON) -> None:
    if not told["valid"]:
        say(f"FAIL  {told['file']}: {told['why']}", fg="red")
        return
    body = told["certificate"]
    found = body["counts"]
    say(f"ok    {told['file']}: signed by {body['publicKey']}", fg="green")
    lines = [
        f"      erasure {body['erasureId']} of {body['scope']}, asked by {body['askedBy']} at "
        f"{body['askedAt']}, done at {body['finishedAt']}",
        f"      {found['removed']} removed, {found['cut']} cut, {found['commands']} commands; "
        f"Velt was told of {body['velt']['told']}, refused {body['velt']['refused']}",
    ]
    about = told.get("about", {})
    lines += [f"      {'about' if it_is else 'NOT about'} {name}" for name, it_is in about.items()]
    say(*lines)


@click.command("replay")
@click.argument("certificates", nargs=-1, required=True, type=_PATHS)
@click.option("--again", is_flag=True, help="Also those that this Redis knows already.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def replay(certificates: tuple[Path, ...], again: bool, as_json: bool) -> None:
    """Do erasures again after a backup was restored. CERTIFICATES are files, or directories of them. Until
    those in RESOLVER_CERTIFICATE_DIR are replayed, nothing is served. Stopped half-way, run it again."""
    settings = load()
    stores = build_stores(settings, replaying=True)
    files = _files(certificates)
    bodies = _to_replay(settings, stores, files, again=again)
    if bodies:
        _require_keys(settings, stores)
    on_record(settings, stores, "privacy replay", "", [body["erasureId"] for _, body in bodies])
    changed = _replayed(settings, stores, bodies)
    told = {"replayed": len(bodies), "records": changed}
    erasures, records = counted(len(bodies), "erasure"), counted(changed, "record")
    if as_json:
        say_json(told)
    else:
        say(f"{erasures} replayed; {records} changed.")
    if misnamed := _misnamed(settings, stores, files):
        raise click.ClickException("\n".join([*misnamed, "Until then nothing is served."]))


def _to_replay(
    settings: Settings, stores: Stores, files: list[Path], *, again: bool
) -> list[tuple[bytes, JSON]]:
    """All of them good, or none is touched; the oldest first. What is known already needs no proof: it may
    have been signed with a key that is long gone."""
    mine = (Signer(settings.index_key).public_key,)
    found, bad = [], []
    for path in files:
        try:
            text = _read(path)
            if not again and stores.erasure_store.known([claimed_id(text)]):
                continue
            found.append((text, verified(text, mine)))
        except InvalidCertificate as invalid:
            bad.append(f"{_name(path)}: {invalid.message}")
    if bad:
        raise click.ClickException("\n".join([*bad, _HOW_TO_GO_ON]))
    return sorted(found, key=lambda pair: str(pair[1]["finishedAt"]))


def _require_keys(settings: Settings, stores: Stores) -> None:
    """Who is in what doesn't open can't be told; called known all the same, they would be served again."""
    usage = key_usage(settings, stores)
    missing = [name for name, use in usage.items() if name not in settings.master_keys and _holds_people(use)]
    if missing:
        raise click.ClickException(
            f"What Redis holds was sealed with other master keys too ({', '.join(map(repr, missing))}): put "
            f"them into RESOLVER_MASTER_KEYS. Nothing was replayed."
        )


def _holds_people(use: Mapping[str, str | int]) -> bool:
    return any(use[kind] for kind in ("records", "commands", "erasureEntries"))


def _misnamed(settings: Settings, stores: Stores, files: list[Path]) -> list[str]:
    """What they say they are is known now, and their names aren't: the gate looks at names."""
    if stores.certificates is None:
        return []
    unknown = set(stores.certificates.unknown_to(stores.redis))
    wrong = [path for path in files if path.stem in unknown and stores.certificates.is_kept(path)]
    return [f"{_name(path)}: {_wrong_with(path, own_keys(settings))}" for path in wrong]


def _wrong_with(path: Path, keys: tuple[str, ...]) -> str:
    """One that was tampered with may say that it is another, which is known."""
    try:
        return f"its name must be {verified(_read(path), keys)['erasureId']}{SUFFIX}"
    except InvalidCertificate as invalid:
        return invalid.message


def _replayed(settings: Settings, stores: Stores, bodies: list[tuple[bytes, JSON]]) -> int:
    changed = 0
    with trail_of(settings, stores) as trail, progress_bar() as progress:
        eraser = build_eraser(settings, stores, trail)
        bar = progress.add_task("Replaying", total=stores.erasure_store.size() * (1 + len(bodies)))
        found = Found()
        for step in people_behind(
            [b for _, b in bodies], stores.store, stores.outbox, stores.keyspace.pseudonym
        ):
            progress.advance(bar)
            found = step or found
        _require_opened(stores.store.unreadable)
        for text, body in bodies:
            if order := order_again(body, found):
                for at in eraser.again(order):
                    progress.advance(bar)
                    _require_opened(at.unreadable)
                changed += len(stores.erasure_store.touched(order.id))
            stores.erasure_store.close(body["erasureId"], text)
    return changed


def _require_opened(unreadable: int) -> None:
    """Before anything is called known."""
    if unreadable:
        records = counted(unreadable, "record does", "records do")
        raise click.ClickException(
            f"{records} not open, and whoever is in them may be served again. Put their master "
            f"keys into RESOLVER_MASTER_KEYS and run it again; what no key opens, remove from Redis: lines "
            f"`record_unreadable` above name it."
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
    """Whatever bytes it is made of."""
    return printable(click.format_filename(path.name))
