"""Erasures as they are asked for and followed; `Eraser` carries them out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from resolver.errors import StoreTampered
from resolver.privacy.certificate import InvalidCertificate, proven
from resolver.privacy.erase import Effect
from resolver.privacy.erasure_request import ErasureRequest, Phase
from resolver.privacy.erasure_store import ErasureStore

JSON = dict[str, Any]
TAMPERED = "tampered"


@dataclass(frozen=True, slots=True)
class Erasures:
    erasure_store: ErasureStore
    keys: Callable[[], Collection[str]]
    """Public keys whose signatures count."""

    def file(self, order: ErasureRequest) -> None:
        """From here on it will be done, whatever dies in between."""
        self.erasure_store.file(order.id, order.bounded().state())

    def find(self, id_: str) -> JSON | None:
        """How far it is; with the certificate when it is done. None when nobody asked for such a one.
        StoreTampered when Redis gives out a certificate that was never signed here, or another one's."""
        if (state := self.erasure_store.read(id_)) is not None:
            order = ErasureRequest.from_state(state)
            return {
                "erasureId": id_,
                "status": order.phase,
                "counts": counts(order, self.erasure_store.touched(id_)),
            }
        if (kept := self.erasure_store.certificate(id_)) is None:
            return None
        whole = self._proven(id_, kept)
        found = whole["certificate"]["counts"]
        return {"erasureId": id_, "status": Phase.DONE, "counts": found, "certificate": whole}

    def pressing(self) -> tuple[int, float]:
        """How many are under way, and how many seconds ago the first of them was asked for."""
        asked = [ErasureRequest.from_state(state).asked for state in self.erasure_store.under_way().values()]
        first = min(map(datetime.fromisoformat, asked), default=None)
        return len(asked), (datetime.now(UTC) - first).total_seconds() if first else 0.0

    def all(self) -> Iterator[JSON]:
        """Those under way and those done, each as `find` has it and with when it was asked for, the oldest
        first; of what was tampered with, that it was."""
        ids = {*self.erasure_store.under_way(), *self.erasure_store.certificates()}
        listed = filter(None, map(self._listed, sorted(ids)))
        yield from sorted(listed, key=lambda found: str(found.get("askedAt", "")))

    def _listed(self, id_: str) -> JSON | None:
        state = self.erasure_store.read(id_)
        try:
            found = self.find(id_)
        except StoreTampered:
            return {"erasureId": id_, "status": TAMPERED}
        if found is None:
            return None
        certificate = found.get("certificate", {}).get("certificate")
        asked = certificate["askedAt"] if certificate else (state or {}).get("asked", "")
        return {**found, "askedAt": asked}

    def _proven(self, id_: str, kept: bytes) -> JSON:
        """Redis is no place to be believed: whoever can write to it could call anything done."""
        try:
            whole = proven(kept, self.keys())
        except InvalidCertificate:
            whole = None
        if whole is None or whole["certificate"]["erasureId"] != id_:
            raise StoreTampered(f"redis: the certificate of erasure {id_} isn't the one that was signed")
        return whole


def counts(order: ErasureRequest, touched: dict[str, str]) -> JSON:
    fates = Counter(touched.values())
    return {
        "lookedAt": order.looked,
        "removed": fates[Effect.REMOVED],
        "cut": fates[Effect.CUT] + fates[Effect.CUT_AND_TOLD],
        "commands": order.commands,
        "unreadable": order.unreadable,
    }
