"""The loops can fail: they report each variant of the resolver that breaks a promise on purpose."""

from __future__ import annotations

from typing import Any

import pytest

from resolver.errors import StoreUnavailable, Unavailable
from resolver.outbox import sender
from resolver.outbox.queue import Claim, Outbox
from resolver.outbox.rewriting import Rewritten
from resolver.privacy.erase import Erase
from resolver.store import records as store
from resolver.store.command import Command, Entry, Place
from resolver.store.guard import read_script
from resolver.store.record import Record
from resolver.store.records import RecordStore, Written
from tests.faults.conftest import MakeWorld
from tests.faults.invariants import violations
from tests.faults.loop import Loop
from tests.faults.operations import OPERATIONS
from tests.faults.proxies import FAULTS

pytestmark = [pytest.mark.system, pytest.mark.single_server]


def found_by(make_world: MakeWorld, operation: str, fault: str, n: int | str, rival: str = "") -> str:
    """Return what the loop reports. `n` is the number of the exchange to lose, or its name."""
    loop = Loop(make_world(OPERATIONS[operation]), OPERATIONS[operation], rival)
    if isinstance(n, str):
        n = loop.reference.seen[FAULTS[fault].service].index(n) + 1
    return "\n".join(wrong for point in loop.points(FAULTS[fault], [n]) for wrong in violations(point))


def test_loop_finds_an_add_that_is_acknowledged_without_its_commit(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = RecordStore.put

    def hasty(vault: RecordStore, record: Record, entry: Entry | None = None) -> Written:
        try:
            return put(vault, record, entry)
        except StoreUnavailable:
            return Written("")

    monkeypatch.setattr(RecordStore, "put", hasty)
    assert "what was acknowledged is done" in found_by(make_world, "add-inline", "request-lost", 1)


def test_loop_finds_a_change_that_does_not_compare_the_version_it_read(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(package: str, name: str) -> str:
        return read_script(package, name).replace("~= ARGV[4]", "== 'never'")

    monkeypatch.setattr(store, "read_script", blind)
    assert "what was acknowledged is done" in found_by(make_world, "update", "overtaken", 3, "update")


def test_loop_finds_a_command_that_is_finished_before_velt_has_it(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_back = sender.VeltSender.release

    def careless(self: sender.VeltSender, claimed: Claim, *args: Any, **more: Any) -> None:
        try:
            self.outbox.complete(claimed)
        except Unavailable:
            give_back(self, claimed, *args, **more)

    monkeypatch.setattr(sender.VeltSender, "release", careless)
    assert "what was acknowledged is done" in found_by(make_world, "add-inline", "velt-request-lost", 1)


def test_loop_finds_an_erasure_that_forgets_commands_that_wait(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Erase, "commands", lambda *_: Rewritten(0, 0))
    assert "what was erased opens nowhere" in found_by(make_world, "erase-person", "request-lost", 2)


def test_loop_finds_a_lease_that_is_ignored(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker then sends what a request is sending: Velt gets the older audience last."""
    entry = sender.VeltSender.entry

    def unleased(self: sender.VeltSender, command: Command, inline: bool, *place: Place) -> Entry:
        return entry(self, command, inline, *place)._replace(lease_ms=0)

    monkeypatch.setattr(sender.VeltSender, "entry", unleased)
    found = found_by(make_world, "add-inline", "velt-overtaken", 1, "add-with-worker")
    assert "what was acknowledged is done" in found


def test_loop_finds_an_erasure_that_does_not_look_a_second_time(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused add restores the record before it, after the erasure has read the records."""
    monkeypatch.setattr(Outbox, "moves", lambda _outbox: [])
    found = found_by(make_world, "erase-person", "overtaken", "SCAN {p[0-9][0-9]}c", "refusal")
    assert "what was erased opens nowhere" in found
