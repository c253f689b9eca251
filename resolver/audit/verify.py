"""Verify trails, and name how they were tampered with. It uses only the rules of the chain, no writer's code.

A file may contain lines of several processes, and a process's lines may be in several files. Memory doesn't
grow with their length.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from resolver import clock
from resolver.audit.chain import GENESIS, Link, digest_of, signed_text, split_line
from resolver.audit.signing import is_signed

JSON = dict[str, Any]
_PREFIX = b'{"audit":1,'
_MAX_GAPS = 10_000
_CHAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")
SIGNED_WITHIN_MS: Final = 2000
"""A process signs its lines within a second, and adds no line to older unsigned ones (`chain_writer.py`)."""


class Problem(NamedTuple):
    where: str
    what: str


class KnownCheckpoint(NamedTuple):
    """A checkpoint kept elsewhere: the chain had at least this length."""

    seq: int
    hash: str
    at: str


@dataclass
class Span:
    """Earliest and latest time of lines, in epoch milliseconds."""

    earliest: int
    latest: int

    def extend(self, at: int) -> None:
        self.earliest, self.latest = min(self.earliest, at), max(self.latest, at)


@dataclass
class Chain:
    """State of one chain so far."""

    head: Link
    first: int
    began: str = ""
    last: str = ""
    events: int = 0
    lines: int = 0
    key: str = ""
    signed_to: int = -1
    unsigned: Span | None = None
    """Span of the lines since the last checkpoint."""
    is_strange: bool = False
    missing: set[int] = field(default_factory=set)


class Verifier:
    def __init__(
        self,
        public_keys: Iterable[str] = (),
        checkpoints: Mapping[str, KnownCheckpoint] | None = None,
        now: int | None = None,
    ) -> None:
        """`now`: epoch milliseconds, else the clock's."""
        self._trusted = frozenset(public_keys)
        self._checkpoints = dict(checkpoints or {})
        self._now = now
        self.chains: dict[str, Chain] = {}
        self.problems: list[Problem] = []
        self.unsigned: list[Problem] = []
        """Ends of chains that no signature covers: they may be genuine."""
        self.notes: list[Problem] = []

    def read(self, name: str, lines: Iterable[bytes]) -> None:
        """Read the lines of a file. A file without any line of a trail is one problem, not one for each
        line."""
        problems, is_trail = len(self.problems), False
        for number, line in enumerate(lines, start=1):
            is_trail |= self._line(f"{name}:{number}", line)
        if not is_trail and self.problems[problems:]:
            self.problems[problems:] = [Problem(name, "no audit trail: no line of one is in it")]

    def finish(self) -> None:
        """Find problems that only show after the last file: missing lines at the ends, and missing chains."""
        for name, chain in self.chains.items():
            if chain.missing:
                self._problem(f"chain {name}", f"deleted: {_ranges(chain.missing)}")
            self._compare_with_checkpoint(name, chain)
            if chain.unsigned and not chain.is_strange:
                self._judge_unsigned(f"chain {name}", chain, chain.unsigned)
        self._look_for_missing_chains()

    def _line(self, where: str, line: bytes) -> bool:
        """Read a line; False when it isn't one of a trail."""
        if not line.strip():
            return False
        parsed = _parsed(line)
        if parsed is None:
            self._stranger(where, line)
            return False
        chain = self.chains.get(parsed["chain"])
        if chain is None:
            chain = self._begin(where, parsed)
        self._append(where, line, parsed, chain)
        return True

    def _stranger(self, where: str, line: bytes) -> None:
        is_cut_off = line.startswith(_PREFIX) or _PREFIX.startswith(line.rstrip(b"\n"))
        if is_cut_off and _json(line) is None:
            self._note(where, "torn: a line that was not written whole")
        else:
            self._problem(where, "inserted: not a line of the audit trail")

    def _begin(self, where: str, parsed: JSON) -> Chain:
        seq = parsed["seq"]
        chain = Chain(Link(parsed["chain"], seq - 1, GENESIS), seq, began=parsed["at"])
        self.chains[parsed["chain"]] = chain
        if seq:
            self._problem(
                where, f"chain {parsed['chain']} begins at line {seq}: the {seq} before are not here"
            )
        return chain

    def _append(self, where: str, line: bytes, parsed: JSON, chain: Chain) -> None:
        seq = parsed["seq"]
        said, named = split_line(line)
        if seq <= chain.head.seq:
            self._out_of_place(where, seq, chain)
            return
        if seq > chain.head.seq + 1:
            chain.missing.update(range(chain.head.seq + 1, min(seq, chain.head.seq + _MAX_GAPS)))
        elif (chain.lines or not seq) and digest_of(chain.head.hash, said) != named:
            self._problem(where, f"edited: line {seq} of chain {parsed['chain']} is not what was written")
        self._accept(where, parsed, chain, Link(parsed["chain"], seq, named))

    def _out_of_place(self, where: str, seq: int, chain: Chain) -> None:
        if seq in chain.missing:
            chain.missing.discard(seq)
            self._problem(where, f"reordered: line {seq} of chain {chain.head.chain} stands too late")
        else:
            self._problem(where, f"inserted: chain {chain.head.chain} has another line {seq} already")

    def _accept(self, where: str, parsed: JSON, chain: Chain, link: Link) -> None:
        self._date(chain, parsed["at"])
        if parsed.get("action") == "begin":
            chain.key = str(parsed.get("key"))
        elif parsed.get("action") == "anchor":
            self._checkpoint(where, parsed, chain)
        elif str(parsed.get("part", "1/")).startswith("1/"):
            chain.events += 1
        chain.head, chain.last, chain.lines = link, parsed["at"], chain.lines + 1
        kept = self._checkpoints.get(link.chain)
        if kept and kept.seq == link.seq and kept.hash != link.hash:
            self._problem(
                where, f"rewritten: line {link.seq} is not the one in the checkpoint that Redis holds"
            )

    def _checkpoint(self, where: str, parsed: JSON, chain: Chain) -> None:
        signed = signed_text(chain.head)
        if self._trusted and chain.key and chain.key not in self._trusted:
            self._problem(
                where,
                f"strange: chain {chain.head.chain} is signed by {chain.key}, which is not a trusted key "
                f"(a process with another RESOLVER_SIGNING_KEY, or a forger)",
            )
            chain.is_strange = True
            return
        keys = self._trusted or {chain.key}
        if any(is_signed(signed, str(parsed.get("signature")), key) for key in keys):
            chain.signed_to, chain.unsigned = parsed["seq"], None
        else:
            self._problem(
                where,
                f"rewritten: the checkpoint does not sign the lines before it in chain {chain.head.chain}",
            )

    def _date(self, chain: Chain, at: str) -> None:
        moment = _milliseconds(at)
        if chain.unsigned is None:
            chain.unsigned = Span(moment, moment)
        chain.unsigned.extend(moment)

    def _judge_unsigned(self, where: str, chain: Chain, span: Span) -> None:
        rest = chain.head.seq - max(chain.signed_to, chain.first - 1)
        lines, were, are = (
            ("its last line", "was", "is") if rest == 1 else (f"its last {rest} lines", "were", "are")
        )
        age = (clock.milliseconds() if self._now is None else self._now) - span.latest
        if span.latest - span.earliest > SIGNED_WITHIN_MS:
            self._problem(
                where,
                f"unsigned: no signature covers {lines}, from {_moment(span.earliest)} to "
                f"{_moment(span.latest)}. A process signs within a second: they were added, or their "
                f"signatures were removed",
            )
        elif 0 <= age < SIGNED_WITHIN_MS:
            self._note(where, f"{lines} {were} written within the last two seconds, and {are} not signed yet")
        else:
            self.unsigned.append(
                Problem(
                    where,
                    f"no signature covers {lines}. A process that was killed leaves such an end; someone who "
                    f"can write to the file may have added it",
                )
            )

    def _compare_with_checkpoint(self, name: str, chain: Chain) -> None:
        kept = self._checkpoints.get(name)
        if kept and kept.seq > chain.head.seq:
            lost = kept.seq - chain.head.seq
            self._problem(f"chain {name}", f"truncated: {lost} lines or more are missing at its end")

    def _look_for_missing_chains(self) -> None:
        """Find chains that are missing in the time span of these files; others may be in other files."""
        if not self.chains:
            if not self.problems:
                self._problem("files", "empty: no line of a trail is in them")
            return
        since = min(chain.began for chain in self.chains.values())
        until = max(chain.last for chain in self.chains.values())
        for name, kept in self._checkpoints.items():
            if name not in self.chains and since <= kept.at <= until:
                self._problem(
                    f"chain {name}",
                    f"deleted: {kept.seq + 1} lines are not in these files. Kept in another one? Name all, "
                    f"also those that operators' commands wrote",
                )

    def _problem(self, where: str, what: str) -> None:
        self.problems.append(Problem(where, what))

    def _note(self, where: str, what: str) -> None:
        self.notes.append(Problem(where, what))


