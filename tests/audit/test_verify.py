"""Every later change to a trail is detected and named."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from resolver.audit.chain import Link, chain_start, digest_of, linked, split_line
from resolver.audit.event import as_json
from resolver.audit.signing import Signer
from resolver.audit.trail import Trail
from resolver.audit.verify import KnownCheckpoint, Verifier
from resolver.cli import main
from resolver.config.secret import Secret
from tests.audit.test_trail import SIGNER, event
from tests.support import Api

Lines = list[bytes]


def written(path: Path, events: int = 12, signer: Signer = SIGNER) -> tuple[Lines, KnownCheckpoint]:
    """Return the lines of a whole trail, and the checkpoint that Redis would hold."""
    kept: list[tuple[Link, str]] = []
    trail = Trail(str(path), signer, lambda head, at: kept.append((head, at)))
    for n in range(events):
        trail.record(event(request=f"r-{n}"))
    trail.close()
    head, at = kept[-1]
    return path.read_bytes().splitlines(keepends=True), KnownCheckpoint(head.seq, head.hash, at)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lines, KnownCheckpoint]:
    return written(tmp_path_factory.mktemp("trail") / "audit.log")


def found(lines: Lines, anchored: KnownCheckpoint | None = None, chain: str = "") -> set[str]:
    """Return the verifier's name for it."""
    verifier = Verifier([SIGNER.public_key], {chain: anchored} if anchored else None)
    verifier.read("audit.log", lines)
    verifier.finish()
    return {what.split(":")[0].split(" ")[0] for _, what in verifier.problems}


def chain_of(line: bytes) -> str:
    return str(json.loads(line)["chain"])


def test_intact_trail_has_no_problem(whole: tuple[Lines, KnownCheckpoint]) -> None:
    lines, anchored = whole
    assert found(lines, anchored, chain_of(lines[0])) == set()


@given(at=st.integers(0, 13), byte=st.integers(0, 10_000))
def test_an_edited_line_is_detected(whole: tuple[Lines, KnownCheckpoint], at: int, byte: int) -> None:
    lines, anchored = list(whole[0]), whole[1]
    position = byte % (len(lines[at]) - 1)
    flipped = bytes([lines[at][position] ^ 1])
    lines[at] = lines[at][:position] + flipped + lines[at][position + 1 :]
    assert found(lines, anchored, chain_of(whole[0][0]))
    # Without the checkpoint, a changed last line passes for one that a crash cut off.
    assert at == len(lines) - 1 or found(lines)


@pytest.mark.parametrize("at", range(1, 13))
def test_edit_is_detected_when_its_hash_was_recomputed(whole: tuple[Lines, KnownCheckpoint], at: int) -> None:
    lines = list(whole[0])
    said, _ = split_line(lines[at].replace(b'"ben"', b'"eve"'))
    fitting = digest_of(split_line(lines[at - 1])[1], said)
    lines[at] = said + b',"hash":"' + fitting.encode() + b'"}\n'
    assert found(lines) & {"edited", "rewritten"}


def test_edit_is_detected_when_all_hashes_were_recomputed(
    whole: tuple[Lines, KnownCheckpoint],
) -> None:
    lines, anchored = list(whole[0]), whole[1]
    previous = split_line(lines[0])[1]
    for at in range(1, len(lines)):
        said, _ = split_line(lines[at].replace(b'"ben"', b'"eve"'))
        previous = digest_of(previous, said)
        lines[at] = said + b',"hash":"' + previous.encode() + b'"}\n'
    assert found(lines) == {"rewritten"}
    assert found(lines[:-1], anchored, chain_of(lines[0])) == {"truncated"}


@pytest.mark.parametrize("at", range(14))
def test_a_deleted_line_is_detected(whole: tuple[Lines, KnownCheckpoint], at: int) -> None:
    lines, anchored = list(whole[0]), whole[1]
    chain = chain_of(lines[0])
    del lines[at]
    named = found(lines, anchored, chain)
    expected = {0: "chain", 13: "truncated"}.get(at, "deleted")
    assert expected in named


@given(data=st.data())
def test_lines_that_were_moved_are_detected(
    whole: tuple[Lines, KnownCheckpoint], data: st.DataObject
) -> None:
    lines = list(whole[0])
    one, other = data.draw(st.lists(st.integers(1, 13), min_size=2, max_size=2, unique=True))
    lines[one], lines[other] = lines[other], lines[one]
    assert "reordered" in found(lines)


@pytest.mark.parametrize("at", range(1, 14))
@pytest.mark.parametrize("line", [b"hello\n", b'{"audit":1,"chain":7}\n', b'{"audit":1}\n'])
def test_an_inserted_line_is_detected(whole: tuple[Lines, KnownCheckpoint], at: int, line: bytes) -> None:
    lines = list(whole[0])
    lines.insert(at, line)
    assert found(lines) == {"inserted"}


