"""Erasures in this process, as the worker carries them out."""

from __future__ import annotations

from typing import Any

from resolver.privacy.eraser import Eraser
from resolver.privacy.erasures import Erasures
from resolver.privacy.order import Order, new_id, today
from tests.cli.test_rotation import drained

JSON = dict[str, Any]
Environment = dict[str, str]


def order(*users: str, **more: Any) -> Order:
    return Order(new_id(), "dpo", today(), users=users, **more)


def filed(eraser: Eraser, what: Order) -> Erasures:
    erasures = Erasures(eraser.orders)
    erasures.file(what)
    return erasures


def done(eraser: Eraser, env: Environment, what: Order) -> JSON:
    """Filed, carried out, told to Velt, certified."""
    erasures = Erasures(eraser.orders)
    if erasures.find(what.id) is None:
        erasures.file(what)
    eraser.round()
    drained(env)
    for _ in range(5):
        eraser._look_again.clear()
        eraser.round()
    found = erasures.find(what.id)
    assert found is not None
    assert found["status"] == "done", found
    return found
