"""Pages of our own: a folder of files each, read once, under a policy that lets them load each other and
nothing from anywhere else."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

from flask import Blueprint, Response

from resolver.web.reply import POLICY

# Neither inline script nor style, so that whatever a page shows of somebody's words stays text.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
INDEX = "index.html"


def serve(blueprint: Blueprint, path: str, folder: str) -> None:
    """The files of `resolver/web/pages/<folder>`: index.html at the path itself, the others below it."""
    for file in resources.files(__name__).joinpath(folder).iterdir():
        where = path if file.name == INDEX else f"{path}/{file.name}"
        blueprint.add_url_rule(
            where,
            f"page {file.name.replace('.', ' ')}",
            _view(file.read_bytes(), _TYPES[file.name.rpartition(".")[2]]),
            provide_automatic_options=False,
        )


def _view(body: bytes, media_type: str) -> Callable[[], Response]:
    def view() -> Response:
        response = Response(body, content_type=f"{media_type}; charset=utf-8")
        response.headers[POLICY] = _POLICY
        return response

    return view
