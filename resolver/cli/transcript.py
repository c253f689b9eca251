"""The transcript of a probe: requests to Velt and its answers, without content, ids or secrets.

It is made to be shared, so it shows only what is known to be harmless: booleans, field names and texts from
Velt's documentation, and a notification's time. Other texts and names appear as their length, other numbers
not at all: a field name may be a user's word, and a number may be an id.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resolver import __version__, clock
from resolver.cli.finding import Finding
from resolver.deadline import Deadline
from resolver.errors import ResolverError, VeltRefused
from resolver.velt import requests
from resolver.velt.client import VeltClient, VeltEndpoint

JSON = dict[str, Any]
_DOCUMENTED = re.compile(
    r"success|custom|comment|huddle|crdt"
    r"|INVALID_ARGUMENT|NOT_FOUND|ALREADY_EXISTS|PERMISSION_DENIED|UNAUTHENTICATED|INTERNAL"
    r"|Notification(\(s\))? (added|updated|deleted|retrieved) successfully\."
    r"|Notification (updated|deleted)\.|Failed to (update|delete) notification\."
    r"|Notification (already exists|not found)\."
)
_REQUESTS = (requests.ADD, requests.UPDATE, requests.ENTRY, requests.GET, requests.DELETE)
_REQUEST_FIELDS = frozenset(
    name for schema in _REQUESTS for name in (*schema.fields, *schema.checked_elsewhere)
)
_ANSWER_FIELDS = frozenset(
    ("result", "error", "status", "message", "success", "data", "details", "code", "pageToken")
)
_ROW_FIELDS = frozenset(
    (
        "access",
        "actionType",
        "apiKey",
        "forYou",
        "isArchived",
        "isRead",
        "isUnread",
        "notifyUsersByUserId",
        "targetAnnotationId",
        "timestamp",
        "version",
        "views",
        "visibility",
    )
)
_USER_FIELDS = frozenset(("userId", "name", "email", "photoUrl", "color", "textColor", "initial", "type"))
_DOCUMENTED_NAMES = _REQUEST_FIELDS | _ANSWER_FIELDS | _ROW_FIELDS | _USER_FIELDS
_TIME = "timestamp"
_TIMES_MS = range(1_500_000_000_000, 4_200_000_000_000)
"""From 2017 to 2103. A number outside is not a time, whatever its field is called."""
_MOST_SHOWN = 3
"""Items shown of a list: a document's rows resemble each other."""


class Transcript:
    """Records exchanges with Velt. `names` maps the run's ids to placeholders."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = dict(names)
        self._exchanges: list[JSON] = []

    def add(self, path: str, data: JSON, outcome: str, answer: Any) -> None:
        self._exchanges.append(
            {"path": path, "asked": self._shown(data), "outcome": outcome, "answered": self._shown(answer)}
        )

    def write(self, file: Path, url: str, findings: Sequence[Finding]) -> None:
        """Write the file. `url` is Velt's configured address, which tells the real Velt from a sandbox."""
        about = {"made": clock.now(), "resolver": __version__, "velt": url}
        # Only counts: the findings' texts quote Velt's answers.
        found = Counter(finding.outcome for finding in findings if finding.about == "live")
        text = json.dumps({**about, "findings": found, "exchanges": self._exchanges}, indent=2)
        file.write_text(f"{text}\n", encoding="utf-8")

    def _shown(self, value: Any, field: str = "") -> Any:
        match value:
            case dict():
                return self._shown_fields(value)
            case list():
                more = [f"<{len(value) - _MOST_SHOWN} more>"] if len(value) > _MOST_SHOWN else []
                return [*(self._shown(inner) for inner in value[:_MOST_SHOWN]), *more]
            case str():
                return self._text(value)
            case bool() | None:
                return value
            case int() if field == _TIME and value in _TIMES_MS:
                return value
            case _:
                return "<number>"

    def _shown_fields(self, fields: JSON) -> JSON:
        shown: JSON = {}
        labels: Counter[str] = Counter()
        for name, value in fields.items():
            label = self._name(name)
            labels[label] += 1
            # Names of the same length have the same label: a number distinguishes them.
            shown[f"{label} {labels[label]}" if labels[label] > 1 else label] = self._shown(value, name)
        return shown

    def _name(self, name: str) -> str:
        return name if name in _DOCUMENTED_NAMES and name not in self._names else self._text(name)

    def _text(self, text: str) -> str:
        if placeholder := self._names.get(text):
            return placeholder
        return text if _DOCUMENTED.fullmatch(text) else f"<{len(text)} characters>"


class RecordedVeltClient(VeltClient):
    """A Velt client that records its exchanges."""

    transcript: Transcript | None = None

    def post(self, endpoint: VeltEndpoint, data: JSON, deadline: Deadline) -> JSON:
        try:
            answer = super().post(endpoint, data, deadline)
        except VeltRefused as refusal:
            self._add(endpoint, data, f"refused: HTTP {refusal.http_status}", refusal.payload)
            raise
        except ResolverError as error:
            # Only the type: a reason may quote Velt's answer.
            self._add(endpoint, data, f"no answer: {type(error).__name__}", None)
            raise
        self._add(endpoint, data, "answered", answer)
        return answer

    def _add(self, endpoint: VeltEndpoint, data: JSON, outcome: str, answer: Any) -> None:
        if self.transcript:
            self.transcript.add(endpoint.value, data, outcome, answer)
