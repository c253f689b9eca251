"""Which web pages may call the callbacks: an exact list of origins, never a pattern.

`Vary: Origin` is on every reply, allowed or not, so that no cache hands one origin's reply to another.
"""

from __future__ import annotations

from dataclasses import dataclass

Header = tuple[str, str]
_METHODS = "POST"
_HEADERS = "authorization, content-type"
_EXPOSED = "x-request-id, retry-after"
_MAX_AGE_SECONDS = "600"


@dataclass(frozen=True, slots=True)
class Cors:
    origins: frozenset[str]
    credentials: bool
    """Whether a page may have the browser send its cookies along."""

    def headers(self, origin: str | None) -> list[Header]:
        found = [("Vary", "Origin")]
        if origin in self.origins:
            found += [("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", _EXPOSED)]
            if self.credentials:
                found.append(("Access-Control-Allow-Credentials", "true"))
        return found

    def preflight(self, origin: str | None) -> list[Header]:
        """The headers that answer a browser's question before a call, beside those of every reply."""
        if origin not in self.origins:
            return []
        return [
            ("Access-Control-Allow-Methods", _METHODS),
            ("Access-Control-Allow-Headers", _HEADERS),
            ("Access-Control-Max-Age", _MAX_AGE_SECONDS),
        ]
