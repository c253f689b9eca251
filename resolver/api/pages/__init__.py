"""Serve HTML pages: a folder of files each, read once at start.

Their content security policy lets them load only each other's files.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib import resources

from resolver.api.endpoint import Route
from resolver.api.reply import Reply
from resolver.api.request import Call

# No inline script or style: user content that a page shows can't become code.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
INDEX = "index.html"


def routes(path: str, folder: str) -> Iterator[Route]:
    """Route the files of `resolver/api/pages/<folder>`: index.html at `path`, the others below it."""
    for file in resources.files(__name__).joinpath(folder).iterdir():
        where = path if file.name == INDEX else f"{path}/{file.name}"
        page = _reply(file.read_bytes(), _TYPES[file.name.rpartition(".")[2]])
        yield Route("GET", where, f"page {file.name.replace('.', ' ')}", partial(_shown, page))


def _reply(body: bytes, media_type: str) -> Reply:
    return Reply(body, headers=(("Content-Type", f"{media_type}; charset=utf-8"),), policy=_POLICY)


def _shown(page: Reply, _call: Call[None]) -> Reply:
    return page
