"""Reads the imports, and holds the directions that docs/architecture.md draws."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import resolver

ROOT = Path(resolver.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# Which of our own packages and modules each may import. What stands in no list may import plain values alone.
VALUES = {
    "errors",
    "secret",
    "deadline",
    "record",
    "split",
    "fields",
    "nesting",
    "command",
    "circuit_breaker",
    "spelling",
    "utc",
    "time_slices",
}
VALUES |= {"redis_address", "metrics"}
ALLOWED = {
    "errors": set(),
    "secret": set(),
    "deadline": {"errors", "watchdog"},
    "watchdog": set(),
    "record": {"errors"},
    "spelling": set(),
    "split": {"spelling"},
    "fields": set(),
    "nesting": set(),
    "circuit_breaker": {"metrics"},
    "utc": set(),
    "time_slices": set(),
    "redis_address": set(),
    "command": {"errors"},
    "environment": {"secret"},
    "settings": {"environment", "errors", "secret", "redis_address"},
    # Calls to other services: bounded in time and size. Whom they call is `velt` and `access`.
    "outbound": {"errors", "secret", "metrics", "deadline", "watchdog", "settings"},
    "logs": {"utc"},
    "draining": set(),
    "readiness": set(),
    # What is counted: anybody may count.
    "metrics": set(),
    "client_connections": set(),
    "file_limit": set(),
    "server_log": {"errors"},
    "web_worker": {"client_connections", "draining"},
    "vault": VALUES | {"watchdog"},
    # The outbox stands on the vault: one script writes a record and its command, under one keyspace.
    "outbox": VALUES | {"vault"},
    "audit": VALUES,
    "privacy": VALUES | {"vault", "outbox", "audit", "velt"},
    "limits": VALUES | {"vault", "settings"},
    "velt": VALUES | {"outbound", "settings"},
    "access": VALUES | {"settings", "outbound"},
    "notifications": VALUES | {"vault", "outbox", "velt", "access", "outbound", "audit"},
    "openapi": VALUES | {"velt"},
    "services": VALUES
    | {"settings", "vault", "outbox", "velt", "access", "outbound", "limits", "audit", "notifications"}
    | {"privacy", "readiness"},
    # What no surface shows, for the demo page: the sandbox from inside, and sealed bytes.
    "demo": VALUES | {"services", "vault", "outbound"},
    "serving": {"draining", "file_limit", "settings", "metrics", "errors"},
    "embedded_worker": set(),
    "serving_with_worker": {"serving", "draining", "embedded_worker"},
    "web": VALUES
    | {
        "draining",
        "demo",
        "logs",
        "privacy",
        "audit",
        "limits",
        "openapi",
        "services",
        "settings",
        "notifications",
        "outbox",
        "access",
        "velt",
    },
    "app": {"audit", "web", "services", "settings", "logs", "metrics"},
    "cli": VALUES
    | {
        # A worker that is asked how it is answers with the application's own ops and metrics.
        "app",
        "demo",
        "embedded_worker",
        "environment",
        # What Velt makes of a probe is said at a terminal alone.
        "notifications",
        "privacy",
        "audit",
        "settings",
        "services",
        "access",
        "velt",
        "vault",
        "outbox",
        "logs",
    },
    "sandbox": set(),
    "__main__": {"cli"},
}
# Who may use which library.
OWNERS = {
    "flask": {"web", "app", "sandbox"},
    "werkzeug": {"web", "app", "sandbox"},
    "prometheus_client": {"metrics", "web"},
    "redis": {"vault", "outbox", "limits", "services"},
    "urllib3": {"outbound"},
    "http": {"outbound", "sandbox"},
    "jwt": {"access"},
    "cryptography": {"vault", "settings", "access", "audit"},
    "click": {"cli", "sandbox"},
    "gunicorn": {"web_worker", "server_log"},
    "requests": set(),
    "httpx": set(),
    "socket": {"vault", "cli", "outbound", "sandbox", "client_connections"},
    # The worker class; the entry point of `resolver worker`; the native thread for writes that may block.
    "gevent": {"web_worker", "__main__", "audit"},
    # The form of a record on disk, and copies of records with other values.
    "msgspec": {"record", "access", "notifications", "privacy", "vault", "cli"},
}


def room(path: Path) -> str:
    """`vault/store.py` lives in the room `vault`, `split.py` in `split`."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path}: a relative import hides where it leads"
            assert not node.level, f"{path}: a relative import hides where it leads"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_entered(path: Path) -> set[str]:
    names = [name.split(".") for name in imports(path)]
    return {name[1] for name in names if name[0] == "resolver" and len(name) > 1} - {
        room(path),
        "__version__",
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    if path == ROOT / "__init__.py":
        assert not rooms_entered(path)
        return
    assert rooms_entered(path) <= ALLOWED[room(path)]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_each_library_is_used_in_its_own_room_alone(path: Path) -> None:
    used = {name.split(".")[0] for name in imports(path)}
    assert not [name for name in used & OWNERS.keys() if room(path) not in OWNERS[name]]


def test_the_directions_have_no_cycle() -> None:
    done: set[str] = set()
    while left := ALLOWED.keys() - done:
        ready = {name for name in left if ALLOWED[name] <= done}
        assert ready, f"these import each other: {left}"
        done |= ready


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_outgrows_its_name(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
