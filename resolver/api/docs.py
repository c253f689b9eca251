"""The description of the service, for developers and their tools."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from resolver import __version__
from resolver.api import callback, pages, privacy, prometheus, token
from resolver.api.endpoint import Route
from resolver.api.openapi import mirror, others
from resolver.api.openapi import privacy as privacy_paths
from resolver.api.openapi.document import document
from resolver.api.reply import json_reply
from resolver.wiring import Services

PATH = "/openapi.json"
VIEWER = "/docs"


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