@pytest.mark.parametrize("size", [1, 5, 11, 12, 60])
def test_a_line_that_was_cut_off_anywhere_is_a_note(whole: tuple[Lines, KnownCheckpoint], size: int) -> None:
    lines = list(whole[0])
    lines.insert(7, lines[7][:size] + b"\n")
    verifier = Verifier([SIGNER.public_key])
    verifier.read("lines", lines)
    assert (verifier.problems, [note.what.split(":")[0] for note in verifier.notes]) == ([], ["torn"])


@pytest.mark.parametrize("at", range(1, 14))
def test_repeated_line_is_detected(whole: tuple[Lines, KnownCheckpoint], at: int) -> None:
    lines = list(whole[0])
    lines.insert(at, lines[at])
    assert found(lines) == {"inserted"}


@pytest.mark.parametrize("cut", range(1, 14))
def test_trail_that_ends_before_its_last_checkpoint_is_detected(
    whole: tuple[Lines, KnownCheckpoint], cut: int
) -> None:
    lines, anchored = whole
    assert found(lines[:cut], anchored, chain_of(lines[0])) == {"truncated"}


def test_missing_chain_is_detected(tmp_path: Path) -> None:
    before, _ = written(tmp_path / "1")
    lost, anchored = written(tmp_path / "2")
    after, _ = written(tmp_path / "3")
    assert found([*before, *after], anchored, chain_of(lost[0])) == {"deleted"}


def test_emptied_trail_is_detected() -> None:
    assert found([]) == {"empty"}


def test_a_line_of_another_chain_is_detected(whole: tuple[Lines, KnownCheckpoint], tmp_path: Path) -> None:
    other, _ = written(tmp_path / "other")
    lines = [*whole[0][:5], other[7], *whole[0][5:]]
    assert found(lines) == {"chain"}, "it begins in the middle"
    assert found([*lines, *other]) >= {"chain", "inserted"}
    grafted = other[7].replace(chain_of(other[7]).encode(), chain_of(whole[0][0]).encode())
    assert "edited" in found([*whole[0][:7], grafted, *whole[0][8:]])


def test_chain_signed_by_another_key_is_detected(
    whole: tuple[Lines, KnownCheckpoint], tmp_path: Path
) -> None:
    forged, _ = written(tmp_path / "forged", signer=Signer([Secret(b"z" * 31 + b"y")]))
    assert found([*whole[0], *forged]) == {"strange"}


def test_lines_of_several_chains_and_files_may_be_mixed(tmp_path: Path) -> None:
    one, _ = written(tmp_path / "1")
    other, _ = written(tmp_path / "2")
    mixed = [line for pair in zip(one, other, strict=True) for line in pair]
    assert found(mixed) == set()


def verdict(lines: Lines, now: int | None = None, **checkpoints: KnownCheckpoint) -> tuple[list[str], ...]:
    """Problems, unsigned ends and notes, in words."""
    verifier = Verifier([SIGNER.public_key], checkpoints, now)
    verifier.read("audit.log", lines)
    verifier.finish()
    return tuple(
        [what for _, what in found] for found in (verifier.problems, verifier.unsigned, verifier.notes)
    )


def forged(*moments: str, chain: str = "f" * 16, after: Link | None = None) -> Lines:
    """Return lines that an attacker with the public key alone could make."""
    head, lines = after or chain_start(chain), []
    begin = as_json({"action": "begin", "version": "0.1.0", "pid": 1, "key": SIGNER.public_key})
    bodies = [] if after else [begin]
    bodies += [event(request=f"forged-{n}").bodies()[0] for n in range(len(moments) - len(bodies))]
    for at, body in zip(moments, bodies, strict=True):
        head, line = linked(head, at, body)
        lines.append(line)
    return lines


AT = "2026-11-21T09:30:0{}.000Z".format
LATER = 2_000_000_000_000


def test_a_forged_chain_with_the_real_public_key_is_not_whole(whole: tuple[Lines, KnownCheckpoint]) -> None:
    problems, unsigned, _ = verdict([*whole[0], *forged(AT(0), AT(0), AT(1))], LATER)
    assert (problems, len(unsigned)) == ([], 1)
    assert "no signature covers its last 3 lines" in str(unsigned[0])
    problems, unsigned, _ = verdict([*whole[0], *forged(AT(0), AT(0), AT(3))], LATER)
    assert (len(problems), unsigned) == (1, [])
    assert "A process signs within a second: they were added" in str(problems[0])


def head_of(lines: Lines) -> Link:
    last = json.loads(lines[-1])
    return Link(last["chain"], last["seq"], last["hash"])


