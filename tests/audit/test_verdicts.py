"""What the verifier says of each way in which a trail can differ from what was written, word for word."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from resolver import clock
from resolver.audit.chain import Link, chain_start, linked, signed_text
from resolver.audit.event import as_json
from resolver.audit.signing import Signer
from resolver.audit.verify import KnownCheckpoint, Problem, Verifier, first_time
from resolver.config.secret import Secret
from tests.audit.test_trail import SIGNER

JSON = dict[str, Any]
NAME = "c" * 16
OTHER = Signer([Secret(b"o" * 32)])
BEGAN = 1_800_000_000_000
"""When the first line is written, in epoch milliseconds."""
AFTERWARDS = BEGAN + 3_600_000


def moment(milliseconds: int = 0) -> str:
    """The time of a line, so long after the first one."""
    return clock.millisecond(BEGAN + milliseconds)


class Written:
    """A chain's lines, made one by one."""

    def __init__(self, name: str = NAME, key: str = SIGNER.public_key, at: str | None = None) -> None:
        self.head, self.lines = chain_start(name), list[bytes]()
        self.add({"action": "begin", "key": key}, at or moment())

    def add(self, body: JSON, at: str | None = None) -> Written:
        self.head, line = linked(self.head, at or moment(), as_json(body))
        self.lines.append(line)
        return self

    def events(self, *times: int) -> Written:
        for time in times:
            self.add({"action": "get", "outcome": "ok"}, moment(time))
        return self

    def sign(self, at: int = 0, signer: Signer = SIGNER) -> Written:
        signature = signer.sign(signed_text(self.head))
        return self.add({"action": "anchor", "signature": signature}, moment(at))

    @property
    def kept(self) -> KnownCheckpoint:
        """What Redis keeps of it."""
        return KnownCheckpoint(self.head.seq, self.head.hash, moment())


def verified(
    *lines: bytes,
    keys: Iterable[str] = (SIGNER.public_key,),
    now: int | None = AFTERWARDS,
    kept: Mapping[str, KnownCheckpoint] | None = None,
) -> Verifier:
    verifier = Verifier(keys, kept, now)
    verifier.read("audit.log", lines)
    verifier.finish()
    return verifier


def is_whole(verifier: Verifier) -> bool:
    return not (verifier.problems or verifier.unsigned or verifier.notes)


@pytest.fixture
def signed() -> Written:
    """Five lines: the beginning, three events, and their checkpoint."""
    return Written().events(1, 2, 3).sign(4)


def test_whole_chain_is_summarized(signed: Written) -> None:
    verifier = verified(*signed.lines, kept={NAME: signed.kept})
    assert is_whole(verifier)
    (chain,) = verifier.chains.values()
    assert (chain.events, chain.lines, chain.signed_to) == (3, 5, 4)
    assert (chain.began, chain.last, chain.key) == (moment(), moment(4), SIGNER.public_key)
    assert chain.head == signed.head


def test_event_of_several_lines_counts_once() -> None:
    made = Written().add({"action": "get", "part": "1/2"}).add({"action": "get", "part": "2/2"}).sign()
    assert verified(*made.lines).chains[NAME].events == 1


def test_chain_without_its_first_lines_is_named(signed: Written) -> None:
    verifier = verified(*signed.lines[3:])
    said = f"chain {NAME} begins at line 3: the 3 before are not here"
    assert verifier.problems == [Problem("audit.log:1", said)]
    assert (
        verified(*signed.lines[1:]).problems[0].what.endswith("begins at line 1: the 1 before are not here")
    )


def test_hash_of_the_first_line_present_is_compared_only_if_it_is_the_chains_first(signed: Written) -> None:
    """The line before it, which its hash covers too, is missing."""
    assert len(verified(*signed.lines[2:]).problems) == 1
    first = signed.lines[0].replace(b'"begin"', b'"began"')
    assert verified(first).problems == [
        Problem("audit.log:1", f"edited: line 0 of chain {NAME} is not what was written")
    ]


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ({2}, "deleted: line 2"),
        ({1, 2, 3}, "deleted: 3 lines (1 to 3)"),
        ({1, 3}, "deleted: 2 lines (1 to 3)"),
    ],
)
def test_missing_lines_are_named_by_number(missing: set[int], said: str) -> None:
    lines = Written().events(1, 2, 3, 4).sign(5).lines
    left = [line for number, line in enumerate(lines) if number not in missing]
    assert verified(*left).problems == [Problem(f"chain {NAME}", said)]


