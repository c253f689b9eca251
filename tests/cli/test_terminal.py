"""No command prints control sequences to a terminal, whatever ids and texts other parties chose."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from resolver.audit.event import Actor, Event
from resolver.audit.signing import Signer
from resolver.cli import main
from resolver.cli.terminal import printable
from resolver.config import load
from resolver.privacy.certificate import signed
from resolver.store.command import Command, Entry, Kind
from resolver.store.keyspace import CERTIFICATES, KNOWN_ERASURES
from resolver.store.record import Record
from resolver.wiring import build_stores, build_trail
from tests.support import notification

Env = dict[str, str]
UNSAFE = [*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), *"\u061c\u200e\u200f\u2028\u2029"]
UNSAFE += "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
# Invisible, or of no width: two ids that look alike are told apart.
UNSAFE += "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b\u180e\u180f\u200b\u2060\u206a\u206f\u3164"
UNSAFE += "\ufe00\ufe0f\ufeff\uffa0\ufff9"
UNSAFE += "\U0001d173\U0001d17a\U000e0001\U000e0100\U000e01ef"
UNSAFE += "\ud800\udfff\ue000\uf8ff\U000f0000\U0010fffd"
EVIL = '\x1b[2K\r\n{"audit":1} forged\x07\x7f\x9b31m\u202e\u2028'
"""Erases a line, begins another one, turns the text around."""
FORGED = json.dumps({"audit": 1, "chain": "x", "seq": 0, "at": EVIL, "organization": EVIL, "action": EVIL})


@pytest.fixture
def env(resolver_environment: Env, tmp_path: Path) -> Env:
    return {**resolver_environment, "RESOLVER_AUDIT_LOG": str(tmp_path / "audit.log")}


@pytest.fixture
def hostile(env: Env) -> None:
    """A resolver's Redis and trail in which every id and text that others choose is hostile."""
    stores = build_stores(load(env))
    content = json.dumps({"displayBodyMessage": f"ben {EVIL}", EVIL: EVIL}).encode()
    for id_ in ("n-1", EVIL):
        record = Record(EVIL, id_, EVIL, EVIL, (EVIL, "ben"), False, private={EVIL: EVIL}, content=content)
        command = Command(Kind.REGISTER, id_, {"organizationId": EVIL, "notifyUsers": [{"userId": EVIL}]})
        stores.store.put(record, Entry(command))
    claimed = stores.outbox.claim(stores.outbox.due()[0])
    assert claimed
    stores.outbox.dead_letter(claimed, EVIL)
    trail = build_trail(load(env), stores)
    trail.record(Event(Actor("user", EVIL), EVIL, EVIL, "denied", EVIL, EVIL, [EVIL], [EVIL], {"user": EVIL}))
    trail.close()
    with Path(env["RESOLVER_AUDIT_LOG"]).open("ab") as file:
        file.write(FORGED.encode() + b"\n")
        file.write(b'{"audit":1,"chain":"' + EVIL.replace("\n", "").encode() + b'","seq":0}\n')
        file.write(EVIL.encode() + b"\n")


def run(env: Env, *arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), env=env, input=text)


