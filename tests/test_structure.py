"""Read the source: imports point in the directions that docs/architecture.md draws, and tests use what is
public."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import resolver
from tests.support import environment

ROOT = Path(resolver.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
TESTS = Path(__file__).parent
TEST_MODULES = sorted(TESTS.rglob("*.py"))
PUBLIC_ALL_THE_SAME = {"_asdict", "_exit", "_replace"}
"""Attributes of the standard library that are documented, in spite of their names."""

# Which of our own rooms each may import: packages, and the few modules beside them.
COMMON = {"errors", "deadline", "clock", "circuit_breaker", "config", "ops"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "clock": set(),
    "deadline": {"errors"},
    "circuit_breaker": {"ops"},
    "config": {"errors"},
    # What runs a process: logs, metrics, limits, gunicorn's settings. It knows nothing of notifications.
    "ops": {"clock", "config", "errors"},
    "validation": set(),
    "crypto": {"config", "errors"},
    # Calls to other services: bounded in time and size. Whom they call is `velt` and `auth`.
    "outbound": {"config", "deadline", "errors"},
    "audit": COMMON,
    "velt": COMMON | {"outbound", "validation"},
    "store": COMMON | {"crypto"},
    "auth": COMMON | {"outbound", "store", "validation"},
    # The outbox stands on the store: one script writes a record and its command, under one keyspace.
    "outbox": COMMON | {"crypto", "store", "velt"},
    "notifications": COMMON | {"audit", "auth", "crypto", "outbox", "store", "validation", "velt"},
    "privacy": COMMON | {"audit", "crypto", "outbox", "store", "validation", "velt"},
    "wiring": COMMON | {"audit", "auth", "crypto", "notifications", "outbox", "privacy", "store", "velt"},
    "api": COMMON | {"audit", "auth", "notifications", "privacy", "validation", "velt", "wiring"},
    # What no surface shows, for the demo page: the sandbox from inside, and sealed bytes.
    "demo": COMMON | {"api", "audit", "crypto", "outbound", "store", "velt", "wiring"},
    "app": {"api", "config", "demo", "ops", "wiring"},
    "cli": COMMON
    # A worker that is asked how it is answers with the application's own health and metrics.
    | {"app", "audit", "auth", "demo", "notifications", "outbox", "privacy", "store", "validation", "velt"}
    | {"wiring"},
    "sandbox": set(),
    "__main__": {"cli"},
}
# Who may use which library.
OWNERS = {
    "flask": {"app", "sandbox"},
    "werkzeug": {"api", "app", "sandbox"},
    "prometheus_client": {"api", "ops"},
    "redis": {"auth", "notifications", "outbox", "privacy", "store", "wiring"},
    "urllib3": {"outbound"},
    "http": {"outbound", "sandbox"},
    "jwt": {"auth"},
    "cryptography": {"audit", "auth", "config", "crypto"},
    "click": {"cli", "sandbox"},
    "gunicorn": {"ops"},
    "requests": set(),
    "httpx": set(),
    "socket": {"cli", "ops", "outbound", "sandbox", "store"},
    # The worker class; the entry point of `resolver worker`; the native thread for writes that may block.
    "gevent": {"__main__", "audit", "ops"},
    # The form of a record on disk, and copies of records with other values.
    "msgspec": {"cli", "notifications", "privacy", "store"},
}


def room(path: Path) -> str:
    """`store/records.py` lives in the room `store`, `app.py` in `app`."""
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
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_root_of_the_package_has_at_most_eight_modules() -> None:
    assert len(list(ROOT.glob("*.py"))) <= 8


def test_serving_processes_import_neither_sandbox_nor_demo_in_production() -> None:
    script = "import sys, resolver.app; resolver.app.create_app(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(RESOLVER_MODE="production"),
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(done.stdout.split())
    assert "resolver.api.callback" in imported
    assert not [name for name in imported if name.startswith(("resolver.sandbox", "resolver.demo"))]


def private_attributes(source: str, line: int = 1) -> Iterator[str]:
    """Private attributes of other objects that a source uses, also in the programs that its strings hold."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(attr=name) if name.startswith("_") and not name.startswith("__"):
                if name not in PUBLIC_ALL_THE_SAME:
                    yield f"line {line + node.lineno - 1}: {name}"
            case ast.Constant(value=str(text)) if "\n" in text:
                with suppress(SyntaxError, ValueError):  # most texts are no programs
                    yield from private_attributes(text, line + node.lineno - 1)


@pytest.mark.parametrize(
    "source",
    ["store._redis.ping()", "self.store._redis", "store()._redis = 1", 'PROGRAM = """\\nstore._redis\\n"""'],
)
def test_private_attribute_is_found_in_a_source(source: str) -> None:
    assert [found.split(": ")[1] for found in private_attributes(source)] == ["_redis"]


@pytest.mark.parametrize("path", TEST_MODULES, ids=lambda p: str(p.relative_to(TESTS)))
def test_tests_use_no_private_attribute_of_another_object(path: Path) -> None:
    assert list(private_attributes(path.read_text(encoding="utf-8"))) == []
