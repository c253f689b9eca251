"""HEAD answers like GET without a body, on every route that has GET, and is audited like it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api.described import PRIVACY
from tests.audit.test_trail import events_in
from tests.support import METRICS_TOKEN, Api

JSON = dict[str, Any]
CREDENTIALS: dict[str, dict[str, str]] = {
    "none": {},
    "privacy": {"authorization": f"Bearer {PRIVACY}"},
    "metrics": {"authorization": f"Bearer {METRICS_TOKEN}"},
}
DIFFERS = {"chain", "seq", "at", "hash", "request"}


def without_what_differs(events: list[JSON]) -> list[JSON]:
    return [{name: value for name, value in event.items() if name not in DIFFERS} for event in events]


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_head_answers_like_get_without_a_body_and_is_on_record_alike(
    make_api: Callable[..., Api], tmp_path: Path, credential: str
) -> None:
    path = tmp_path / "audit.log"
    api = make_api(
        RESOLVER_AUDIT_LOG=str(path),
        RESOLVER_METRICS_TOKEN=METRICS_TOKEN,
        RESOLVER_PRIVACY_TOKENS=f"dpo:{PRIVACY}",
    )
    rules = [rule for rule in api.client.application.url_map.iter_rules() if "GET" in (rule.methods or ())]
    assert "privacy.erasure" in {rule.endpoint for rule in rules}
    for rule in rules:
        where = rule.rule.replace("<id_>", "x")
        said, replies = [], []
        for method in ("GET", "HEAD"):
            path.unlink(missing_ok=True)
            replies.append(api.client.open(where, method=method, headers=CREDENTIALS[credential]))
            api.services.trail.close()
            said.append(without_what_differs(events_in(path)) if path.exists() else [])
        get, head = replies
        assert (head.status_code, head.data) == (get.status_code, b""), where
        assert head.content_type == get.content_type, where
        assert said[0] == said[1], where
        assert bool(said[0]) is rule.endpoint.startswith("privacy."), where
