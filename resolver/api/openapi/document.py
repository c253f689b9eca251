"""The whole description. Which of it an instance serves is RESOLVER_SURFACES's business."""

from __future__ import annotations

from typing import Any

JSON = dict[str, Any]

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
        "description": "One of RESOLVER_CALLER_TOKENS; never Velt's own token.",
    },
    "endUser": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of the user who is looking.",
    },
    "privacyToken": {"type": "http", "scheme": "bearer", "description": "One of RESOLVER_PRIVACY_TOKENS."},
    "metricsToken": {"type": "http", "scheme": "bearer", "description": "RESOLVER_METRICS_TOKEN."},
}


def document(version: str, *paths: JSON) -> JSON:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Velt notification resolver",
            "version": version,
            "summary": "Velt's notification endpoints, with the content kept at home.",
            "description": (
                "Backends call the mirror as they call Velt. Browsers call the callbacks as the SDK's "
                "notification data provider."
            ),
        },
        "paths": {path: item for part in paths for path, item in part.items()},
        "components": {"securitySchemes": _SECURITY_SCHEMES},
    }
