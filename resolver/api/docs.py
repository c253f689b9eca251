"""The OpenAPI description of all surfaces, and the page that shows it.

It is the same for every instance, whichever surfaces RESOLVER_SURFACES opens there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from resolver import __version__
from resolver.api import callback, pages, privacy, prometheus, token
from resolver.api.endpoint import Route
from resolver.api.openapi import mirror, others
from resolver.api.openapi import privacy as privacy_paths
from resolver.api.reply import json_reply
from resolver.wiring import Services

JSON = dict[str, Any]
PATH = "/openapi.json"
VIEWER = "/docs"
_SECURITY_SCHEMES: JSON = {
    "veltApiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "x-velt-api-key",
        "description": "Your Velt API key.",
    },
    "callerToken": {
        "type": "apiKey",
        "in": "header",
        "name": "x-velt-auth-token",
        "description": "One of RESOLVER_CALLER_TOKENS, not Velt's own token.",
    },
    "endUser": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of the end user who reads.",
    },
    "privacyToken": {"type": "http", "scheme": "bearer", "description": "One of RESOLVER_PRIVACY_TOKENS."},
    "metricsToken": {"type": "http", "scheme": "bearer", "description": "RESOLVER_METRICS_TOKEN."},
}


def routes(_services: Services) -> Iterator[Route]:
    described = orjson.dumps(
        document(
            __version__,
            mirror.paths(),
            others.callback(callback.PREFIX, callback.MOST_IDS),
            others.token(token.PATH, token.SCHEMA),
            others.revocation(token.REVOKE, token.REVOCATION),
            privacy_paths.export(privacy.EXPORT, privacy.EXPORT_SCHEMA),
            privacy_paths.erasure(privacy.ERASE, privacy.ERASE_SCHEMA, privacy.ERASURES),
            others.metrics(prometheus.PATH),
            others.ops(),
            others.docs(PATH, VIEWER),
        )
    )

    yield Route("GET", PATH, "openapi", lambda _call: json_reply(described))
    yield from pages.routes(VIEWER, "docs")


def document(version: str, *paths: JSON) -> JSON:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Velt notification resolver",
            "version": version,
            "summary": "Velt's notification API, with the content stored here.",
            "description": (
                "Backends call the Velt-compatible API (mirror) as they call Velt. Velt's SDK calls the data "
                "provider endpoints (callback) from the browser."
            ),
        },
        "paths": {path: item for part in paths for path, item in part.items()},
        "components": {"securitySchemes": _SECURITY_SCHEMES},
    }