def _parsed(line: bytes) -> JSON | None:
    if not line.startswith(_PREFIX):
        return None
    parsed = _json(line)
    shaped = (
        isinstance(parsed, dict)
        and isinstance(parsed.get("chain"), str)
        and _CHAIN.fullmatch(parsed["chain"])
        and type(parsed.get("seq")) is int
        and parsed["seq"] >= 0
        and isinstance(parsed.get("at"), str)
    )
    return parsed if shaped else None


def _milliseconds(at: str) -> int:
    """The time of a line; 0 when it is no date, which no process writes."""
    try:
        return max(0, clock.milliseconds_of(at))
    except (ValueError, OverflowError):
        return 0


def _moment(milliseconds: int) -> str:
    return clock.second(milliseconds // 1000) if milliseconds else "no date"


def _json(line: bytes) -> Any:
    """Parse JSON, else None. The beginning of a line is never valid JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _ranges(numbers: set[int]) -> str:
    ordered = sorted(numbers)
    return (
        f"{len(ordered)} lines ({ordered[0]} to {ordered[-1]})" if len(ordered) > 1 else f"line {ordered[0]}"
    )


def first_time(lines: Iterator[bytes]) -> str:
    """The time of a file's first line, to read files in order."""
    return next((parsed["at"] for line in lines if (parsed := _parsed(line))), "")