COMMANDS = {
    "audit tail": ["audit", "tail"],
    "audit tail --json": ["audit", "tail", "--json"],
    "audit verify": ["audit", "verify"],
    "audit verify --json": ["audit", "verify", "--json"],
    "outbox dead": ["outbox", "dead"],
    "outbox dead --json": ["outbox", "dead", "--json"],
    "outbox retry": ["outbox", "retry", EVIL],
    "outbox drop": ["outbox", "drop", EVIL],
    "inspect": ["inspect", EVIL, EVIL],
    "inspect --json": ["inspect", EVIL, EVIL, "--json"],
    "explain": ["explain", EVIL, EVIL, "--user", EVIL],
    "explain --json": ["explain", EVIL, EVIL, "--user", EVIL, "--json"],
    "split": ["split", "-"],
    "split --json": ["split", "-", "--json"],
    "keys status": ["keys", "status"],
    "keys status --json": ["keys", "status", "--json"],
    "check": ["check"],
    "check --json": ["check", "--json"],
    "tokens revoke": ["tokens", "revoke", "--user", EVIL, "--organization", EVIL],
    "tokens revoke --json": ["tokens", "revoke", "--user", EVIL, "--json"],
    "workspace get": ["workspace", "get"],
    "workspace set": ["workspace", "set", "-"],
    "privacy export": ["privacy", "export", "--user", EVIL],
    "privacy export --audit": ["privacy", "export", "--user", EVIL, "--audit", "{trail}"],
    "privacy erase, asked": ["privacy", "erase", "--user", EVIL, "--email", EVIL, "--org", EVIL],
    "privacy erase --mentioning": ["privacy", "erase", "--mentioning", "ben", "--yes"],
    "privacy erase --json": ["privacy", "erase", "--organization", EVIL, "--yes", "--json"],
    "privacy status": ["privacy", "status"],
    "privacy status ID": ["privacy", "status", "{erasure}"],
    "privacy status --json": ["privacy", "status", "--json"],
    "privacy status of another": ["privacy", "status", EVIL],
    "privacy verify": ["privacy", "verify", "{certificates}", "--about", EVIL],
    "privacy verify --json": ["privacy", "verify", "{certificates}", "--json", "--about", EVIL],
    "privacy replay": ["privacy", "replay", "{certificates}"],
    "evidence": ["evidence", "--audit", "{trail}", "-o", "{odd}"],
    "no such command": [EVIL],
    "no such option": ["keys", f"--{EVIL}"],
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.usefixtures("hostile")
def test_commands_print_no_control_characters(name: str, env: Env, kept: Path, erasure: str) -> None:
    words = {
        "{trail}": env["RESOLVER_AUDIT_LOG"],
        "{certificates}": str(kept),
        "{erasure}": erasure,
        "{odd}": str(kept.parent / "\x1b[31m.zip"),
    }
    arguments = [words.get(word, word) for word in COMMANDS[name]]
    text = json.dumps({"useNotificationService": True}) if name == "workspace set" else "n\n"
    if name.startswith("split"):
        text = json.dumps({**notification(displayBodyMessage=EVIL), EVIL: EVIL})
    ended = run({**env, "RESOLVER_CERTIFICATE_DIR": str(kept)}, *arguments, text=text)
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.output
    printed = ended.stdout + ended.stderr
    assert printed
    assert not [letter for letter in printed if letter in UNSAFE and letter != "\n"], repr(printed)
    assert not [line for line in printed.split("\n") if line.startswith('{"audit":1} forged')]


@pytest.fixture
def erasure(env: Env, kept: Path, redis: Redis) -> str:
    """One that is certified."""
    return certified(Signer(load(env).signing_keys), redis, kept)


def certified(signer: Signer, redis: Redis, kept: Path) -> str:
    """An erasure whose certificate says hostile things, under a signature that holds."""
    body = {
        "version": 1,
        "erasureId": "e" * 32,
        "askedBy": EVIL,
        "askedAt": "2026-01-01T00:00:00Z",
        "finishedAt": "2026-01-01T00:00:01Z",
        "scope": EVIL,
        "subject": {"users": [], "emails": [], "mentioned": []},
        "organizations": [],
        "counts": {"lookedAt": 1, "removed": 1, "cut": 0, "commands": 0, "unreadable": 0},
        "velt": {"told": EVIL, "refused": EVIL, "userData": EVIL},
        "audit": {},
        "notCovered": [EVIL],
        "publicKey": EVIL,
    }
    text = signed(body, signer)
    redis.hset(CERTIFICATES, "e" * 32, text)
    redis.sadd(KNOWN_ERASURES, "e" * 32)
    (kept / f"{'e' * 32}.json").write_bytes(text)
    (kept / "odd\x1b[31m\n.json").write_text("{}")
    redis.sadd(KNOWN_ERASURES, "odd\x1b[31m\n")
    return "e" * 32


@pytest.mark.parametrize("letter", UNSAFE)
def test_printable_escapes_what_acts_on_a_terminal(letter: str) -> None:
    shown = printable(f"a{letter}b")
    assert letter not in shown
    assert json.loads(f'"{shown}"') == f"a{letter}b"


def test_printable_keeps_letters_of_any_script() -> None:
    text = "Grüße, नमस्ते, 你好, مرحبا, 안녕, e\u0301, 🙂\u3000\u00a0"
    assert printable(text) == text


def test_commands_print_through_one_module() -> None:
    folder = Path(__file__).parents[2] / "resolver" / "cli"
    for path in folder.glob("*.py"):
        if path.name == "terminal.py":
            continue
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        said = [call.attr for call in calls if isinstance(call, ast.Attribute)]
        assert not {"echo", "secho", "echo_via_pager"} & set(said), path
        assert "print" not in [call.id for call in calls if isinstance(call, ast.Name)], path
