"""A transcript of a probe: what was asked of Velt and how it answered, without content, ids or secrets.

It is made to be shared and committed, so nothing of an answer is shown unless it is known to be harmless:
names of fields, numbers, booleans, and texts that Velt's documents give. Other texts appear as their length,
and so do names in maps that are free or keyed by ids.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resolver import __version__, utc
from resolver.cli.finding import Finding
from resolver.deadline import Deadline
from resolver.errors import ResolverError, VeltRefused
from resolver.velt.client import Endpoint, VeltClient

JSON = dict[str, Any]
_DOCUMENTED = re.compile(
    r"success|custom|comment|huddle|crdt"
    r"|INVALID_ARGUMENT|NOT_FOUND|ALREADY_EXISTS|PERMISSION_DENIED|UNAUTHENTICATED|INTERNAL"
    r"|Notification(\(s\))? (added|updated|deleted|retrieved) successfully\."
    r"|Notification (updated|deleted)\.|Failed to (update|delete) notification\."
    r"|Notification (already exists|not found)\."
)
_FIELD = re.compile(r"[A-Za-z]{1,40}")
_FREE_MAPS = frozenset(
    {
        "access",
        "data",
        "details",
        "displayBodyMessageTemplateData",
        "displayHeadlineMessageTemplateData",
        "metadata",
        "notificationSourceData",
        "notifyUsersByUserId",
    }
)
_DOCUMENTED_NAMES = frozenset(
    {"actionUser", "apiKey", "documentId", "locationId", "message", "organizationId", "success", "userId"}
)
_MOST_SHOWN = 3
"""Items of a list: a document's rows are like each other."""


class Transcript:
    """Records each exchange with Velt. `names` maps ids that a run was told about to placeholders."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = dict(names)
        self._exchanges: list[JSON] = []

    def add(self, path: str, data: JSON, outcome: str, answer: Any) -> None:
        self._exchanges.append(
            {"path": path, "asked": self._shown(data), "outcome": outcome, "answered": self._shown(answer)}
        )

    def write(self, file: Path, url: str, findings: Sequence[Finding]) -> None:
        """`url` is Velt's address as configured: it tells the real one from a sandbox."""
        about = {"made": utc.now(), "resolver": __version__, "velt": url}
        # Without their texts, which quote Velt's words and names.
        found = Counter(finding.outcome for finding in findings if finding.about == "live")
        text = json.dumps({**about, "findings": found, "exchanges": self._exchanges}, indent=2)
        file.write_text(f"{text}\n", encoding="utf-8")

    def _shown(self, value: Any, within: str = "") -> Any:
        if isinstance(value, dict):
            return {self._name(name, within): self._shown(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            more = [f"<{len(value) - _MOST_SHOWN} more>"] if len(value) > _MOST_SHOWN else []
            return [*(self._shown(inner) for inner in value[:_MOST_SHOWN]), *more]
        return self._text(value) if isinstance(value, str) else value

    def _name(self, name: str, within: str) -> str:
        is_field = name in _DOCUMENTED_NAMES if within in _FREE_MAPS else _FIELD.fullmatch(name)
        return name if is_field and name not in self._names else self._text(name)

    def _text(self, text: str) -> str:
        if placeholder := self._names.get(text):
            return placeholder
        return text if _DOCUMENTED.fullmatch(text) else f"<{len(text)} characters>"


class RecordedVeltClient(VeltClient):
    """Velt's client, which writes down what it asked and heard."""

    transcript: Transcript | None = None

    def post(self, endpoint: Endpoint, data: JSON, deadline: Deadline) -> JSON:
        try:
            answer = super().post(endpoint, data, deadline)
        except VeltRefused as refusal:
            self._add(endpoint, data, f"refused: HTTP {refusal.http_status}", refusal.payload)
            raise
        except ResolverError as error:
            # Its kind only: a reason may quote what Velt wrote.
            self._add(endpoint, data, f"no answer: {type(error).__name__}", None)
            raise
        self._add(endpoint, data, "answered", answer)
        return answer

    def _add(self, endpoint: Endpoint, data: JSON, outcome: str, answer: Any) -> None:
        if self.transcript:
            self.transcript.add(endpoint.value, data, outcome, answer)