def test_gap_of_any_length_takes_bounded_memory(signed: Written) -> None:
    """A forged line may claim any number."""
    far = Link(NAME, 10**12, signed.head.hash)
    _, line = linked(far, moment(5), as_json({"action": "get"}))
    verifier = verified(*signed.lines, line)
    assert verifier.problems == [Problem(f"chain {NAME}", "deleted: 9999 lines (5 to 10003)")]


def test_moved_line_is_named_and_not_missing(signed: Written) -> None:
    first, second, third, *rest = signed.lines
    problems = verified(first, third, second, *rest).problems
    assert problems == [Problem("audit.log:3", f"reordered: line 1 of chain {NAME} stands too late")]


def test_repeated_line_is_named(signed: Written) -> None:
    second = signed.lines[1]
    problems = verified(*signed.lines[:3], second, *signed.lines[3:], second).problems
    said = f"inserted: chain {NAME} has another line 1 already"
    assert problems == [Problem("audit.log:4", said), Problem("audit.log:7", said)]


def test_moved_line_that_comes_twice_is_an_inserted_one(signed: Written) -> None:
    first, second, third, *rest = signed.lines
    problems = verified(first, third, second, second, *rest).problems
    assert [problem.what.split(":")[0] for problem in problems] == ["reordered", "inserted"]


def test_edited_line_is_named(signed: Written) -> None:
    lines = list(signed.lines)
    lines[2] = lines[2].replace(b'"ok"', b'"no"')
    assert verified(*lines).problems == [
        Problem("audit.log:3", f"edited: line 2 of chain {NAME} is not what was written")
    ]


def test_line_that_differs_from_the_checkpoint_in_redis_is_named(signed: Written) -> None:
    kept = KnownCheckpoint(3, "0" * 64, moment())
    assert verified(*signed.lines, kept={NAME: kept}).problems == [
        Problem("audit.log:4", "rewritten: line 3 is not the one in the checkpoint that Redis holds")
    ]
    assert is_whole(verified(*signed.lines, kept={"another": KnownCheckpoint(3, "0" * 64, moment(9))}))


def test_checkpoint_that_does_not_sign_its_lines_is_named() -> None:
    for signer in (OTHER, SIGNER):
        made = Written().events(1)
        signature = signer.sign(signed_text(made.head if signer is OTHER else chain_start(NAME)))
        made.add({"action": "anchor", "signature": signature}, moment(2))
        verifier = verified(*made.lines)
        said = f"rewritten: the checkpoint does not sign the lines before it in chain {NAME}"
        assert verifier.problems == [Problem("audit.log:3", said)]
        assert verifier.chains[NAME].signed_to == -1
        assert [what for _, what in verifier.unsigned] == [UNSIGNED.format("its last 3 lines")]


@pytest.mark.parametrize("signature", [{}, {"signature": None}, {"signature": ""}, {"signature": "None"}])
def test_checkpoint_without_a_signature_signs_nothing(signature: JSON) -> None:
    made = Written().add({"action": "anchor", **signature})
    assert [what.split(":")[0] for _, what in verified(*made.lines).problems] == ["rewritten"]


def test_chain_of_a_key_that_is_not_trusted_is_named_and_not_judged_further() -> None:
    made = Written(key=OTHER.public_key).events(1).sign(2, OTHER).events(3, 9000)
    verifier = verified(*made.lines)
    said = (
        f"strange: chain {NAME} is signed by {OTHER.public_key}, which is not a trusted key "
        "(a process with another RESOLVER_SIGNING_KEY, or a forger)"
    )
    assert verifier.problems == [Problem("audit.log:3", said)]
    assert (verifier.unsigned, verifier.notes, verifier.chains[NAME].signed_to) == ([], [], -1)


def test_every_trusted_key_may_sign(signed: Written) -> None:
    both = [OTHER.public_key, SIGNER.public_key]
    former = Written("f" * 16, OTHER.public_key).sign(1, OTHER)
    assert is_whole(verified(*signed.lines, *former.lines, keys=both))


def test_chain_that_names_no_key_is_held_to_the_trusted_ones() -> None:
    for signer, problems in ((SIGNER, []), (OTHER, ["rewritten"])):
        made = Written(key="").events(1).sign(2, signer)
        assert [what.split(":")[0] for _, what in verified(*made.lines).problems] == problems


def test_chain_is_held_to_the_key_that_it_names_when_none_is_trusted() -> None:
    assert is_whole(verified(*Written().sign(1).lines, keys=()))
    forged = Written(key=OTHER.public_key).sign(1)
    assert [what.split(":")[0] for _, what in verified(*forged.lines, keys=()).problems] == ["rewritten"]


UNSIGNED = (
    "no signature covers {}. A process that was killed leaves such an end; someone who can write to the file "
    "may have added it"
)