def test_lines_added_after_the_last_checkpoint_are_detected(
    whole: tuple[Lines, KnownCheckpoint],
) -> None:
    """This holds for any date that they claim: a second after the others, or the current time."""
    lines, head = whole[0], head_of(whole[0])
    for moments in ((AT(0),), (AT(0), AT(1)), ("2099-01-01T00:00:00.000Z",)):
        problems, unsigned, notes = verdict([*lines, *forged(*moments, after=head)], LATER)
        assert (problems, len(unsigned), notes) == ([], 1, [])
    for moments in ((AT(0), AT(5)), (AT(5), AT(0)), (AT(0), "no date")):
        problems, unsigned, notes = verdict([*lines, *forged(*moments, after=head)], LATER)
        assert (len(problems), unsigned, notes) == (1, [], [])


def test_unsigned_end_of_a_writing_process_is_a_note(
    whole: tuple[Lines, KnownCheckpoint],
) -> None:
    head = head_of(whole[0])
    now = int(datetime.fromisoformat(AT(2)).timestamp() * 1000)
    problems, unsigned, notes = verdict([*whole[0], *forged(AT(1), after=head)], now)
    assert (problems, unsigned) == ([], [])
    assert notes == ["its last line was written within the last two seconds, and is not signed yet"]
    problems, unsigned, notes = verdict([*whole[0], *forged(AT(0), after=head)], now)
    assert (problems, len(unsigned), notes) == ([], 1, []), "two seconds later it is signed, or unsigned"
    problems, unsigned, notes = verdict([*whole[0], *forged(AT(5), after=head)], now)
    assert (problems, len(unsigned), notes) == ([], 1, []), "what is dated later than now isn't being written"


