"""The documents say what the code does: commands, links, and the JSON that Velt receives."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from resolver.cli import main
from resolver.config.environment import Environment
from resolver.config.reading import _read
from resolver.velt import requests
from resolver.velt.field_allow_list import split_add
from tests.guides import blocks
from tests.support import environment

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDES = ("quick-start.md", "backend.md", "frontend.md", "going-to-production.md", "troubleshooting.md")


def example(name: str) -> dict[str, object]:
    found = re.search(rf"<!-- {name} -->\n```json\n(.*?)```", README, re.DOTALL)
    assert found
    parsed: dict[str, object] = json.loads(found.group(1))["data"]
    return parsed


def test_readme_is_at_most_150_lines() -> None:
    assert len(README.splitlines()) <= 150


def test_command_reference_is_what_the_commands_say() -> None:
    script = ROOT / "docs" / "cli_reference.py"
    written = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert written.stdout == (ROOT / "docs" / "cli.md").read_text(encoding="utf-8"), "run `make docs`"


def test_every_page_is_linked_from_the_readme() -> None:
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages - set(re.findall(r"\]\(([^)#]+)", README)) == set()


def test_the_readmes_example_is_what_velt_really_receives() -> None:
    split = split_add(requests.parse(requests.ADD, example("add")), "full")
    assert split.forward == example("velt")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_heading_leads_to_one(page: Path) -> None:
    found = re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)", page.read_text(encoding="utf-8"))
    targets = [(page.parent / file if file else page, name) for file, name in found]
    assert [(file.name, name) for file, name in targets if name not in headings(file)] == []


def headings(page: Path) -> set[str]:
    """Return the anchors of all headings: lower case, hyphens for spaces, no punctuation."""
    titles = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("guide", GUIDES)
def test_every_setting_and_command_in_a_guide_exists(guide: str) -> None:
    text = (ROOT / "docs" / guide).read_text(encoding="utf-8")
    env = Environment(environment())
    _read(env)
    assert set(re.findall(r"RESOLVER_[A-Z_]*[A-Z]", text)) - env.known == set()
    code = "\n".join(block.text for block in blocks(guide))
    typed = re.findall(r"(?:^|\$ |\()resolver ([a-z]+)", code, re.MULTILINE)
    commands = {*typed, *re.findall(r"`resolver ([a-z]+)", text)}
    assert commands - main.commands.keys() == set()


def test_every_decision_is_listed() -> None:
    index = (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8")
    files = {path.name for path in (ROOT / "docs/decisions").glob("0*.md")}
    assert set(re.findall(r"\((0\d+[^)]*)\)", index)) == files


def test_the_map_of_rooms_names_every_room() -> None:
    rooms = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").split("## The rooms")[1]
    modules = [p for p in (ROOT / "resolver").iterdir() if p.name[0] != "_" and p.name != "py.typed"]
    names = [f"`{path.name}{'/' if path.is_dir() else ''}`" for path in modules]
    assert [name for name in names if name not in rooms] == []


def test_paths_that_make_unit_leaves_out_exist() -> None:
    shown = subprocess.run(
        ["make", "-n", "unit"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    left_out = re.findall(r"--ignore=(\S+)", shown)
    assert len(left_out) > 20
    assert [path for path in left_out if not (ROOT / path).exists()] == []


def pins(lock: str) -> set[str]:
    """Return the names and versions in a lock, without the markers that limit them to some systems."""
    return set(re.findall(r"^([\w.-]+==[^ ;]+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))


def test_lock_for_running_is_a_part_of_the_lock_for_testing() -> None:
    assert pins("requirements.lock") < pins("requirements-run.lock") < pins("requirements-dev.lock")


def test_the_locks_name_no_registry() -> None:
    for lock in ROOT.glob("requirements*.lock"):
        text = lock.read_text(encoding="utf-8")
        assert "--hash=sha256:" in text
        assert not re.search(r"https?://|--index|--find-links|file:", text)
