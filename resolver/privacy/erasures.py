"""Erasures as they are asked for and followed; `Eraser` carries them out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import orjson

from resolver.privacy.erase import Fate
from resolver.privacy.order import Order, Phase
from resolver.vault.orders import Orders

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Erasures:
    orders: Orders

    def file(self, order: Order) -> None:
        """From here on it will be done, whatever dies in between."""
        self.orders.file(order.id, order.state())

    def find(self, id_: str) -> JSON | None:
        """How far it is; with the certificate when it is done. None when nobody asked for such a one."""
        if (state := self.orders.read(id_)) is not None:
            order = Order.from_state(state)
            return {
                "erasureId": id_,
                "status": order.phase,
                "counts": counts(order, self.orders.touched(id_)),
            }
        if (kept := self.orders.certificate(id_)) is None:
            return None
        whole = orjson.loads(kept)
        found = whole["certificate"]["counts"]
        return {"erasureId": id_, "status": Phase.DONE, "counts": found, "certificate": whole}


def counts(order: Order, touched: dict[str, str]) -> JSON:
    fates = Counter(touched.values())
    return {
        "lookedAt": order.looked,
        "removed": fates[Fate.REMOVED],
        "cut": fates[Fate.CUT] + fates[Fate.CUT_AND_TOLD],
        "commands": order.commands,
        "unreadable": order.unreadable,
    }
