"""`resolver privacy verify` and `replay`: what certificates of erasures are good for."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from resolver.audit.signing import Signer, trusted
from resolver.cli.on_record import on_record, trail_of
from resolver.errors import SettingsError, Unavailable
from resolver.privacy.certificate import InvalidCertificate, is_about, verified
from resolver.privacy.replay import Found, order_again, people_behind
from resolver.services import Stores, build_eraser, build_stores
from resolver.settings import Settings, load
from resolver.vault.keyspace import Keyspace

JSON = dict[str, Any]
_PATHS = click.Path(exists=True, path_type=Path)


@click.command("verify")
@click.argument("certificates", nargs=-1, required=True, type=_PATHS)
@click.option("--public-key", "keys", multiple=True, help="Whose signatures count; see `keys status`.")
@click.option("--about", "names", multiple=True, help="A user id, address or organization: is it about them?")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def verify(
    certificates: tuple[Path, ...], keys: tuple[str, ...], names: tuple[str, ...], as_json: bool
) -> None:
    """Check certificates of erasures, offline: files, or directories of them. With the resolver's settings
    its own key counts; with --public-key they aren't needed, but for --about, which takes the index key."""
    settings = _settings(needed=not keys or bool(names))
    counting = keys or (_own_keys(settings) if settings else ())
    bad = 0
    for path, text in _texts(certificates):
        try:
            body = verified(text, counting)
        except InvalidCertificate as invalid:
            bad += 1
            told: JSON = {"file": path.name, "valid": False, "why": invalid.message}
        else:
            told = {"file": path.name, "valid": True, "certificate": body}
            if names and settings:
                told["about"] = {
                    name: is_about(body, name, Keyspace(settings.index_key).blinded) for name in names
                }
        click.echo(json.dumps(told) if as_json else _spoken(told))
        bad += not all(told.get("about", {}).values())
    raise SystemExit(bool(bad))


def _spoken(told: JSON) -> str:
    if not told["valid"]:
        return click.style(f"FAIL  {told['file']}: {told['why']}", fg="red")
    body = told["certificate"]
    found = body["counts"]
    lines = [
        click.style(f"ok    {told['file']}: signed by {body['publicKey']}", fg="green"),
        f"      erasure {body['erasureId']} of {body['scope']}, asked by {body['askedBy']} at "
        f"{body['askedAt']}, done at {body['finishedAt']}",
        f"      {found['removed']} removed, {found['cut']} cut, {found['commands']} commands; "
        f"Velt was told of {body['velt']['told']}, refused {body['velt']['refused']}",
    ]
    about = told.get("about", {})
    lines += [f"      {'about' if it_is else 'NOT about'} {name}" for name, it_is in about.items()]
    return "\n".join(lines)


@click.command("replay")
@click.argument("certificates", nargs=-1, required=True, type=_PATHS)
@click.option("--again", is_flag=True, help="Also those that this Redis knows already.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def replay(certificates: tuple[Path, ...], again: bool, as_json: bool) -> None:
    """Do erasures again after a backup was restored: CERTIFICATES are files, or directories of them. Until
    those in RESOLVER_CERTIFICATE_DIR are replayed, nothing is served. Stopped half-way, run it again."""
    settings = load()
    stores = build_stores(settings, replaying=True)
    bodies = _to_replay(settings, stores, certificates, again=again)
    on_record(settings, stores, "privacy replay", "", [body["erasureId"] for _, body in bodies])
    changed = _replayed(settings, stores, bodies)
    told = {"replayed": len(bodies), "records": changed}
    click.echo(
        json.dumps(told) if as_json else f"{len(bodies)} erasures replayed; {changed} records changed."
    )


def _to_replay(
    settings: Settings, stores: Stores, paths: tuple[Path, ...], *, again: bool
) -> list[tuple[bytes, JSON]]:
    """All of them good, or none is touched; the oldest first."""
    mine = (Signer(settings.index_key).public_key,)
    found = []
    for path, text in _texts(paths):
        try:
            found.append((text, verified(text, mine)))
        except InvalidCertificate as invalid:
            raise click.ClickException(
                f"{path.name}: {invalid.message} Nothing was replayed. One that was made with an older index "
                f"key is replayed with that key, before the re-index."
            ) from None
    known = set() if again else stores.orders.known([body["erasureId"] for _, body in found])
    left = [(text, body) for text, body in found if body["erasureId"] not in known]
    return sorted(left, key=lambda pair: str(pair[1]["finishedAt"]))


def _replayed(settings: Settings, stores: Stores, bodies: list[tuple[bytes, JSON]]) -> int:
    changed = 0
    with (
        trail_of(settings, stores) as trail,
        Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress,
    ):
        eraser = build_eraser(settings, stores, trail)
        bar = progress.add_task("Replaying", total=stores.orders.size() * (1 + len(bodies)))
        found = Found()
        for step in people_behind(
            [b for _, b in bodies], stores.vault, stores.outbox, stores.keyspace.blinded
        ):
            progress.advance(bar)
            found = step or found
        for text, body in bodies:
            if order := order_again(body, found):
                for _ in eraser.again(order):
                    progress.advance(bar)
                changed += len(stores.orders.touched(order.id))
            stores.orders.close(body["erasureId"], text)
    return changed


def _own_keys(settings: Settings) -> tuple[str, ...]:
    """Those of former index keys too, where Redis can be asked for them."""
    signer = Signer(settings.index_key)
    try:
        return trusted(signer, build_stores(settings, replaying=True).history.former_signers())
    except Unavailable:
        return (signer.public_key,)


def _settings(*, needed: bool) -> Settings | None:
    try:
        return load()
    except SettingsError:
        if needed:
            raise
        return None


def _texts(paths: tuple[Path, ...]) -> Iterator[tuple[Path, bytes]]:
    for path in paths:
        for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
            yield file, file.read_bytes()
