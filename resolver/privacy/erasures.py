"""File and follow erasures. `Eraser` carries them out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from resolver.errors import StoreTampered
from resolver.privacy.certificate import InvalidCertificate, verified_document
from resolver.privacy.erase import Effect
from resolver.privacy.erasure_request import ErasureRequest, Phase
from resolver.privacy.erasure_store import ErasureStore

JSON = dict[str, Any]
TAMPERED = "tampered"


@dataclass(frozen=True, slots=True)
class Erasures:
    erasure_store: ErasureStore
    keys: Callable[[], Collection[str]]
    """Returns the public keys whose signatures are accepted."""

    def file(self, request: ErasureRequest) -> None:
        """Store the request. From here on it will be carried out, even if processes crash."""
        self.erasure_store.file(request.id, request.bounded().state())

    def find(self, id_: str) -> JSON | None:
        """Return status, counts and, when it is done, the erasure certificate; None for an unknown id.
        Raises VaultTampered when Redis returns a certificate that was not signed here, or another's."""
        if (state := self.erasure_store.read(id_)) is not None:
            request = ErasureRequest.from_state(state)
            return {
                "erasureId": id_,
                "status": request.phase,
                "counts": counts(request, self.erasure_store.touched(id_)),
            }
        if (kept := self.erasure_store.certificate(id_)) is None:
            return None
        whole = self._proven(id_, kept)
        found = whole["certificate"]["counts"]
        return {"erasureId": id_, "status": Phase.DONE, "counts": found, "certificate": whole}

    def pending(self) -> tuple[int, float]:
        """Return how many erasures are open, and the age of the oldest in seconds."""
        asked = [ErasureRequest.from_state(state).asked for state in self.erasure_store.under_way().values()]
        first = min(map(datetime.fromisoformat, asked), default=None)
        return len(asked), (datetime.now(UTC) - first).total_seconds() if first else 0.0

    def all(self) -> Iterator[JSON]:
        """Every erasure as `find` returns it, with `askedAt`, oldest first. Its status is TAMPERED where
        `find` would raise."""
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
        """Verify what Redis returned: a process with write access could mark any erasure as done."""
        try:
            whole = verified_document(kept, self.keys())
        except InvalidCertificate:
            whole = None
        if whole is None or whole["certificate"]["erasureId"] != id_:
            raise StoreTampered(f"redis: the certificate of erasure {id_} isn't the one that was signed")
        return whole


def counts(request: ErasureRequest, touched: dict[str, str]) -> JSON:
    effects = Counter(touched.values())
    return {
        "lookedAt": request.looked,
        "removed": effects[Effect.REMOVED],
        "cut": effects[Effect.CUT] + effects[Effect.CUT_WITH_COMMAND],
        "commands": request.commands,
        "unreadable": request.unreadable,
    }