@pytest.mark.parametrize(("count", "said"), [(1, "its last line"), (2, "its last 2 lines")])
def test_unsigned_end_is_named_by_its_length(signed: Written, count: int, said: str) -> None:
    verifier = verified(*signed.events(*[5] * count).lines)
    assert verifier.unsigned == [Problem(f"chain {NAME}", UNSIGNED.format(said))]
    assert (verifier.problems, verifier.notes) == ([], [])


def test_unsigned_end_counts_from_the_first_line_present() -> None:
    made = Written().events(1, 2, 3)
    assert UNSIGNED.format("its last 4 lines") == verified(*made.lines).unsigned[0].what
    assert UNSIGNED.format("its last 2 lines") == verified(*made.lines[2:]).unsigned[0].what


def test_unsigned_end_longer_than_two_seconds_is_a_problem(signed: Written) -> None:
    """A process signs within a second, so no process leaves such an end."""
    assert not verified(*signed.events(1000, 3000).lines).problems
    verifier = verified(*signed.events(3001).lines)
    said = (
        f"unsigned: no signature covers its last 3 lines, from {moment(1000)[:19]}Z to {moment(3000)[:19]}Z. "
        "A process signs within a second: they were added, or their signatures were removed"
    )
    assert verifier.problems == [Problem(f"chain {NAME}", said)]
    assert (verifier.unsigned, verifier.notes) == ([], [])


def test_unsigned_end_spans_from_its_earliest_to_its_latest_time(signed: Written) -> None:
    for times in ((6000, 1000, 3000), (3000, 6000, 1000), (1000, 3000, 6000)):
        made = Written().events(1).sign(4).events(*times)
        said = verified(*made.lines).problems[0].what
        assert f"from {moment(1000)[:19]}Z to {moment(6000)[:19]}Z." in said


@pytest.mark.parametrize("at", ["no date", "1969-12-31T23:59:59.000Z", "0001-01-01T00:00:00+14:00"])
def test_unsigned_end_with_a_time_that_no_process_writes_is_a_problem(signed: Written, at: str) -> None:
    problems = verified(*signed.events(1000).add({"action": "get"}, at).lines).problems
    assert f"from no date to {moment(1000)[:19]}Z." in problems[0].what


@pytest.mark.parametrize(("age", "is_note"), [(-1, False), (0, True), (1999, True), (2000, False)])
def test_unsigned_end_of_the_last_two_seconds_is_a_note(signed: Written, age: int, is_note: bool) -> None:
    verifier = verified(*signed.events(10, 20).lines, now=BEGAN + 20 + age)
    said = "its last 2 lines were written within the last two seconds, and are not signed yet"
    assert verifier.notes == ([Problem(f"chain {NAME}", said)] if is_note else [])
    assert bool(verifier.unsigned) is not is_note
    assert not verifier.problems


def test_age_of_an_unsigned_end_is_taken_from_the_clock_when_no_time_is_given() -> None:
    made = Written(at=clock.millisecond_now())
    assert [what for _, what in verified(*made.lines, now=None).notes] == [
        "its last line was written within the last two seconds, and is not signed yet"
    ]
    assert verified(*Written(at="2020-01-01T00:00:00.000Z").lines, now=None).unsigned


def test_chain_shorter_than_its_checkpoint_in_redis_is_named(signed: Written) -> None:
    kept = signed.kept
    for left, lost in ((4, 1), (2, 3)):
        problems = verified(*signed.lines[:left], kept={NAME: kept}).problems
        said = f"truncated: {lost} lines or more are missing at its end"
        assert Problem(f"chain {NAME}", said) in problems
    assert is_whole(verified(*signed.events(9).sign(9).lines, kept={NAME: kept}))


@pytest.mark.parametrize(("at", "is_missing"), [(-1, False), (0, True), (3, True), (4, True), (5, False)])
def test_chain_that_redis_knows_is_missing_if_it_falls_into_the_time_of_the_files(
    signed: Written, at: int, is_missing: bool
) -> None:
    verifier = verified(*signed.lines, kept={"gone": KnownCheckpoint(6, "0" * 64, moment(at))})
    said = (
        "deleted: 7 lines are not in these files. Kept in another one? Name all, also those that operators' "
        "commands wrote"
    )
    assert verifier.problems == ([Problem("chain gone", said)] if is_missing else [])


def test_time_of_the_files_is_that_of_all_their_chains(signed: Written) -> None:
    later = Written("d" * 16, at=moment(100)).sign(200)
    for at in (2, 50, 150):
        lines = [*later.lines, *signed.lines] if at == 50 else [*signed.lines, *later.lines]
        assert len(verified(*lines, kept={"gone": KnownCheckpoint(0, "", moment(at))}).problems) == 1