@pytest.mark.system
def test_killed_process_leaves_an_unsigned_end_and_no_problem(tmp_path: Path) -> None:
    """This holds however long the process had written nothing before."""
    path = tmp_path / "audit.log"
    script = """
import os, signal, sys
from datetime import timedelta
import time_machine
from tests.audit.test_trail import SIGNER, event
from tests.waiting import until
from resolver.audit.trail import Trail
trail = Trail(sys.argv[1], SIGNER)
trail.record(event())
until(lambda: b'"anchor"' in open(sys.argv[1], "rb").read())
with time_machine.travel(timedelta(hours=1)):
    trail.record(event(request="the last"))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=Path(__file__).parents[2], check=False, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    lines = path.read_bytes().splitlines(keepends=True)
    assert json.loads(lines[-1])["request"] == "the last"
    problems, unsigned, notes = verdict(lines, LATER)
    assert (problems, len(unsigned), notes) == ([], 1, [])


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["audit", *arguments], env=env)


@pytest.fixture
def used(
    make_api: Callable[..., Api], resolver_environment: dict[str, str], tmp_path: Path
) -> tuple[Path, dict[str, str]]:
    """The trail of a resolver that was used, and its environment."""
    path = tmp_path / "audit.log"
    api = make_api(RESOLVER_AUDIT_LOG=str(path))
    api.add()
    api.read("n-1")
    api.services.trail.close()
    return path, {**resolver_environment, "RESOLVER_AUDIT_LOG": str(path)}


def test_verify_reports_an_intact_trail_and_names_problems(
    used: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    path, env = used
    done = run("verify", str(path), env=env)
    assert (done.exit_code, "Whole" in done.output) == (0, True)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))
    shortened = json.loads(run("verify", str(path), "--json", env=env).output)
    assert (shortened["whole"], "truncated" in shortened["problems"][0]["what"]) == (False, True)
    path.write_bytes(b"".join(lines[:1] + lines[2:]))
    assert run("verify", str(path), env=env).exit_code == 1


def test_verify_counts_one_event_in_the_singular(tmp_path: Path) -> None:
    written(path := tmp_path / "audit.log", events=1)
    told = run("verify", str(path), "--public-key", SIGNER.public_key)
    assert "1 event in 3 lines" in told.output


def nothing(env: dict[str, str]) -> dict[str, Any]:
    return dict.fromkeys(env, "")


def test_verify_names_an_unsigned_end_and_calls_nothing_whole(used: tuple[Path, dict[str, str]]) -> None:
    path, env = used
    lines = path.read_bytes().splitlines(keepends=True)
    added = forged(AT(0), after=head_of(lines))
    path.write_bytes(b"".join([*lines, *added]))
    told = run("verify", str(path), env=env)
    assert (told.exit_code, "Whole" in told.output) == (3, False)
    assert "UNSIGNED  chain" in told.output
    assert "no signature covers its last line" in told.output
    scripts = json.loads(run("verify", "--json", env=env).output)
    assert (scripts["whole"], scripts["problems"], len(scripts["unsigned"])) == (None, [], 1)
    assert run("verify", "--offline", env=env).exit_code == 3
    path.write_bytes(b"".join([*lines, *forged(AT(0), AT(3), after=head_of(lines))]))
    assert run("verify", env=env).exit_code == 1


def test_verify_needs_no_settings_with_a_public_key_and_says_what_it_could_not_check(
    used: tuple[Path, dict[str, str]],
) -> None:
    path, env = used
    key = json.loads(path.read_bytes().splitlines()[0])["key"]
    done = run("verify", str(path), "--public-key", key, env=nothing(env))
    assert (done.exit_code, "Not checked: whether lines are missing" in done.output) == (0, True)
    assert "Whole" not in done.output
    assert run("verify", str(path), "--public-key", SIGNER.public_key, env=nothing(env)).exit_code == 1
    assert "--public-key" in run("verify", str(path), env=nothing(env)).output


def test_verify_refuses_an_invalid_key(used: tuple[Path, dict[str, str]]) -> None:
    told = run("verify", str(used[0]), "--public-key", "junk", env=used[1])
    assert (told.exit_code, "'junk' is no public key" in told.output) == (2, True)


def test_verify_calls_nothing_whole_when_redis_is_down_unless_offline(
    used: tuple[Path, dict[str, str]],
) -> None:
    path, env = used
    down = {**env, "REDIS_URL": "redis://127.0.0.1:1/0"}
    told = run("verify", str(path), env=down)
    assert (told.exit_code, "Whole" in told.output, "--offline" in told.output) == (1, False, True)
    meant = run("verify", str(path), "--offline", env=down)
    assert (meant.exit_code, "Whole" in meant.output, "Not checked" in meant.output) == (0, False, True)
    scripts = json.loads(run("verify", "--offline", "--json", env=down).output)
    assert (scripts["whole"], len(scripts["notChecked"]), scripts["problems"]) == (None, 1, [])


def test_verify_looks_at_the_configured_trail_when_no_file_is_named(
    used: tuple[Path, dict[str, str]],
) -> None:
    path, env = used
    assert run("verify", env=env).exit_code == 0
    assert "is not a file" in run("verify", env={**env, "RESOLVER_AUDIT_LOG": "-"}).output
    path.write_bytes(path.read_bytes().replace(b'"backend"', b'"backens"', 1))
    assert run("verify", env=env).exit_code == 1


def test_verify_misses_lines_in_other_files_and_says_what_to_do(
    used: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    path, env = used
    elsewhere = tmp_path / "elsewhere.log"
    stray = {**env, "RESOLVER_AUDIT_LOG": str(elsewhere)}
    assert CliRunner().invoke(main, ["privacy", "export", "--user", "ben"], env=stray).exit_code == 0
    more = [*path.read_bytes().splitlines(keepends=True), *written(tmp_path / "later")[0]]
    (later := tmp_path / "more.log").write_bytes(b"".join(more))
    own = json.loads(more[0])["key"]
    keys = ("--public-key", own, "--public-key", SIGNER.public_key)
    told = run("verify", str(later), *keys, env=env)
    assert (told.exit_code, "Kept in another one? Name all" in told.output) == (1, True)
    assert run("verify", str(later), str(elsewhere), *keys, env=env).exit_code == 0


def test_file_that_is_no_trail_is_one_problem(used: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    path, env = used
    (page := tmp_path / "page.md").write_text("# Page\n\nwith\nlines\n")
    told = run("verify", str(page), env=env)
    assert (told.exit_code, told.output.count("FAIL")) == (1, 1)
    assert "page.md: no audit trail" in told.output
    both = run("verify", str(page), str(path), env=env)
    assert (both.exit_code, both.output.count("FAIL")) == (1, 1)


def test_tail_shows_text_or_json_lines(used: tuple[Path, dict[str, str]]) -> None:
    path, env = used
    spoken = run("tail", env=env).output
    assert "backend backend" in spoken
    assert "user ben" in spoken
    assert "for ben" in spoken
    assert "mirror add" in spoken
    raw = run("tail", "--json", str(path), env=env).output
    assert raw.encode() == path.read_bytes()


@pytest.mark.parametrize(
    ("chain", "at"), [("\\ud800", "2026-01-01T00:00:00.000Z"), ("c1", "0001-01-01T00:00:00+14:00")]
)
def test_a_forged_line_does_not_stop_verification(chain: str, at: str) -> None:
    line = (
        f'{{"audit":1,"chain":"{chain}","seq":0,"at":"{at}","action":"anchor","signature":"","hash":"00"}}\n'
    )
    verifier = Verifier([SIGNER.public_key])
    verifier.read("forged", [line.encode()])
    verifier.finish()
    assert verifier.problems