def test_files_without_any_line_are_named() -> None:
    assert verified().problems == [Problem("files", "empty: no line of a trail is in them")]
    assert verified(b"\n", b"  \n").problems == verified().problems


def test_file_that_is_no_trail_is_named_once_and_other_problems_stay(signed: Written) -> None:
    verifier = Verifier([SIGNER.public_key], now=AFTERWARDS)
    verifier.read("first.log", signed.lines[1:])
    verifier.read("page.md", [b"# Page\n", b"\n", b"text\n"])
    verifier.read("empty.log", [])
    verifier.finish()
    assert [where for where, _ in verifier.problems] == ["first.log:1", "page.md"]
    assert verifier.problems[1].what == "no audit trail: no line of one is in it"


@pytest.mark.parametrize("line", [b'{"aud \n', b'{"audX\n', b'"audit"\n', b'{"audit":2,\n'])
def test_line_that_a_cut_cannot_leave_is_an_inserted_one(signed: Written, line: bytes) -> None:
    verifier = verified(*signed.lines, line)
    assert verifier.problems == [Problem("audit.log:6", "inserted: not a line of the audit trail")]


@pytest.mark.parametrize("more", [b" \n", b"\t\n", b"\r\n"])
def test_bytes_after_the_hash_are_an_edit(signed: Written, more: bytes) -> None:
    first, *rest = signed.lines
    assert verified(first[:-1] + more, *rest).problems[0] == Problem(
        "audit.log:1", f"edited: line 0 of chain {NAME} is not what was written"
    )


def test_checkpoint_at_the_beginning_of_the_files_proves_nothing(signed: Written) -> None:
    """The lines that it signs are in another file."""
    assert verified(*signed.lines[4:]).problems == [
        Problem("audit.log:1", f"chain {NAME} begins at line 4: the 4 before are not here"),
        Problem(
            "audit.log:1",
            f"rewritten: the checkpoint does not sign the lines before it in chain {NAME}",
        ),
    ]


def test_problem_is_named_by_file_and_line_number(signed: Written) -> None:
    verifier = verified(b"\n", *signed.lines, b"hello\n", b"{}\n")
    said = "inserted: not a line of the audit trail"
    assert verifier.problems == [Problem("audit.log:7", said), Problem("audit.log:8", said)]


@pytest.mark.parametrize("cut", [b'{"aud\n', b'{"audit":1,', b'{"audit":1,"chain":"c"\n', b"{"])
def test_line_that_was_not_written_whole_is_a_note(signed: Written, cut: bytes) -> None:
    verifier = verified(*signed.lines, cut)
    assert verifier.notes == [Problem("audit.log:6", "torn: a line that was not written whole")]
    assert not verifier.problems


@pytest.mark.parametrize(
    "changes",
    [
        {"chain": 7},
        {"chain": ""},
        {"chain": "c" * 65},
        {"chain": "a chain"},
        {"seq": None},
        {"seq": True},
        {"seq": -1},
        {"seq": 1.0},
        {"seq": "1"},
        {"at": None},
        {"at": 7},
    ],
    ids=repr,
)
def test_line_of_another_shape_is_an_inserted_one(signed: Written, changes: JSON) -> None:
    """Also when it has the beginning of a trail's line."""
    fields = {"audit": 1, "chain": "d", "seq": 0, "at": moment(), "hash": "0" * 64, **changes}
    verifier = verified(*signed.lines, as_json(fields) + b"\n")
    assert verifier.problems == [Problem("audit.log:6", "inserted: not a line of the audit trail")]
    without = {name: value for name, value in fields.items() if name not in changes}
    assert verified(*signed.lines, as_json(without) + b"\n").problems == verifier.problems


def test_names_of_chains_may_have_64_characters() -> None:
    assert is_whole(verified(*Written("Az09_-" + "c" * 58).sign().lines))


def test_line_that_nests_too_deeply_is_not_read(signed: Written) -> None:
    deep = b'{"audit":1,"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}\n"
    assert len(verified(*signed.lines, deep).notes) == 1


def test_files_are_ordered_by_the_time_of_their_first_line(signed: Written) -> None:
    assert first_time(iter([b"\n", b"hello\n", *signed.lines[1:]])) == moment(1)
    assert first_time(iter([b"hello\n"])) == ""


def test_signature_covers_chain_length_and_hash(signed: Written) -> None:
    head = Link(NAME, 3, "ab")
    assert signed_text(head) == f"vnr audit anchor\n{NAME}\n3\nab".encode()
    raw = base64.b64decode(SIGNER.sign(signed_text(head)))
    assert len(raw) == 64
